"""The truth service: what really runs, told and ended on request. JupyterHub manages it as a process of its own.

JupyterHub's answers are no proof of a stop, and it may forget a process it was starting when it died. This
service asks the spawner's backend itself: the records of this machine, Kubernetes, or docker. Callers need a
JupyterHub token with the scope `access:services!service=nbhub-truth`.
"""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec
from jupyterhub.services.auth import HubAuth
from tornado import web

from hub.backend import Backend, Report
from hub.last_used import database_of, last_used
from hub.machine import Machine
from hub.offered import unavailable
from hub.records import Failure, Record, Records
from hub.settings import HubSettings
from models.domain.profiles import Profiles
from models.domain.server_spec import SERVER_ID

# How long a revoked token may still be believed.
_TOKEN_CACHE_SECONDS = 10
_PR_SET_PDEATHSIG = 1


class MachineBackend:
    """The truth of bubblewrap and local: the records of this machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def living(self) -> list[Report]:
        return [_report(record) for record in self._machine.records.all_living()]

    async def living_of(self, server_id: str) -> list[Report]:
        record = self._machine.records.living(server_id)
        return [] if record is None else [_report(record)]

    async def end(self, server_id: str, up_to_generation: int) -> list[Report]:
        return [_report(record) for record in await self._machine.end(server_id, up_to_generation)]

    async def log(self, server_id: str) -> str | None:
        return await asyncio.to_thread(self._machine.log, server_id)

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        return self._machine.ending(server_id, generation)


def _report(record: Record) -> Report:
    return Report(
        server_id=record.server_id,
        hub_user=record.hub_user,
        hub_name=record.hub_name,
        generation=record.generation,
        alive=True,
        started_at=record.started_at,
        pid=record.process.pid,
    )


class TruthHandler(web.RequestHandler):
    """What all requests share: who may ask, and JSON."""

    def initialize(
        self, auth: HubAuth, backend: Backend, records: Records, spawner: str, database: Path, profiles: Profiles
    ) -> None:
        self.auth, self.backend, self.records, self.spawner = auth, backend, records, spawner
        self.database, self.profiles = database, profiles

    async def prepare(self) -> None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or not token:
            raise web.HTTPError(401)
        try:
            caller = await self.auth.user_for_token(token, sync=False)
        except web.HTTPError:
            # JupyterHub cannot be asked: that is nobody's fault here, and no answer either.
            raise web.HTTPError(503) from None
        if caller is None:
            raise web.HTTPError(401)
        if not self.auth.check_scopes(self.auth.access_scopes, caller):
            raise web.HTTPError(403)

    def check_xsrf_cookie(self) -> None:
        """Callers prove themselves by a header that no browser sends by itself; cookies mean nothing here."""

    def answer(self, content: object) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(content))

    def write_error(self, status_code: int, **details: Any) -> None:
        self.answer({"status": status_code, "message": self._reason})

    def answer_failure(self, failure: Failure | None) -> None:
        """Answer what is known of a failure; 404 where nothing is."""
        if failure is None:
            raise web.HTTPError(404)
        self.answer(failure)

    def number(self, name: str) -> int:
        """Return a query parameter that must be a whole number."""
        try:
            return int(self.get_query_argument(name))
        except ValueError:
            raise web.HTTPError(422, reason=f"{name} must be a whole number") from None


class ServersHandler(TruthHandler):
    """`GET /servers`: everything that lives, and when it was last used; and with what none can be started now."""

    async def get(self) -> None:
        # What lives is the truth at a moment after this one: nothing that was seen alive is missing.
        used = await asyncio.to_thread(last_used, self.database)
        servers = [
            msgspec.structs.replace(report, last_activity=used.get((report.hub_user, report.hub_name)))
            for report in await self.backend.living()
        ]
        cannot = await asyncio.to_thread(unavailable, self.profiles, self.spawner)
        self.answer({"servers": servers, "spawner": self.spawner, "complete": True, "unavailable": cannot})


class ServerHandler(TruthHandler):
    """`GET` and `DELETE /servers/{server_id}`: one server."""

    async def get(self, server_id: str) -> None:
        self.answer({"processes": await self.backend.living_of(server_id)})

    async def delete(self, server_id: str) -> None:
        self.answer({"processes": await self.backend.end(server_id, self.number("up_to_generation"))})


class LogHandler(TruthHandler):
    """`GET /log/{server_id}`: the last lines of a living server's log; 404 where there is none."""

    async def get(self, server_id: str) -> None:
        lines = await self.backend.log(server_id)
        if lines is None:
            raise web.HTTPError(404)
        self.answer({"log": lines})


class FailureHandler(TruthHandler):
    """`GET /failure/{server_id}?generation=`: why a start failed or a server ended, as JupyterHub noted it."""

    async def get(self, server_id: str) -> None:
        self.answer_failure(self.records.failure(server_id, self.number("generation")))


class EndingHandler(TruthHandler):
    """`GET /ending/{server_id}?generation=`: how a server ended that does not live, noted or not."""

    async def get(self, server_id: str) -> None:
        self.answer_failure(await self.backend.ending(server_id, self.number("generation")))


def make_app(
    auth: HubAuth, backend: Backend, records: Records, spawner: str, database: Path, profiles: Profiles, prefix: str
) -> web.Application:
    """Return the service below `prefix` (which ends with a slash), beside the hub's `database`."""
    shared = {
        **{"auth": auth, "backend": backend, "records": records, "spawner": spawner, "database": database},
        "profiles": profiles,
    }
    server = f"({SERVER_ID.pattern})"
    routes: list[tuple[str, type[TruthHandler]]] = [
        ("servers", ServersHandler),
        (f"servers/{server}", ServerHandler),
        (f"log/{server}", LogHandler),
        (f"failure/{server}", FailureHandler),
        (f"ending/{server}", EndingHandler),
    ]
    return web.Application([(prefix + path, handler, shared) for path, handler in routes])


async def backend_for(settings: HubSettings) -> Backend:
    """Return the truth of the spawner in use. Imports only what is used."""
    kind = settings.spawner
    if kind == "kube":
        from hub.kubernetes import KubernetesBackend

        return await KubernetesBackend.connect(settings)
    if kind == "docker":
        from hub.docker import DockerBackend

        return DockerBackend.connect(settings)
    return MachineBackend(Machine(Records(settings.data_dir)))


def _end_with_the_hub(exit_now: Callable[[int], None] = sys.exit) -> None:
    """A hub that is killed leaves its services behind, and the next hub needs this port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            exit_now(1)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    # The access log would only repeat what the hub's proxy sees; problems still show.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    settings = HubSettings.from_environment()
    auth = HubAuth(cache_max_age=_TOKEN_CACHE_SECONDS)
    address = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    records, database = Records(settings.data_dir), database_of(settings.data_dir)
    backend = await backend_for(settings)
    app = make_app(auth, backend, records, settings.spawner, database, settings.profiles(), prefix)
    app.listen(address.port or 80, address.hostname or "127.0.0.1")
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


if __name__ == "__main__":
    _end_with_the_hub()
    asyncio.run(main())
