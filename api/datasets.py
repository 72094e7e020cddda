"""Datasets: directories that people share."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from api.http.answer import Answer
from api.http.dependencies import OwnerQuery, new_owner, own_email
from api.http.etag import VERSIONED
from api.http.fields import AnswerBody, Description, Email, MayWrite, OwnerEmail, PathName, RecordId, RequestBody, given
from api.http.pagination import LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.write import Write
from api.sharing_routes import sharing_routes
from api.trash_routes import trash_routes
from models.access.permissions import Level
from models.database.lists import Sort
from models.domain.values import Caller, Subject
from models.records import datasets
from models.records.datasets import KIND, DatasetRecord


class DatasetCreate(RequestBody, frozen=True, kw_only=True):
    """A new dataset. `write_access` is what answers tell; here it says nothing."""

    example: ClassVar[dict[str, Any]] = {"name": "climate-2026", "description": "Monthly means, 1950 to 2026."}

    name: PathName
    description: Description | None = None
    owner: Annotated[Email, Meta(description="E-mail of the owner: the caller, or anybody for an admin.")] | None = None
    write_access: Annotated[bool, Meta(description="Accepted, and ignored.")] | None = None


class DatasetUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    example: ClassVar[dict[str, Any]] = {"description": "Monthly means, 1950 to 2026, corrected."}

    name: PathName | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET


class DatasetView(AnswerBody, frozen=True, kw_only=True):
    """A dataset; `write_access` is the caller's own."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="By it servers show it: `/opt/datasets/<name>`.")]
    owner: OwnerEmail
    write_access: MayWrite
    description: Annotated[str, Meta(description="What it is, in words.")] | None = None


class DatasetsController(Controller):
    """Datasets: directories that people share."""

    path = "/datasets"
    tags = ("Datasets",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listDatasets", summary="List datasets", dependencies=LISTED)
    async def index(
        self,
        page: NamedDependency[Page],
        owner: OwnerQuery = None,
        q: SearchQuery = None,
        sort: SortQuery = Sort.NEWEST,
    ) -> Response[list[DatasetView]]:
        """Datasets that the caller may use; with `owner` those that one owns, or anybody for an admin."""
        wanted = None if owner is None else own_email(page.caller, owner)
        order = page.order(sort)
        found = await datasets.list_visible(
            page.caller, owner=wanted, q=q, order=order, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=order.key_of, view=lambda one: _view(one, page.caller))

    @post(opt=needs(Policy.SIGNED_IN), status_code=202, operation_id="createDataset", summary="Make a dataset")
    async def create(self, data: JSONBody[DatasetCreate], write: NamedDependency[Write]) -> Response[DatasetView]:
        """Make a dataset with an empty directory. It is done when both are there."""
        async with write:
            owner = await new_owner(data.owner, write.caller)
            identity, operation = await datasets.create(owner, data.name, data.description or "", write.caller)
            await write.accepts_record(operation, Subject(KIND, identity), _look)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getDataset", summary="Read a dataset")
    async def read(self, id: FromPath[UUID], caller: NamedDependency[Caller]) -> Response[DatasetView]:
        """Read a dataset that the caller may use."""
        found = await datasets.read(id, caller)
        return Answer(_view(found, caller), version=found.version)

    @patch("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="updateDataset", summary="Change a dataset")
    async def update(
        self, id: FromPath[UUID], data: JSONBody[DatasetUpdate], write: NamedDependency[Write]
    ) -> Response[DatasetView]:
        """Change a dataset that the caller may write. Servers see a new name at their next start."""
        async with write:
            found = await datasets.read(id, write.caller, Level.WRITE, lock=True)
            write.require_match(found.version)
            values = given(name=data.name, description=data.description)
            if values:
                await datasets.update(found, values, write.caller)
            changed = await datasets.read(id, write.caller)
            write.done(_view(changed, write.caller), version=changed.version)
        return write.answer


async def _look(identity: UUID, caller: Caller) -> DatasetView:
    return _view(await datasets.read(identity, caller), caller)


def _view(dataset: DatasetRecord, caller: Caller) -> DatasetView:
    return DatasetView(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description or None,
        owner=dataset.owner,
        write_access=dataset.writable_by(caller),
    )


ROUTES = [
    *trash_routes("/datasets/{id:str}", datasets.RECORDS, _look, DatasetView),
    *sharing_routes(KIND, "/datasets/{id:str}"),
]
