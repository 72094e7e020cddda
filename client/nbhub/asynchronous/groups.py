"""Groups: people whom one shares with under one name, with a directory of their own."""

from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.operations import AsyncDeletion, AsyncPlainOperation
from nbhub.asynchronous.records import AsyncDeletable, etag_of
from nbhub.asynchronous.transport import segment
from nbhub.models import Group, Preview


class AsyncGroups(AsyncDeletable[Group]):
    """All groups; of whom one is no member, the name alone."""

    kind, noun, collection, single = Group, "group", "/groups", "/groups"

    def list(self, *, q: str | None = None, sort: str | None = None) -> AsyncPages[Group]:
        """All of them, newest first; with `q` in the name."""
        return self._all({"q": q, "sort": sort})

    async def create(self, name: str, *, wait: float | None = None) -> Group:
        """Make one, of which one is the manager and first member."""
        return await self._settled(Group, "POST", "/groups", body={"name": name}, wait=wait)

    async def rename(
        self, reference: str | Group, name: str, *, wait: float | None = None, if_match: str | None = None
    ) -> Group:
        """Give it another name. Raises `Stale` if the record that is given has changed since it was read."""
        path = self._path(await self._id_of(reference))
        tag = etag_of(reference, if_match)
        return await self._settled(Group, "PATCH", path, body={"name": name}, wait=wait, if_match=tag)

    async def members(self, reference: str | Group) -> AsyncPages[str]:
        """The e-mails of its members."""
        return AsyncPages(self._transport, self._path(await self._id_of(reference), "members"), str)

    async def add(self, reference: str | Group, email: str, *, wait: float | None = None) -> AsyncPlainOperation:
        """Make somebody a member."""
        identity = await self._id_of(reference)
        path, query = self._path(identity, "members"), {"memberEmail": email}
        return await self._begun(AsyncPlainOperation, "POST", path, subject=identity, query=query, wait=wait)

    async def remove(self, reference: str | Group, email: str, *, wait: float | None = None) -> AsyncDeletion:
        """End somebody's membership."""
        identity = await self._id_of(reference)
        path = self._path(identity, "members", segment(email))
        return await self._begun(AsyncDeletion, "DELETE", path, subject=identity, wait=wait)

    async def preview_remove(self, reference: str | Group, email: str) -> Preview:
        """What `remove` would come to: how many servers would be stopped when."""
        identity = await self._id_of(reference)
        return await self._preview("DELETE", self._path(identity, "members", segment(email)))

    async def set_manager(
        self, reference: str | Group, email: str, manager: bool = True, *, wait: float | None = None
    ) -> AsyncPlainOperation:
        """Make a member a manager, or no longer."""
        return await self._set(reference, email, {"manager": manager}, wait)

    async def set_shown(
        self, reference: str | Group, email: str, shown: bool = True, *, wait: float | None = None
    ) -> AsyncPlainOperation:
        """Show the group's directory in one's own servers, or no longer."""
        return await self._set(reference, email, {"shown": shown}, wait)

    async def _set(
        self, reference: str | Group, email: str, body: dict[str, bool], wait: float | None
    ) -> AsyncPlainOperation:
        identity = await self._id_of(reference)
        path = self._path(identity, "members", segment(email))
        return await self._begun(AsyncPlainOperation, "PATCH", path, subject=identity, body=body, wait=wait)
