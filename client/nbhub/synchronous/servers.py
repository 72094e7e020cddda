# Made of nbhub/asynchronous/servers.py by `make client`: change it there.
"""Servers: where people work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbhub.models import Preview, Server, ServerLog, ServerShare, SharedServer, Template
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.operations import Deletion, ServerOperation, show
from nbhub.synchronous.records import Deletable
from nbhub.synchronous.templates import Templates, template_fields


class Servers(Deletable[Server]):
    """One's own servers; admins have everybody's."""

    kind, noun, collection, single = Server, "server", "/servers", "/servers"

    def _names(self, record: Server) -> list[str]:
        # What its owner has called it, which several may share, and its own.
        return [record.name, record.template.name]

    def _candidates(self, reference: str, *, prefix: bool) -> Pages[Server]:
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
    ) -> Pages[Server]:
        """One's own, newest first: of a type of template, in one status, or with a part of their or its name.

        `name` and `q` are the same. Admins have everybody's, or those of one `owner`.
        """
        query = {"owner": owner, "type": type, "name": name, "status": status, "q": q, "sort": sort}
        return self._all(query)

    def create(self, name: str, **fields: Any) -> Server:
        """Make one, stopped, with a template of its own, of the fields that `template_fields` has."""
        return self._transport.call("POST", "/servers", Server, body=template_fields(name, **fields))

    def launch(self, template: str | Template) -> Server:
        """Make one of a template, stopped."""
        identity = Templates(self._transport)._id_of(template)
        return self._transport.call("PUT", "/servers", Server, query={"templateId": identity})

    def start(
        self, reference: str | Server, *, wait: float | None = None, if_match: str | None = None
    ) -> ServerOperation:
        """Ask for it to run. `wait()` of the answer gives the server that runs, `open()` shows it."""
        return self._intend(reference, "start", wait, if_match)

    def stop(
        self, reference: str | Server, *, wait: float | None = None, if_match: str | None = None
    ) -> ServerOperation:
        """Ask for it to stop. A start that is under way is cancelled."""
        return self._intend(reference, "stop", wait, if_match)

    def preview_create(self, name: str, **fields: Any) -> Preview:
        """What `create` and a start would come to: what the server would have, and what not and why."""
        return self._preview("POST", "/servers", body=template_fields(name, **fields))

    def preview_launch(self, template: str | Template) -> Preview:
        """What `launch` and a start would come to: what the server would have, and what not and why."""
        identity = Templates(self._transport)._id_of(template)
        return self._preview("PUT", "/servers", {"templateId": identity})

    def preview_start(self, reference: str | Server, *, if_match: str | None = None) -> Preview:
        """What a start would come to: what the server would have, and what not and why."""
        return self._preview("PUT", self._path(self._id_of(reference), "start"), if_match=if_match)

    def preview_stop(self, reference: str | Server, *, if_match: str | None = None) -> Preview:
        """What a stop would come to."""
        return self._preview("PUT", self._path(self._id_of(reference), "stop"), if_match=if_match)

    def _intend(self, reference: str | Server, verb: str, wait: float | None, if_match: str | None) -> ServerOperation:
        identity = self._id_of(reference)
        path = self._path(identity, verb)
        return self._begun(ServerOperation, "PUT", path, subject=identity, wait=wait, if_match=if_match)

    @contextmanager
    def running(self, reference: str | Server, *, timeout: float | None = None) -> Iterator[Server]:
        """The server that runs; afterwards it is asked to stop."""
        server = (self.start(reference)).wait(timeout)
        try:
            yield server
        finally:
            self.stop(server)

    def open(self, reference: str | Server) -> Server:
        """Show it in a browser."""
        server = self.find(reference)
        show(server.url)
        return server

    def log(self, reference: str | Server) -> str:
        """The last lines that it has written, if it runs or is starting, without secrets."""
        found = self._transport.call("GET", self._path(self._id_of(reference), "log"), ServerLog)
        return found.log

    def share(self, reference: str | Server, *, look: bool = False) -> ServerShare:
        """The link that shares it, made if it runs and there is none; with `look`, only what there is."""
        path = self._path(self._id_of(reference), "share")
        return self._transport.call("GET", path, ServerShare, query={"look": look or None}, wait=None)

    def unshare(self, reference: str | Server, *, email: str | None = None, wait: float | None = None) -> Deletion:
        """Take back the link, and the access of one person, or of all."""
        identity = self._id_of(reference)
        path, query = self._path(identity, "share"), {"email": email}
        return self._begun(Deletion, "DELETE", path, subject=identity, query=query, wait=wait)

    def preview_unshare(self, reference: str | Server, *, email: str | None = None) -> Preview:
        """What `unshare` would come to."""
        path = self._path(self._id_of(reference), "share")
        return self._preview("DELETE", path, {"email": email})

    def shares(self, *, owner: str | None = None) -> Pages[SharedServer]:
        """Servers that have a link or are shared, newest first."""
        return Pages(self._transport, "/servers/shares", SharedServer, {"owner": owner})
