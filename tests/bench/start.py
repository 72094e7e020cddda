"""What a start costs through us, against the same start by a raw call to JupyterHub.

Pairs are interleaved on one stack: the same spawner, the same person, a signed spec made by the same function,
both seen by asking every 50 ms. Which of the two comes first alternates.
"""

import asyncio
import statistics
import time
from collections import defaultdict
from datetime import datetime
from typing import Any

from temporalio.client import Client

from integrations.hub_connection import HubConnection
from integrations.jupyterhub import HubServer, JupyterHub
from integrations.truth import Truth
from models.database import engine
from models.database.sql import rows
from models.domain.ids import new_id
from models.domain.server_spec import ServerSpec, sign_spec
from models.domain.settings import Settings
from stack import secrets
from tests.bench.judge import cpu_of, median_and_interval
from tests.bench.verdicts import told
from tests.e2e.people import Json, Member
from tests.events import closed, events_of
from tests.stacks import Stack

ALICE = "alice@example.org"
POLL_SECONDS = 0.05
MOST_RATIO, MOST_HIGH = 1.05, 1.10
# Half of what they were at commit d13c188: 130 ms and 31 events.
MOST_WORKER_MS, MOST_EVENTS = 65.0, 15.5


async def measure(stack: Stack, pairs: int) -> dict[str, Any]:
    """Run the pairs; the ratio, and what our part of a start takes."""
    connection = HubConnection(stack.secrets.worker_token)
    hub = JupyterHub(connection, stack.info.jupyterhub)
    truth = Truth(connection, f"{stack.info.jupyterhub}/services/nbhub-truth")
    ratios: list[float] = []
    try:
        async with Member.signed_in(stack.info.api, ALICE, await stack.token(ALICE)) as alice:
            ours = _Ours(alice, await stack.temporal_client(), stack.info.pids["worker"])
            # Once each, not counted: caches of the machine, and the home directory.
            await ours.start()
            user = await alice.hub_user()
            home = await _home(stack, user)
            await _raw(stack, hub, truth, user, home)
            ours.forget()
            for number in range(pairs):
                if number % 2:
                    raw = await _raw(stack, hub, truth, user, home)
                    took = await ours.start()
                else:
                    took = await ours.start()
                    raw = await _raw(stack, hub, truth, user, home)
                ratios.append(took / raw)
                print(
                    f"  pair {number + 1:2}: ours {took:5.2f} s, raw {raw:5.2f} s, ratio {took / raw:.3f}", flush=True
                )
    finally:
        await connection.close()
    for name, seconds in ours.shares.items():
        print(f"  {name:30} {1000 * statistics.median(seconds):7.0f} ms of a start (median)")
    ratio, low, high = median_and_interval(ratios)
    return {
        "ours ÷ raw": told("ours ÷ raw", ratio, MOST_RATIO, beside={"pairs": len(ratios)}),
        "its upper bound": told("its upper bound", high, MOST_HIGH, beside={"lower": low}),
        "worker CPU": told("worker CPU of a start", statistics.median(ours.worker_ms), MOST_WORKER_MS, " ms"),
        "Temporal events": told("Temporal events of a start", max(ours.events), MOST_EVENTS),
    }


class _Ours:
    """Starts through us, and what is known of them."""

    def __init__(self, alice: Member, temporal: Client, worker: int) -> None:
        self._alice, self._temporal, self._worker = alice, temporal, worker
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.shares: dict[str, list[float]] = defaultdict(list)
        self.worker_ms: list[float] = []
        self.events: list[int] = []

    async def start(self) -> float:
        """Seconds from `PUT start` until `GET /servers/{id}` says running."""
        alice = self._alice
        server = await alice.make_server()
        spent, begun = cpu_of(self._worker), time.monotonic()
        operation = await alice.wish(server, "start")
        answered = time.monotonic()
        while (await alice.see(server))["status"] != "running":
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.monotonic() - begun
        _tell_shares(await alice.succeeded(operation), answered - begun, seconds, self.shares)
        run = self._temporal.get_workflow_handle(f"server-{server['_id']}")
        await closed(run)
        self.worker_ms.append((cpu_of(self._worker) - spent) / 1e6)
        self.events.append((await events_of(run)).total())
        await alice.succeeded(await alice.delete(server))
        return seconds


async def _home(stack: Stack, user: str) -> str:
    """The home that a person's servers have."""
    async with engine.pool(Settings(database_url=stack.layout.database_url())):
        (person,) = await rows("SELECT id FROM person WHERE hub_user = :user", user=user)
    return str(stack.data_root / "notebooks" / str(person["id"]))


def _tell_shares(operation: Json, answered: float, seconds: float, shares: dict[str, list[float]]) -> None:
    shares["the API's answer"].append(answered)
    moments = [datetime.fromisoformat(operation[name]) for name in ("created_at", "started_at", "ended_at")]
    shares["until the workflow works on it"].append((moments[1] - moments[0]).total_seconds())
    for step in operation["steps"]:
        took = datetime.fromisoformat(step["ended_at"]) - datetime.fromisoformat(step["started_at"])
        shares[step["name"]].append(took.total_seconds())
    shares["until it was seen"].append(seconds - (moments[2] - moments[0]).total_seconds())


async def _raw(stack: Stack, hub: JupyterHub, truth: Truth, user: str, home: str) -> float:
    """Seconds from JupyterHub's own start call until its own answer says ready."""
    identity = new_id()
    name = f"a-lab-{identity.hex[-8:]}"
    now = int(time.time())
    spec = ServerSpec(
        server_id=str(identity),
        hub_user=user,
        hub_name=name,
        generation=1,
        person_id=home.rpartition("/")[2],
        application="jupyterlab",
        hardware="cpuSmall",
        home=home,
        issued_at=now,
        expires_at=now + 120,
    )
    key = secrets.signing_key_file(stack.layout.keys).read_bytes()
    options = {"spec": sign_spec(spec, key, secrets.spec_key_id(stack.layout.keys)), "wrapped_secrets": []}
    await hub.major_version()
    begun = time.monotonic()
    await hub.start(user, name, "A lab", options)
    while not (await hub.server(user, name)).ready:
        await asyncio.sleep(POLL_SECONDS)
    seconds = time.monotonic() - begun
    await _removed(hub, truth, user, name, str(identity))
    return seconds


async def _removed(hub: JupyterHub, truth: Truth, user: str, name: str, identity: str) -> None:
    found: HubServer = await hub.server(user, name)
    while found.active or await truth.processes(identity):
        await hub.stop(user, name)
        found = await hub.server(user, name)
        await asyncio.sleep(POLL_SECONDS)
    while await hub.knows(user, name):
        await hub.remove(user, name)
        await asyncio.sleep(POLL_SECONDS)
