"""The worker dies at every crash point of what happens to what people share; share and revoke race. All ends right."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import pytest

from activities.access import STOP
from stack.notebook import Notebook
from stack.state import StackFailed
from tests.e2e.people import ENDED, Json, Member
from tests.e2e.processes import processes_of
from tests.stacks import Stack
from tests.turns import of_this_turn

_BEGIN = ("begin_object.before", "begin_object.after")
_PLACE = ("place_directory.before", "place_directory.effect", "place_directory.after")
_SETTLE = ("settle_object.before", "settle_object.after")
_LOOK = ("find_holders.before", "find_holders.after")
_WITHDRAW = ("withdraw.before", "withdraw.effect", "withdraw.after")
_MODULEFILE = ("place_modulefile.before", "place_modulefile.effect", "place_modulefile.after")
POINTS = {
    ("dataset", "create"): (*_BEGIN, *_PLACE, *_SETTLE),
    ("dataset", "delete"): (*_BEGIN, *_LOOK, *_WITHDRAW, *_PLACE, *_SETTLE),
    ("dataset", "restore"): (*_BEGIN, *_PLACE, *_SETTLE),
    ("dataset", "share"): (
        *("begin_access.before", "begin_access.after", *_LOOK),
        *("settle_access.before", "settle_access.after"),
    ),
    ("dataset", "revoke"): (
        *("begin_access.before", "begin_access.after", *_LOOK, *_WITHDRAW),
        *("settle_access.before", "settle_access.after"),
    ),
    # What is the same for every kind was gone through above.
    ("module", "create"): _MODULEFILE,
    ("module", "update"): _MODULEFILE,
    ("module", "delete"): _MODULEFILE,
    ("module", "restore"): _MODULEFILE,
    ("secret", "delete"): ("destroy_value.before", "destroy_value.effect", "destroy_value.after", *_SETTLE),
}
# Where a server has to hold the dataset for the point to be reached.
HELD = set(_WITHDRAW)
_PATHS = {"dataset": "/datasets", "module": "/modules", "secret": "/secrets"}


class Rehearsal:
    """One record, on its way to a verb at which the worker is to die at one point."""

    def __init__(self, alice: Member, bob: Member, kind: str, verb: str, point: str, number: int) -> None:
        self.alice, self.bob, self.kind, self.verb, self.point, self.number = alice, bob, kind, verb, point, number
        self.held = point in HELD
        self.record: Json = {}
        self.server: Json = {}
        self.operation: Json = {}

    @property
    def path(self) -> str:
        path = "/secret" if self.kind == "secret" else _PATHS[self.kind]
        return f"{path}/{self.record['_id']}"

    @property
    def workflow(self) -> str:
        prefix = f"access-{self.kind}" if self.verb in ("share", "revoke") else self.kind
        return f"{prefix}-{self.record['_id']}"

    async def prepare(self) -> None:
        """Everything that comes before the verb; a creation is prepared by doing nothing."""
        if self.verb == "create":
            return
        await self._create(wait="wait=60")
        if self.verb == "restore":
            await self.alice.call("DELETE", self.path, expect=204, headers={"Prefer": "wait=60"})
        if self.kind == "dataset" and self.verb in ("revoke", "delete"):
            await self._share()
        if self.held:
            template = await self.alice.make_template(name="Held", public=True, datasets=[self.record["_id"]])
            self.server = await self.bob.launch(template["_id"])
            await self.bob.succeeded(await self.bob.wish(self.server, "start"))

    async def _create(self, wait: str) -> None:
        name = f"crash{self.number}"
        body: Json = {
            "dataset": {"name": name},
            "module": {"name": name, "version": "1"},
            "secret": {"secretName": name, "type": "raw", "value": "x"},
        }[self.kind]
        self.record = await self.alice.call(
            "POST", _PATHS[self.kind], json=body, expect=(200, 202), headers={"Prefer": wait}
        )

    async def _share(self) -> None:
        body = {"relation": "read", "userArray": [self.bob.email]}
        await self.alice.succeeded(await self.alice.call("POST", f"{self.path}/share", expect=202, json=body))

    async def begin(self, stack: Stack) -> None:
        """Do the verb with the point armed. Nothing works on it yet: the worker is away."""
        who = {"relation": "read", "userArray": [self.bob.email]}
        match self.verb:
            case "create":
                await self._create(wait="wait=0")
            case "delete":
                await self.alice.call("DELETE", self.path, expect=202, headers={"Prefer": "wait=0"})
            case "restore":
                await self.alice.call("POST", f"{self.path}/restore", expect=202, headers={"Prefer": "wait=0"})
            case "update":
                change = {"version": "2"}
                await self.alice.call("PATCH", self.path, expect=202, json=change, headers={"Prefer": "wait=0"})
            case "share" | "revoke":
                await self.alice.call("POST", f"{self.path}/{self.verb}", expect=202, json=who)
        stack.arm(f"{self.point}@{self.workflow}")
        (self.operation,) = await self.alice.call(
            "GET",
            "/operations",
            params={"subject": self.record["_id"], "kind": f"{self.kind}.{self.verb}", "limit": "1"},
        )

    def armed(self, stack: Stack) -> bool:
        """Whether the worker has yet to die at the point."""
        return stack.armed(f"{self.point}@{self.workflow}")

    async def withdraws(self, stack: Stack) -> bool:
        """Whether the point is reached even if the server that holds the dataset is stopped by somebody else."""
        if not self.held or not self.armed(stack):
            return True
        begun = any(step["name"] == STOP for step in (await self._seen())["steps"])
        return begun and self.point == "withdraw.after"

    async def ended(self) -> bool:
        """Whether the operation of the verb has."""
        return (await self._seen())["status"] in ENDED

    async def _seen(self) -> Json:
        found: Json = await self.alice.call("GET", f"/operations/{self.operation['_id']}")
        return found

    async def check(self, stack: Stack) -> None:
        """The database and the outside say the same."""
        gone = self.verb == "delete"
        await self.alice.call("GET", self.path, expect=404 if gone else 200)
        if self.kind == "secret":
            assert await self._has_value(stack) is False, self.point
            return
        root = stack.data_root / ("datasets" if self.kind == "dataset" else "modules/binaries")
        live, trashed = (root / self.record["_id"]).is_dir(), (root / ".trash" / self.record["_id"]).is_dir()
        assert (live, trashed) == (not gone, gone), (self.kind, self.verb, self.point)
        if self.kind == "module":
            version = "2" if self.verb == "update" else "1"
            files = [path.name for path in (root.parent / "modulefiles").rglob(f"crash{self.number}/*")]
            assert files == ([] if gone else [f"{version}.lua"]), (self.verb, self.point)
        await self.bob.call("GET", self.path, expect=200 if self.verb == "share" else 404)
        if self.held:
            assert processes_of(self.server) == []
            assert (await self.bob.see(self.server))["status"] == "stopped"
            await self.bob.succeeded(await self.bob.delete(self.server))
        if not gone:
            await self.alice.call("DELETE", self.path, expect=(202, 204))

    async def _has_value(self, stack: Stack) -> bool:
        """Whether Vault knows anything of the secret."""
        token = msgspec.json.decode((stack.directory / "vault" / "keys.json").read_bytes())["root_token"]
        async with httpx.AsyncClient(base_url=stack.info.vault, headers={"X-Vault-Token": token}, timeout=30) as root:
            answer = await root.get(f"/v1/secret/metadata/{self.record['secret_path']}")
        assert answer.status_code in (200, 404), answer.text
        return answer.status_code == 200


async def test_kill_9_of_the_worker_at_every_point_of_a_records_life(
    alice: Member, bob: Member, stack: Stack, pytestconfig: pytest.Config
) -> None:
    """All of a turn at once: each point kills the worker of that moment, whatever else it is doing."""
    kills = [(kind, verb, point) for (kind, verb), points in POINTS.items() for point in points]
    rehearsals = [
        Rehearsal(alice, bob, kind, verb, point, number)
        for number, (kind, verb, point) in enumerate(of_this_turn(kills, pytestconfig), start=1)
    ]
    await asyncio.gather(*(one.prepare() for one in rehearsals))
    deaths = 0

    async def revive() -> None:
        # It may die again before anybody has seen that it works.
        with contextlib.suppress(StackFailed):
            await stack.start_part("worker")

    async def work_until(over: Callable[[Rehearsal], Awaitable[bool]]) -> None:
        """Returns once it is over for all; a worker that died is started again."""
        nonlocal deaths
        left = rehearsals
        async with asyncio.timeout(600):
            while left:
                if stack.ended("worker"):
                    deaths += 1
                    await revive()
                left = [one for one in left if not await over(one)]
                await asyncio.sleep(0.1)

    # A pass of the reconciler stops whatever holds too much, also what was asked for and not yet done: where no worker
    # lives long enough, nothing would be left to be withdrawn. The rest of the work needs the reconciler, as always.
    async with stack.without_reconciler():
        await stack.stop_part("worker")
        for one in rehearsals:
            await one.begin(stack)
        await revive()
        await work_until(lambda one: one.withdraws(stack))
    await work_until(Rehearsal.ended)
    # A last point may kill it after the last operation has ended.
    if stack.ended("worker"):
        deaths += 1
        await stack.start_part("worker")
    assert [one.point for one in rehearsals if one.armed(stack)] == []
    assert deaths == len(rehearsals)
    for one in rehearsals:
        await alice.succeeded(one.operation)
        await one.check(stack)
    known = {one.record["_id"] for one in rehearsals if one.kind == "dataset"}
    root = stack.data_root / "datasets"
    assert known <= {entry.name for folder in (root, root / ".trash") for entry in folder.iterdir()}


async def test_share_and_revoke_race(
    alice: Member, bob: Member, stack: Stack, hub_token: Callable[[str], Awaitable[str]]
) -> None:
    """Both orders, with the worker killed in between: what the database says is what servers hold in the end."""
    for last in ("share", "revoke"):
        dataset = await alice.call("POST", "/datasets", json={"name": f"raced-{last}"}, headers={"Prefer": "wait=60"})
        template = await alice.make_template(name="Raced", public=True, datasets=[dataset["_id"]])
        path, who = f"/datasets/{dataset['_id']}", {"relation": "read", "userArray": [bob.email]}
        await alice.succeeded(await alice.call("POST", f"{path}/share", expect=202, json=who))
        server = await bob.launch(template["_id"])
        await bob.succeeded(await bob.wish(server, "start"))
        verbs = ["revoke", "share"] * 3 if last == "share" else ["share", "revoke"] * 3
        # By itself: of one that is shared again before a worker looks there is nothing to withdraw.
        stack.arm(f"withdraw.after@access-dataset-{dataset['_id']}")
        operations = [await alice.call("POST", f"{path}/revoke", expect=202, json=who)]
        await stack.died("worker")
        raced = (alice.call("POST", f"{path}/{verb}", expect=202, json=who) for verb in verbs[:-1])
        _, *others = await asyncio.gather(stack.start_part("worker"), *raced)
        operations += others
        operations.append(await alice.call("POST", f"{path}/{last}", expect=202, json=who))
        for operation in operations:
            await alice.succeeded(operation)
        await bob.call("GET", path, expect=200 if last == "share" else 404)
        running = (await bob.see(server))["status"] == "running"
        if last == "revoke":
            assert not running
            assert processes_of(server) == []
        if not running:
            await bob.succeeded(await bob.wish(server, "start"))
        async with Notebook(server["url"], await hub_token(bob.email)) as notebook:
            held = await notebook.run(f"import os; print(os.path.isdir('/opt/datasets/{dataset['name']}'))")
        assert held.strip() == str(last == "share")
        await bob.succeeded(await bob.delete(server))
        await alice.call("DELETE", path, expect=(202, 204), headers={"Prefer": "wait=60"})
