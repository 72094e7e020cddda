"""Datasets: directories that people share."""

from uuid import UUID

from models.database.tables import Dataset
from models.domain.ids import new_id
from models.domain.values import Caller
from models.records.shared_records import SharedRecord, SharedRecords

KIND = "dataset"


class DatasetRecord(SharedRecord, frozen=True, kw_only=True):
    """A dataset as stored."""


RECORDS = SharedRecords(KIND, Dataset, DatasetRecord)
read = RECORDS.read
list_visible = RECORDS.list_visible
update = RECORDS.update


async def create(owner: UUID, name: str, description: str, caller: Caller) -> tuple[UUID, UUID]:
    """Wish for a dataset, within the caller's transaction; its id and the operation. Raises `StateConflict`."""
    made = Dataset(id=new_id(), owner=owner, name=name, description=description)
    return made.id, await RECORDS.insert(made, "dataset.create", caller)
