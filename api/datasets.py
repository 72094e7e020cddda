"""Datasets: directories that people share."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from api import sharing
from api.dependencies import own_email
from api.etag import etag_of
from api.fields import AnswerBody, Description, Line, PathName, RequestBody
from api.idempotency import Write
from api.operation_view import OperationView
from api.pagination import Page
from api.policy import Policy, needs
from api.sharing import AccessType, AccessView, ExplainedEmail, ExplanationView, RevokeBody, ShareBody
from models import datasets, persons
from models.datasets import KIND, DatasetRecord
from models.errors import RequestInvalid
from models.permissions import Level
from models.settings import Settings
from models.values import Caller, Subject

# Longer than a directory takes, shorter than a person waits.
WAIT_SECONDS = 10


class DatasetCreate(RequestBody, frozen=True, kw_only=True):
    """A new dataset. `write_access` is what answers tell; here it says nothing."""

    name: PathName
    description: Description | None = None
    owner: Line | None = None
    write_access: bool | None = None


class DatasetUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    name: PathName | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class DatasetView(AnswerBody, frozen=True, kw_only=True):
    """A dataset; `write_access` is the caller's own."""

    id: UUID = msgspec.field(name="_id")
    name: str
    description: str
    owner: str
    write_access: bool


OwnerQuery = Annotated[str | None, QueryParameter(max_length=320, description="Only those that this person owns.")]


class DatasetsController(Controller):
    """Datasets: directories that people share."""

    path = "/datasets"
    tags = ("Datasets",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listDatasets", summary="List datasets")
    async def index(
        self, caller: NamedDependency[Caller], page: NamedDependency[Page], owner: OwnerQuery = None
    ) -> Response[list[DatasetView]]:
        """Datasets that the caller may use, newest first; with `owner` those that one owns, or anybody for an admin."""
        wanted = None if owner is None else own_email(caller, owner)
        found = await datasets.list_visible(caller, owner=wanted, before=page.before, limit=page.limit + 1)
        return page.answer(found, key=lambda one: (str(one.id),), view=lambda one: _view(one, caller))

    @post(opt=needs(Policy.SIGNED_IN), status_code=200, operation_id="createDataset", summary="Make a dataset")
    async def create(self, data: JSONBody[DatasetCreate], write: NamedDependency[Write]) -> Response[DatasetView]:
        """Make a dataset with an empty directory. It is done when both are there."""
        async with write:
            owner = await new_owner(data.owner, write.caller)
            identity, operation = await datasets.create(
                owner, data.name, data.description or "", write.caller, request_id=write.request_id
            )
            await _accept(write, identity, operation)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD), operation_id="getDataset", summary="Read a dataset")
    async def read(self, id: FromPath[UUID], caller: NamedDependency[Caller]) -> Response[DatasetView]:
        """Read a dataset that the caller may use."""
        found = await datasets.read(id, caller)
        return Response(_view(found, caller), headers={"ETag": etag_of(found.version)})

    @patch("/{id:str}", opt=needs(Policy.RECORD), operation_id="updateDataset", summary="Change a dataset")
    async def update(
        self, id: FromPath[UUID], data: JSONBody[DatasetUpdate], write: NamedDependency[Write]
    ) -> Response[DatasetView]:
        """Change a dataset that the caller may write. Servers see a new name at their next start."""
        async with write:
            found = await datasets.read(id, write.caller, Level.WRITE, lock=True)
            write.require_match(found.version)
            values = {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not UNSET}
            if values:
                await datasets.update(found, values, write.caller, write.request_id)
            changed = await datasets.read(id, write.caller)
            write.done(_view(changed, write.caller), version=changed.version)
        return write.answer

    @delete(
        "/{id:str}", opt=needs(Policy.RECORD), status_code=202, operation_id="deleteDataset", summary="Delete a dataset"
    )
    async def delete(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        """Stop the servers that hold a dataset, and put it into the trash, from which it can be restored for a time."""
        async with write:
            found = await datasets.read(id, write.caller, Level.OWNER, lock=True)
            write.require_match(found.version)
            operation = await datasets.trash(found, write.caller, request_id=write.request_id)
            write.accepts(operation, wakes=Subject(KIND, id), deletes=True, wait=WAIT_SECONDS)
        return write.answer

    @post(
        "/{id:str}/restore",
        opt=needs(Policy.RECORD),
        status_code=200,
        operation_id="restoreDataset",
        summary="Restore a dataset",
    )
    async def restore(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[DatasetView]:
        """Take a dataset of one's own out of the trash, with everything that was granted."""
        async with write:
            found = await datasets.read_restorable(id, write.caller)
            write.require_match(found.version)
            operation = await datasets.restore(found, write.caller, request_id=write.request_id)
            await _accept(write, id, operation)
        return write.answer

    @post(
        "/{id:str}/share",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="shareDataset",
        summary="Share a dataset",
    )
    async def share(
        self,
        id: FromPath[UUID],
        data: JSONBody[ShareBody],
        write: NamedDependency[Write],
        settings: NamedDependency[Settings],
    ) -> Response[OperationView]:
        """Let people, groups or organisations use a dataset. True at the next request."""
        return await sharing.share(write, KIND, id, data, settings)

    @post(
        "/{id:str}/revoke",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="revokeDataset",
        summary="Stop sharing a dataset",
    )
    async def revoke(
        self,
        id: FromPath[UUID],
        data: JSONBody[RevokeBody],
        write: NamedDependency[Write],
        settings: NamedDependency[Settings],
    ) -> Response[OperationView]:
        """Take access away. True at the next request; servers that hold the dataset are stopped."""
        return await sharing.revoke(write, KIND, id, data, settings)

    @get("/{id:str}/access", opt=needs(Policy.RECORD), operation_id="getDatasetAccess", summary="Who has access")
    async def access(
        self, id: FromPath[UUID], caller: NamedDependency[Caller], page: NamedDependency[Page], type: AccessType = None
    ) -> Response[list[AccessView]]:
        """Users, groups and organisations with access, and how far it goes."""
        return await sharing.access(KIND, id, caller, page, type)

    @get(
        "/{id:str}/access/explain",
        opt=needs(Policy.RECORD),
        operation_id="explainDatasetAccess",
        summary="Why a person has access",
    )
    async def explain(
        self, id: FromPath[UUID], caller: NamedDependency[Caller], email: ExplainedEmail
    ) -> ExplanationView:
        """Every way in which a person has access."""
        return await sharing.explain(KIND, id, caller, email)


async def new_owner(email: str | None, caller: Caller) -> UUID:
    """Who is to own what is made: the caller, or anybody for an admin."""
    wanted = None if email is None else email.strip().lower()
    if wanted is None or wanted == caller.email:
        return caller.id
    if not caller.admin:
        raise RequestInvalid.of("/owner", "owner", "only an admin may make it for somebody else")
    person = await persons.find_by_email(wanted)
    if person is None:
        raise RequestInvalid.of("/owner", "unknown", "nobody with this e-mail has signed in")
    return person


async def _accept(write: Write, identity: UUID, operation: UUID) -> None:
    made = await datasets.read(identity, write.caller)

    async def final() -> DatasetView:
        return _view(await datasets.read(identity, write.caller), write.caller)

    write.accepts(
        operation,
        wakes=Subject(KIND, identity),
        body=_view(made, write.caller),
        final=final,
        wait=WAIT_SECONDS,
    )


def _view(dataset: DatasetRecord, caller: Caller) -> DatasetView:
    writes = caller.admin or (dataset.level is not None and dataset.level >= Level.WRITE)
    return DatasetView(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description,
        owner=dataset.owner,
        write_access=writes,
    )
