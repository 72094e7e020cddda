# Made of nbhub/asynchronous/groups.py by `make client`: change it there.
"""Groups: people whom one shares with under one name, with a directory of their own."""

from nbhub.models import Group, Preview
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.operations import Deletion, PlainOperation
from nbhub.synchronous.records import Deletable, etag_of
from nbhub.synchronous.transport import segment


class Groups(Deletable[Group]):
    """All groups; of whom one is no member, the name alone."""

    kind, noun, collection, single = Group, "group", "/groups", "/groups"

    def list(self, *, q: str | None = None, sort: str | None = None) -> Pages[Group]:
        """All of them, newest first; with `q` in the name."""
        return self._all({"q": q, "sort": sort})

    def create(self, name: str, *, wait: float | None = None) -> Group:
        """Make one, of which one is the manager and first member."""
        return self._settled(Group, "POST", "/groups", body={"name": name}, wait=wait)

    def rename(
        self, reference: str | Group, name: str, *, wait: float | None = None, if_match: str | None = None
    ) -> Group:
        """Give it another name. Raises `Stale` if the record that is given has changed since it was read."""
        path = self._path(self._id_of(reference))
        tag = etag_of(reference, if_match)
        return self._settled(Group, "PATCH", path, body={"name": name}, wait=wait, if_match=tag)

    def members(self, reference: str | Group) -> Pages[str]:
        """The e-mails of its members."""
        return Pages(self._transport, self._path(self._id_of(reference), "members"), str)

    def add(self, reference: str | Group, email: str, *, wait: float | None = None) -> PlainOperation:
        """Make somebody a member."""
        identity = self._id_of(reference)
        path, query = self._path(identity, "members"), {"memberEmail": email}
        return self._begun(PlainOperation, "POST", path, subject=identity, query=query, wait=wait)

    def remove(self, reference: str | Group, email: str, *, wait: float | None = None) -> Deletion:
        """End somebody's membership."""
        identity = self._id_of(reference)
        path = self._path(identity, "members", segment(email))
        return self._begun(Deletion, "DELETE", path, subject=identity, wait=wait)

    def preview_remove(self, reference: str | Group, email: str) -> Preview:
        """What `remove` would come to: how many servers would be stopped when."""
        identity = self._id_of(reference)
        return self._preview("DELETE", self._path(identity, "members", segment(email)))

    def set_manager(
        self, reference: str | Group, email: str, manager: bool = True, *, wait: float | None = None
    ) -> PlainOperation:
        """Make a member a manager, or no longer."""
        return self._set(reference, email, {"manager": manager}, wait)

    def set_shown(
        self, reference: str | Group, email: str, shown: bool = True, *, wait: float | None = None
    ) -> PlainOperation:
        """Show the group's directory in one's own servers, or no longer."""
        return self._set(reference, email, {"shown": shown}, wait)

    def _set(self, reference: str | Group, email: str, body: dict[str, bool], wait: float | None) -> PlainOperation:
        identity = self._id_of(reference)
        path = self._path(identity, "members", segment(email))
        return self._begun(PlainOperation, "PATCH", path, subject=identity, body=body, wait=wait)
