"""What the spawners of this machine share: a process that outlives the hub, known by its record.

The record is the state: after a restart of the hub, even one in the middle of a spawn, it says whether the
server lives and where it answers.
"""

import asyncio
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import random_port, url_path_join
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from traitlets import Any as AnyTrait
from traitlets import default

from hub.half_starts import ClearsHalfStarts
from hub.launch import LaunchPlan, encode_plan
from hub.limits import Limits, LimitsMissing, limits_for
from hub.machine import GRACE_SECONDS, Machine
from hub.order import Order, OrderRefused
from hub.plugin import START_ELSEWHERE, refused
from hub.records import Failure, Record, Records
from hub.settings import HubSettings
from models.domain import crash_points

_LOOK_AGAIN_SECONDS = 0.05
_ANSWER_SECONDS = 10.0
_LAUNCH_SECONDS = 10.0
_PROJECT = Path(__file__).resolve().parent.parent
STOPPED = "The server was stopped in JupyterHub, by hand or because nobody used it."


class RecordedSpawner(ClearsHalfStarts, Spawner):  # type: ignore[misc]  # JupyterHub has no types
    """Starts a process on this machine by `hub.launch` and finds it again by its record."""

    hub_settings: Any = AnyTrait(help="The `HubSettings` of JupyterHub's side.").tag(config=True)

    order: Order | None = None
    server_id = ""
    generation = -1
    # What nobody may be shown of this server's log; None: another hub started it, and knew.
    _hidden: tuple[str, ...] | None = None

    @default("env_keep")
    def _nothing_of_the_hubs_environment(self) -> list[str]:
        return []

    @default("ip")
    def _loopback_only(self) -> str:
        return "127.0.0.1"

    @cached_property
    def machine(self) -> Machine:
        settings: HubSettings = self.hub_settings
        return Machine(Records(settings.data_dir))

    def plan(self, order: Order) -> LaunchPlan:
        """Return how this order is launched; raises `OrderRefused` for what cannot be."""
        raise NotImplementedError

    def limits(self, order: Order) -> Limits:
        """Return what this order's server may use; raises `OrderRefused` where nothing would hold it to that."""
        settings: HubSettings = self.hub_settings
        try:
            return limits_for(
                order.hardware, order.spec.server_id, settings.limits == "cgroup", settings.cgroup, self.log
            )
        except LimitsMissing as problem:
            raise OrderRefused("limits-missing", str(problem)) from None

    async def start(self) -> str:
        """Start the server of the admitted order and return its URL once it answers."""
        order, self.order = self.order, None
        if order is None:
            raise refused(OrderRefused("unsigned", START_ELSEWHERE))
        # By line, too: the log's last lines may begin or end in the middle of a value.
        self._hidden = tuple(part for value in order.secrets.values() for part in (value, *value.splitlines()))
        self.server_id, self.generation = order.spec.server_id, order.spec.generation
        self.port = random_port()
        try:
            plan = self.plan(order)
            if await self.machine.end(self.server_id):
                raise OrderRefused("still-running", "an earlier process of this server does not end")
            await self._launch_and_wait(plan)
        except OrderRefused as refusal:
            ended = refusal.code == "server-exited"
            failure = self._keep_failure(refusal.message, ended=ended)
            last_words = failure.log.strip().splitlines()[-1:] if ended else []
            raise refused(OrderRefused(refusal.code, ": ".join([failure.reason, *last_words]))) from None
        return self._url(self.port)

    async def poll(self) -> int | None:
        """Return None while the server's process lives, else its exit code."""
        if self._living() is not None:
            return None
        code = self.machine.records.exit_code(self.server_id) if self.server_id else 0
        return 0 if code is None else code

    async def poll_and_notify(self) -> int | None:
        """As `poll`; a server that ended unasked leaves a note why."""
        status = await self.poll()
        if status is not None and self.server_id and not self._was_asked_to_end():
            self._keep_failure(f"The server ended by itself ({self.machine.how_it_ended(self.server_id)})", ended=True)
        return await super().poll_and_notify()

    async def stop(self, now: bool = False) -> None:
        """End the server's process; raises if it cannot be proven gone."""
        if crash_points.armed("stop.raises"):
            raise RuntimeError("a test wants this stop to fail")
        record = self._living()
        if record is not None and await self.machine.end(record.server_id, grace=0.0 if now else GRACE_SECONDS):
            raise RuntimeError(f"the process of server {record.server_id} does not end")
        if record is not None:
            # Who asked for it is not known here; where it was Notebooks Hub, nobody reads this.
            stopped = Failure(generation=record.generation, reason=STOPPED, log="", stopped=True)
            self.machine.records.write_failure(record.server_id, stopped)

    async def get_url(self) -> str:
        """Return the address of the living process: JupyterHub's own note of it may never have been written."""
        record = self._living()
        return self._url(record.port) if record is not None else str(await super().get_url())

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "server_id": self.server_id, "generation": self.generation}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.server_id, self.generation = state.get("server_id", ""), state.get("generation", -1)

    def clear_state(self) -> None:
        super().clear_state()
        self.server_id, self.generation = "", -1

    def _living(self) -> Record | None:
        records = self.machine.records
        if self.server_id:
            return records.living(self.server_id)
        record = records.living_of(self.user.name, self.name)
        if record is not None:
            # Started by a hub that was killed before it could save this.
            self.server_id, self.generation = record.server_id, record.generation
        return record

    async def _launch_and_wait(self, plan: LaunchPlan) -> None:
        launching = asyncio.ensure_future(self._launch(plan))
        try:
            # Shielded: a launch that is cut in half could still become a process that nobody ends.
            await asyncio.shield(launching)
            crash_points.reach("spawn.launched")
            await self._until_it_answers()
        except BaseException:
            await asyncio.wait([launching], timeout=_LAUNCH_SECONDS)
            await self.machine.end(plan.server_id, grace=0)
            raise

    async def _launch(self, plan: LaunchPlan) -> None:
        launcher = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hub.launch",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_PROJECT,
            env={"PYTHONPATH": str(_PROJECT)},
        )
        problem, _ = await launcher.communicate(encode_plan(plan))
        if problem:
            raise OrderRefused("launch-failed", f"The server could not be launched: {problem.decode(errors='replace')}")

    async def _until_it_answers(self) -> None:
        """Wait for the first answer of the server, of any kind; looking often, since people wait for it too."""
        client = SimpleAsyncHTTPClient(force_instance=True)
        request = HTTPRequest(
            url_path_join(self._url(self.port), self.server.base_url, "api"),
            connect_timeout=_ANSWER_SECONDS,
            request_timeout=_ANSWER_SECONDS,
            follow_redirects=False,
        )
        try:
            while self._living() is not None:
                try:
                    await client.fetch(request, raise_error=False)
                    return
                except (OSError, HTTPClientError):
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            client.close()
        how = self.machine.how_it_ended(self.server_id)
        raise OrderRefused("server-exited", f"The server ended while it was starting ({how})")

    def _was_asked_to_end(self) -> bool:
        """Say whether somebody else ended this generation for good."""
        with self.machine.records.fence(self.server_id) as fence:
            return fence.lowest > self.generation

    def _keep_failure(self, reason: str, *, ended: bool) -> Failure:
        records = self.machine.records
        record = records.last(self.server_id) if self._hidden is None else None
        known = self._hidden is not None or (record is not None and not record.secrets)
        hidden = (self.api_token, *(self._hidden or ()))
        return self.machine.keep_failure(
            self.server_id, self.generation, reason, secrets=hidden, log=known, ended=ended
        )

    def _url(self, port: int) -> str:
        return f"http://{self.ip}:{port}"


def take_order(spawner: RecordedSpawner, order: Order) -> None:
    """Give the admitted order to the spawner for its next start."""
    spawner.order = order
