"""Servers: where people work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.operations import AsyncDeletion, AsyncServerOperation, show
from nbhub.asynchronous.records import AsyncDeletable
from nbhub.asynchronous.templates import AsyncTemplates, template_fields
from nbhub.models import Preview, Server, ServerLog, ServerShare, SharedServer, Template


class AsyncServers(AsyncDeletable[Server]):
    """One's own servers; admins have everybody's."""

    kind, noun, collection, single = Server, "server", "/servers", "/servers"

    def _names(self, record: Server) -> list[str]:
        # What its owner has called it, which several may share, and its own.
        return [record.name, record.template.name]

    def _candidates(self, reference: str, *, prefix: bool) -> AsyncPages[Server]:
        return self._all() if prefix else self.list(name=reference)

    def list(
        self,
        *,
        owner: str | None = None,
        type: str | None = None,
        name: str | None = None,
        status: str | None = None,
        q: str | None = None,
        sort: str | None = None,
    ) -> AsyncPages[Server]:
        """One's own, newest first: of a type of template, in one status, or with a part of their or its name.

        `name` and `q` are the same. Admins have everybody's, or those of one `owner`.
        """
        query = {"owner": owner, "type": type, "name": name, "status": status, "q": q, "sort": sort}
        return self._all(query)

    async def create(self, name: str, **fields: Any) -> Server:
        """Make one, stopped, with a template of its own, of the fields that `template_fields` has."""
        return await self._transport.call("POST", "/servers", Server, body=template_fields(name, **fields))

    async def launch(self, template: str | Template) -> Server:
        """Make one of a template, stopped."""
        identity = await AsyncTemplates(self._transport)._id_of(template)
        return await self._transport.call("PUT", "/servers", Server, query={"templateId": identity})

    async def start(
        self, reference: str | Server, *, wait: float | None = None, if_match: str | None = None
    ) -> AsyncServerOperation:
        """Ask for it to run. `wait()` of the answer gives the server that runs, `open()` shows it."""
        return await self._intend(reference, "start", wait, if_match)

    async def stop(
        self, reference: str | Server, *, wait: float | None = None, if_match: str | None = None
    ) -> AsyncServerOperation:
        """Ask for it to stop. A start that is under way is cancelled."""
        return await self._intend(reference, "stop", wait, if_match)

    async def preview_create(self, name: str, **fields: Any) -> Preview:
        """What `create` and a start would come to: what the server would have, and what not and why."""
        return await self._preview("POST", "/servers", body=template_fields(name, **fields))

    async def preview_launch(self, template: str | Template) -> Preview:
        """What `launch` and a start would come to: what the server would have, and what not and why."""
        identity = await AsyncTemplates(self._transport)._id_of(template)
        return await self._preview("PUT", "/servers", {"templateId": identity})

    async def preview_start(self, reference: str | Server, *, if_match: str | None = None) -> Preview:
        """What a start would come to: what the server would have, and what not and why."""
        return await self._preview("PUT", self._path(await self._id_of(reference), "start"), if_match=if_match)

    async def preview_stop(self, reference: str | Server, *, if_match: str | None = None) -> Preview:
        """What a stop would come to."""
        return await self._preview("PUT", self._path(await self._id_of(reference), "stop"), if_match=if_match)

    async def _intend(
        self, reference: str | Server, verb: str, wait: float | None, if_match: str | None
    ) -> AsyncServerOperation:
        identity = await self._id_of(reference)
        path = self._path(identity, verb)
        return await self._begun(AsyncServerOperation, "PUT", path, subject=identity, wait=wait, if_match=if_match)

    @asynccontextmanager
    async def running(self, reference: str | Server, *, timeout: float | None = None) -> AsyncIterator[Server]:
        """The server that runs; afterwards it is asked to stop."""
        server = await (await self.start(reference)).wait(timeout)
        try:
            yield server
        finally:
            await self.stop(server)

    async def open(self, reference: str | Server) -> Server:
        """Show it in a browser."""
        server = await self.find(reference)
        show(server.url)
        return server

    async def log(self, reference: str | Server) -> str:
        """The last lines that it has written, if it runs or is starting, without secrets."""
        found = await self._transport.call("GET", self._path(await self._id_of(reference), "log"), ServerLog)
        return found.log

    async def share(self, reference: str | Server, *, look: bool = False) -> ServerShare:
        """The link that shares it, made if it runs and there is none; with `look`, only what there is."""
        path = self._path(await self._id_of(reference), "share")
        return await self._transport.call("GET", path, ServerShare, query={"look": look or None}, wait=None)

    async def unshare(
        self, reference: str | Server, *, email: str | None = None, wait: float | None = None
    ) -> AsyncDeletion:
        """Take back the link, and the access of one person, or of all."""
        identity = await self._id_of(reference)
        path, query = self._path(identity, "share"), {"email": email}
        return await self._begun(AsyncDeletion, "DELETE", path, subject=identity, query=query, wait=wait)

    async def preview_unshare(self, reference: str | Server, *, email: str | None = None) -> Preview:
        """What `unshare` would come to."""
        path = self._path(await self._id_of(reference), "share")
        return await self._preview("DELETE", path, {"email": email})

    def shares(self, *, owner: str | None = None) -> AsyncPages[SharedServer]:
        """Servers that have a link or are shared, newest first."""
        return AsyncPages(self._transport, "/servers/shares", SharedServer, {"owner": owner})
