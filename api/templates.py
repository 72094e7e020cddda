"""Templates: the settings from which servers are made."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from api.http.answer import Answer
from api.http.dependencies import person_of, query_id
from api.http.etag import TAGGED, VERSIONED
from api.http.fields import EMAIL
from api.http.pagination import LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import PREVIEWED, Write
from api.template_body import (
    TagView,
    TemplateCreate,
    TemplateUpdate,
    TemplateView,
    changed_template,
    new_template,
    view_of,
)
from models.database.lists import Sort
from models.domain.errors import RequestInvalid
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import audit, operations
from models.records import templates

TemplateId = Annotated[str, QueryParameter(name="templateId", max_length=64, description="Id of a template.")]
IdQuery = Annotated[str, QueryParameter(name="id", max_length=64, description="Id of a template.")]
"""The reference names the parameter of a deletion `id`, that of all else `templateId`."""

CreatorQuery = Annotated[str | None, QueryParameter(format=EMAIL, description="Only those of this creator.")]

TagQuery = Annotated[str | None, QueryParameter(max_length=64, description="Only those that have this tag.")]


class TemplatesController(Controller):
    """Templates: the settings from which servers are made."""

    tags = ("Templates",)

    @post(
        "/template",
        opt=needs(Policy.SIGNED_IN) | TAGGED,
        status_code=200,
        operation_id="createTemplate",
        summary="Make a template",
    )
    async def create(
        self, data: JSONBody[TemplateCreate], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[TemplateView]:
        """Make a template. `hardware` and `applicationType` have to be configured ones."""
        async with write:
            values = await new_template(data, write.caller, services.profiles, services.settings)
            identity = await templates.create(write.caller.id, values)
            await operations.open_operation(
                "template.create",
                Subject("template", identity),
                owner=write.caller.id,
                actor=write.caller,
                status=OperationStatus.SUCCEEDED,
            )
            made = await templates.read_visible(identity, write.caller)
            write.done(view_of(made.snapshot()), version=made.version)
        return write.answer

    @get("/template", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getTemplate", summary="Read a template")
    async def read(self, template: TemplateId, caller: NamedDependency[Caller]) -> Response[TemplateView]:
        """Read a template that is public or one's own."""
        found = await templates.read_visible(query_id("template", template), caller)
        return Answer(view_of(found.snapshot()), version=found.version)

    @patch(
        "/template", opt=needs(Policy.RECORD) | VERSIONED, operation_id="updateTemplate", summary="Change a template"
    )
    async def update(
        self,
        template: TemplateId,
        data: JSONBody[TemplateUpdate],
        write: NamedDependency[Write],
        services: NamedDependency[Services],
    ) -> Response[TemplateView]:
        """Change a template of one's own. Its creator's servers follow at their next start; others' do not."""
        async with write:
            found = await templates.read_changeable(query_id("template", template), write.caller)
            values = await changed_template(data, found, services.profiles)
            if data.creator is not msgspec.UNSET and data.creator != found.creator:
                values["creator"] = await _new_creator(data.creator, write.caller)
            write.require_match(found.version)
            if values:
                await templates.update(found, values)
                await audit.record(
                    "template.update",
                    Subject("template", found.id),
                    write.caller,
                    detail={"fields": sorted(values)},
                )
            changed = await templates.read_visible(found.id, write.caller)
            write.done(view_of(changed.snapshot()), version=changed.version)
        return write.answer

    @delete(
        "/template",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=204,
        operation_id="deleteTemplate",
        summary="Delete a template",
        dependencies=PREVIEWED,
    )
    async def delete(self, template: IdQuery, write: NamedDependency[Write]) -> Response[None]:
        """Delete a template of one's own. Refused while servers of its creator use it; others' keep their snapshot."""
        async with write:
            found = await templates.read_changeable(query_id("template", template), write.caller)
            write.require_match(found.version)
            await templates.delete(found)
            await operations.open_operation(
                "template.delete",
                Subject("template", found.id),
                owner=found.creator_id,
                actor=write.caller,
                status=OperationStatus.SUCCEEDED,
            )
            write.previews(Subject("template", found.id))
            write.done()
        return write.answer

    @get(
        "/templates",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listTemplates",
        summary="List templates",
        dependencies=LISTED,
    )
    async def index(
        self,
        page: NamedDependency[Page],
        type: Annotated[str | None, QueryParameter(description="Only those of this type.")] = None,
        email: CreatorQuery = None,
        tag: TagQuery = None,
        q: SearchQuery = None,
        sort: SortQuery = Sort.NEWEST,
    ) -> Response[list[TemplateView]]:
        """Templates that are public or one's own; of one type, of one creator (`email`)."""
        order = page.order(sort)
        found = await templates.list_visible(
            page.caller, type=type, email=email, tag=tag, q=q, order=order, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=order.key_of, view=lambda one: view_of(one.snapshot()))

    @get("/templates/tags", opt=needs(Policy.SIGNED_IN), operation_id="listTemplateTags", summary="List tags")
    async def tags_by_frequency(
        self,
        caller: NamedDependency[Caller],
        type: Annotated[str | None, QueryParameter(description="Only those of this type.")] = None,
        email: CreatorQuery = None,
    ) -> list[TagView]:
        """Tags of the templates that the caller sees, the most frequent first, then by name."""
        found = await templates.list_tags(caller, type=type, email=email)
        return [TagView(id=tag.name, name=tag.name, count=tag.count) for tag in found]


async def _new_creator(email: str, caller: Caller) -> UUID:
    """The person to whom an admin hands a template."""
    if not caller.admin:
        raise RequestInvalid.of("/creator", "creator", "only an admin may give a template to somebody else")
    return await person_of(email, "/creator")
