"""A JupyterHub that does what a test tells it: slow, failing, forgetful or away, which a real one cannot be made to be.

It stands where `JupyterHub` and `Truth` of integrations stand and keeps their promises, no more.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from integrations.jupyterhub import HubGroup, HubServer, Progress, ShareCode
from integrations.truth import Everything, Failure, Process
from models.domain.errors import HubRefused, HubUnavailable, HubUserMissing
from models.domain.profiles import Unavailable


class SimulatedHub:
    """Servers, users and processes in memory."""

    def __init__(self) -> None:
        self.away = False
        self.refusal = ""
        self.failure_reason = ""
        self.forgets_processes = False
        self.ignores_stops = False
        self.ignores_removals = False
        self.processes_are_immortal = False
        self.looked = 0
        self.cannot: Unavailable | None = None
        self.ready = asyncio.Event()
        self.ready.set()
        self.users: set[str] = set()
        self.known: dict[tuple[str, str], HubServer] = {}
        self.living: dict[str, Process] = {}
        self.failures: dict[tuple[str, int], Failure] = {}
        self.starts: list[int] = []
        self.options: dict[str, Any] = {}
        self.known_groups: dict[str, HubGroup] = {}
        self.kept_sessions: dict[str, list[str]] = {}
        # Of the one server that a test has.
        self.codes = 0
        self.live_codes: set[int] = set()
        self.guests: set[str] = set()
        # Guests whose access JupyterHub does not end.
        self.clinging: set[str] = set()

    def _answer(self) -> None:
        if self.away:
            raise HubUnavailable("JupyterHub does not answer.", away=True)

    async def groups(self, prefix: str) -> AsyncIterator[HubGroup]:
        self._answer()
        for group in list(self.known_groups.values()):
            yield group

    async def keep_group(self, name: str, users: set[str], properties: dict[str, str]) -> None:
        self._answer()
        self.known_groups[name] = HubGroup(name=name, users=sorted(users), properties=dict(properties))

    async def remove_group(self, name: str) -> None:
        self._answer()
        self.known_groups.pop(name, None)

    async def ensure_user(self, user: str) -> None:
        self._answer()
        self.users.add(user)

    async def active(self, user: str) -> list[str] | None:
        self._answer()
        if user not in self.users:
            return None
        return [name for (owner, name), server in self.known.items() if owner == user and server.active]

    async def remove_user(self, user: str) -> None:
        self._answer()
        assert not await self.active(user), "JupyterHub removes no user of whom a server runs"
        if not self.ignores_removals:
            self.users.discard(user)
            self.known = {key: server for key, server in self.known.items() if key[0] != user}

    async def end_sessions(self, user: str, kept: list[str]) -> None:
        self._answer()
        self.kept_sessions[user] = kept

    async def server(self, user: str, name: str) -> HubServer:
        self._answer()
        self.looked += 1
        if user not in self.users:
            raise HubUserMissing(f"JupyterHub has no user {user}.")
        found = self.known.get((user, name), HubServer(user=user, name=name))
        if found.pending == "spawn" and self.ready.is_set():
            found = self.known[user, name] = self._end_spawn(found)
        return found

    def _end_spawn(self, server: HubServer) -> HubServer:
        assert server.generation is not None
        if self.failure_reason:
            identity = next(one for one, process in self.living.items() if process.hub_name == server.name)
            del self.living[identity]
            self.failures[identity, server.generation] = Failure(reason=self.failure_reason, log="the last line")
            return msgspec.structs.replace(server, pending=None, stopped=True)
        return msgspec.structs.replace(server, pending=None, ready=True)

    async def elsewhere(self, user: str, name: str) -> HubServer | None:
        self._answer()
        found = (one for one in self.known.values() if one.name == name and one.user != user and one.active)
        return next(found, None)

    async def knows(self, user: str, name: str) -> bool:
        self._answer()
        return (user, name) in self.known

    async def start(self, user: str, name: str, display_name: str, options: dict[str, Any]) -> None:
        self._answer()
        self.options = options
        if self.refusal:
            raise HubRefused(self.refusal, hint="Choose another.")
        payload = options["spec"].split(".")[1]
        spec = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="))
        assert not self.known.get((user, name), HubServer(user=user, name=name)).active, "two spawns at once"
        self.starts.append(spec["generation"])
        self.known[user, name] = HubServer(
            user=user, name=name, stopped=False, pending="spawn", generation=spec["generation"]
        )
        self.living[spec["server_id"]] = Process(
            server_id=spec["server_id"], hub_user=user, hub_name=name, generation=spec["generation"]
        )

    async def progress(self, user: str, name: str) -> AsyncIterator[Progress]:
        self._answer()
        yield Progress(message="starting")
        await self.ready.wait()
        self._answer()
        if self.failure_reason:
            yield Progress(failed=True, message=self.failure_reason)
        else:
            yield Progress(ready=True)

    async def stop(self, user: str, name: str) -> None:
        self._answer()
        if self.ignores_stops:
            return
        found = self.known[user, name]
        self.known[user, name] = HubServer(user=user, name=name, generation=found.generation)
        if not self.forgets_processes and not self.processes_are_immortal:
            self.living = {one: process for one, process in self.living.items() if process.hub_name != name}

    async def remove(self, user: str, name: str) -> None:
        self._answer()
        if not self.ignores_removals:
            self.known.pop((user, name), None)

    async def processes(self, server_id: str) -> list[Process]:
        self._answer()
        return [self.living[server_id]] if server_id in self.living else []

    async def everything(self) -> Everything:
        self._answer()
        return Everything(servers=list(self.living.values()), unavailable=self.cannot)

    async def end_processes(self, server_id: str, up_to_generation: int) -> list[Process]:
        self._answer()
        process = self.living.get(server_id)
        if process is not None and process.generation <= up_to_generation and not self.processes_are_immortal:
            del self.living[server_id]
        return await self.processes(server_id)

    async def failure(self, server_id: str, generation: int) -> Failure | None:
        self._answer()
        return self.failures.get((server_id, generation))

    async def log(self, server_id: str) -> str | None:
        self._answer()
        return "the last line" if server_id in self.living else None

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        return await self.failure(server_id, generation)

    async def make_share_code(self, user: str, name: str, seconds: int, public_url: str) -> ShareCode:
        self._answer()
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        self.codes += 1
        self.live_codes.add(self.codes)
        return ShareCode(url=f"{public_url}/hub/accept-share?code={self.codes}", expires_at=expires_at)

    async def end_share_codes(self, user: str, name: str) -> None:
        self._answer()
        self.live_codes.clear()

    async def unshare(self, user: str, name: str, whom: str | None = None) -> None:
        self._answer()
        if not self.ignores_removals:
            self.guests -= (self.guests if whom is None else {whom}) - self.clinging

    async def shared_with(self, user: str, name: str) -> dict[str, list[str]]:
        self._answer()
        return {"users": sorted(self.guests), "groups": []}
