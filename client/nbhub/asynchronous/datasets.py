"""Datasets: directories of data."""

from msgspec import UNSET, UnsetType

from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.records import AsyncTrashed, etag_of, given, only
from nbhub.models import Dataset


class AsyncDatasets(AsyncTrashed[Dataset]):
    """One's own datasets, and those that are shared with one."""

    kind, noun, collection, single = Dataset, "dataset", "/datasets", "/datasets"

    def list(self, *, owner: str | None = None, q: str | None = None, sort: str | None = None) -> AsyncPages[Dataset]:
        """All that one may see, newest first; for admins, what one `owner` has. With `q` in the name."""
        return self._all({"owner": owner, "q": q, "sort": sort})

    async def create(
        self, name: str, *, description: str | None = None, owner: str | None = None, wait: float | None = None
    ) -> Dataset:
        """Make one, with its empty directory."""
        body = only(name=name, description=description, owner=owner)
        return await self._settled(Dataset, "POST", "/datasets", body=body, wait=wait)

    async def update(
        self,
        reference: str | Dataset,
        *,
        name: str | UnsetType = UNSET,
        description: str | None | UnsetType = UNSET,
        if_match: str | None = None,
    ) -> Dataset:
        """Change what is given. Raises `Stale` if the record that is given has changed since it was read."""
        path = self._path(await self._id_of(reference))
        body = given(name=name, description=description)
        return await self._transport.call("PATCH", path, Dataset, body=body, if_match=etag_of(reference, if_match))
