"""Datasets: directories that people share."""

from uuid import UUID

from models.database.tables import Dataset
from models.domain.ids import new_id
from models.domain.values import Caller
from models.records.shared_records import SharedRecord, SharedRecords

KIND = "dataset"


class DatasetRecord(SharedRecord, frozen=True, kw_only=True):
    """A dataset as stored."""


_records = SharedRecords(KIND, Dataset, DatasetRecord)
read = _records.read
read_restorable = _records.read_restorable
list_visible = _records.list_visible
update = _records.update
trash = _records.trash
restore = _records.restore


async def create(
    owner: UUID, name: str, description: str, caller: Caller, *, request_id: str | None = None
) -> tuple[UUID, UUID]:
    """Wish for a dataset, within the caller's transaction; its id and the operation. Raises `StateConflict`."""
    made = Dataset(id=new_id(), owner=owner, name=name, description=description)
    return made.id, await _records.insert(made, "dataset.create", caller, request_id=request_id)
