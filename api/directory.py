"""Whom and what one may find to share with."""

from typing import Annotated

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta

from api.http.dependencies import Read
from api.http.fields import AnswerBody
from api.http.openapi import shown
from api.http.pagination import LISTED, Page
from api.http.policy import Policy, needs
from models.access import directory
from models.domain.emails import LONGEST_EMAIL

Beginning = Annotated[
    str,
    QueryParameter(
        name="q", min_length=3, max_length=LONGEST_EMAIL, description="How the address or the name begins, in any case."
    ),
]


class PersonView(AnswerBody, frozen=True, kw_only=True):
    """A person whom one may find."""

    email: Annotated[str, Meta(description="The address by which things are shared with the person.")]
    name: Annotated[
        str | None, Meta(description="What the sign-in provider calls the person, where that may be told.")
    ] = None


class OrgView(AnswerBody, frozen=True, kw_only=True):
    """An organisation that one may find."""

    name: Annotated[str, Meta(description="By which things are shared with the organisation.")]
    member: Annotated[bool, Meta(description="Whether one belongs to it, by this token.")]


_EXAMPLE_PEOPLE = [PersonView(email="bob@example.org", name="Bob Brandt"), PersonView(email="bobby@example.org")]
_EXAMPLE_ORGS = [OrgView(name="biology", member=True), OrgView(name="chemistry", member=False)]


class DirectoryController(Controller):
    """Whom and what one may find to share with."""

    tags = ("Persons",)

    @get(
        "/people",
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE_PEOPLE),
        operation_id="findPeople",
        summary="Find people",
    )
    async def people(self, read: NamedDependency[Read], q: Beginning) -> list[PersonView]:
        """People whose address begins so, at most 20, by address; their names are looked at where they may be told.

        Members of one's groups, and with whom one shares something, are found in any case. Whether others are is
        `NBHUB_DIRECTORY`; who is not found may have signed in or not.
        """
        scope = directory.scope_of(read.caller, read.settings.directory)
        found = await directory.find_people(read.caller, q, scope)
        return [PersonView(email=one.email, name=one.name or None) for one in found]

    @get(
        "/orgs",
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE_ORGS),
        operation_id="listOrganisations",
        summary="List organisations",
        dependencies=LISTED,
    )
    async def orgs(self, page: NamedDependency[Page]) -> Response[list[OrgView]]:
        """Organisations by name: one's own, those with which one shares something, and all where they may be told."""
        found = await directory.list_orgs(
            page.caller,
            directory.scope_of(page.caller, page.settings.directory),
            page.settings.known_orgs,
            after=page.after[0] if page.after else "",
            limit=page.limit + 1,
            count=page.count,
        )
        return page.answer(
            found, key=lambda one: (one.name,), view=lambda one: OrgView(name=one.name, member=one.member)
        )
