"""Who one is, what one may do, and how much one has of what there is a limit to."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from msgspec import Meta

from api.http.dependencies import Read
from api.http.fields import AnswerBody
from api.http.openapi import shown
from api.http.policy import Policy, needs
from models.access import directory
from models.ledger import quotas
from models.records import persons
from models.records.persons import MOST_MEMBERSHIPS, Membership


class UseView(AnswerBody, frozen=True, kw_only=True):
    """How many one has, and may have; any number where there is no `limit`."""

    used: Annotated[int, Meta(description="How many one has.")]
    limit: Annotated[int | None, Meta(description="How many one may have.")] = None

    @property
    def more(self) -> bool:
        """Whether one may have more."""
        return self.limit is None or self.used < self.limit


Uses = dict[str, UseView]
Role = Annotated[
    str, Meta(description="A manager may change the group.", extra_json_schema={"enum": ["manager", "member"]})
]


class MembershipView(AnswerBody, frozen=True, kw_only=True):
    """A group that one is in."""

    id: Annotated[UUID, Meta(description="Id of the group.")] = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="The group's name.")]
    role: Role


class CanView(AnswerBody, frozen=True, kw_only=True):
    """What one may do. Nothing is made for which `usage` leaves no room."""

    administer: Annotated[bool, Meta(description="See and change what is others', as an admin.")]
    create_server: Annotated[bool, Meta(description="Make a server.")]
    start_server: Annotated[bool, Meta(description="Start one more server.")]
    create_template: Annotated[bool, Meta(description="Make a template.")]
    publish_template: Annotated[bool, Meta(description="Make a template public.")]
    feature_template: Annotated[bool, Meta(description="Make a template of type `featured`.")]
    create_dataset: Annotated[bool, Meta(description="Make a dataset.")]
    create_module: Annotated[bool, Meta(description="Make a module.")]
    feature_module: Annotated[bool, Meta(description="Make a module featured.")]
    create_secret: Annotated[bool, Meta(description="Make a secret.")]
    create_group: Annotated[bool, Meta(description="Make a group.")]


class MeView(AnswerBody, frozen=True, kw_only=True):
    """Who one is, and what one may do."""

    id: Annotated[UUID, Meta(description="Id of the person.")] = msgspec.field(name="_id")
    email: Annotated[str, Meta(description="The address that is the user name here.")]
    admin: Annotated[bool, Meta(description="Whether one is an admin, by this token.")]
    organisations: Annotated[list[str], Meta(description="Those that one belongs to, by this token.")]
    groups: Annotated[
        list[MembershipView],
        Meta(description=f"Those that one is in, the longest memberships first, at most {MOST_MEMBERSHIPS}."),
    ]
    can: Annotated[CanView, Meta(description="What one may do.")]
    directory: Annotated[
        str,
        Meta(
            description="Whom `GET /people` finds beside those with whom one has dealings.",
            extra_json_schema={"enum": list(directory.PEOPLE)},
        ),
    ]
    usage: Annotated[Uses, Meta(description="What one has, and may have, as `GET /me/usage` tells it.")]
    name: Annotated[str | None, Meta(description="What the sign-in provider calls one; absent if it says nothing.")] = (
        None
    )
    more_groups: Annotated[
        bool | None, Meta(description="True: one is in more groups than are here; `GET /groups` has all.")
    ] = None


_EXAMPLE_USAGE: Uses = {
    "servers": UseView(used=2, limit=200),
    "datasets": UseView(used=1, limit=1000),
    "running_servers": UseView(used=1, limit=50),
    "event_streams": UseView(used=0, limit=100),
}
_EXAMPLE = MeView(
    id=UUID("0199c2f4-5e2a-7cc1-8a6b-0f4e5d6c7b8a"),
    email="alice@example.org",
    name="Alice Ahlberg",
    admin=False,
    organisations=["biology"],
    groups=[MembershipView(id=UUID("0199c2f8-11d0-7a55-9c1e-2b3a4c5d6e7f"), name="imaging", role="manager")],
    can=CanView(
        administer=False,
        create_server=True,
        start_server=True,
        create_template=True,
        publish_template=True,
        feature_template=False,
        create_dataset=True,
        create_module=True,
        feature_module=True,
        create_secret=True,
        create_group=True,
    ),
    directory="none",
    usage=_EXAMPLE_USAGE,
)


class MeController(Controller):
    """Who one is, what one may do, and how much one has."""

    path = "/me"

    @get(
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE),
        operation_id="getMe",
        summary="Who one is, and what one may do",
        tags=["Persons"],
    )
    async def me(self, read: NamedDependency[Read]) -> MeView:
        """Who the caller is: organisations, groups, what the caller may do, has, and may have."""
        caller, found = read.caller, await persons.about(read.caller.id)
        usage = _uses(found.used, read)
        return MeView(
            id=caller.id,
            email=caller.email,
            name=found.name or None,
            admin=caller.admin,
            organisations=list(caller.orgs),
            groups=[_membership(one) for one in found.memberships[:MOST_MEMBERSHIPS]],
            more_groups=len(found.memberships) > MOST_MEMBERSHIPS or None,
            can=_can(usage, read),
            directory=directory.scope_of(caller, read.settings.directory),
            usage=usage,
        )

    @get(
        "/usage",
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE_USAGE),
        operation_id="getUsage",
        summary="What one has, and may have",
        tags=["Service"],
    )
    async def usage(self, read: NamedDependency[Read]) -> Uses:
        """How many of each kind of thing the caller has, and may have. Admins may have any number.

        What is being deleted or in the trash counts. Event streams are those of the process that answers.
        """
        return _uses(await quotas.used_by(read.caller.id), read)


def _uses(used: dict[str, int], read: Read) -> Uses:
    limits = {} if read.caller.admin else quotas.limits_of(read.settings.quotas)
    streams = read.services.operation_events.streams.of(read.caller.id)
    used = used | {quotas.EVENT_STREAMS: streams}
    return {name: UseView(used=number, limit=limits.get(name) or None) for name, number in used.items()}


def _can(usage: Uses, read: Read) -> CanView:
    admin, settings = read.caller.admin, read.settings
    return CanView(
        administer=admin,
        create_server=usage["servers"].more,
        start_server=usage["running_servers"].more,
        create_template=usage["templates"].more,
        publish_template=usage["public_templates"].more,
        feature_template=(admin or not settings.admins_feature_templates) and usage["featured_templates"].more,
        create_dataset=usage["datasets"].more,
        create_module=usage["modules"].more,
        feature_module=admin or not settings.featured_by_admins_only,
        create_secret=usage["secrets"].more,
        create_group=usage["groups"].more,
    )


def _membership(group: Membership) -> MembershipView:
    return MembershipView(id=group.id, name=group.name, role="manager" if group.manager else "member")
