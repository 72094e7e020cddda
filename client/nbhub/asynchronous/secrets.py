"""Secrets: values that servers are given, and nobody reads here."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.records import AsyncShared, etag_of, given, only
from nbhub.models import Secret

Value = str | Mapping[str, str]
"""A text, or of a secret of the type `file` the content of each file by its name."""


class AsyncSecrets(AsyncShared[Secret]):
    """One's own secrets, and those that are shared with one."""

    kind, noun, collection, single = Secret, "secret", "/secrets", "/secret"

    def _candidates(self, reference: str, *, prefix: bool) -> AsyncPages[Secret]:
        return self._all() if prefix else self.list(name=reference)

    def list(
        self,
        *,
        owner: str | None = None,
        type: str | None = None,
        name: str | None = None,
        q: str | None = None,
        sort: str | None = None,
    ) -> AsyncPages[Secret]:
        """All that one may see, newest first, of one type, or with `name` or `q`, which are the same, in their name."""
        return self._all({"owner": owner, "type": type, "name": name, "q": q, "sort": sort})

    async def create(
        self,
        name: str,
        *,
        type: str = "env_var",
        value: Value | None = None,
        description: str | None = None,
        mount_path: str | None = None,
        owner: str | None = None,
    ) -> Secret:
        """Make one: an environment variable (`env_var`), a file (`raw`), or a directory of files (`file`)."""
        body = only(
            secretName=name, type=type, value=value, description=description, mount_path=mount_path, owner=owner
        )
        return await self._transport.call("POST", "/secrets", Secret, body=body)

    async def update(
        self,
        reference: str | Secret,
        *,
        name: str | UnsetType = UNSET,
        value: Value | UnsetType = UNSET,
        description: str | None | UnsetType = UNSET,
        mount_path: str | UnsetType = UNSET,
        if_match: str | None = None,
    ) -> Secret:
        """Change what is given; servers get a new value at their next start."""
        path = self._path(await self._id_of(reference))
        body = given(secretName=name, value=value, description=description, mount_path=mount_path)
        return await self._transport.call("PATCH", path, Secret, body=body, if_match=etag_of(reference, if_match))
