"""Modules and secrets on the whole stack: what their owner, and whom they are shared with, find inside of servers."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import msgspec
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack
from tests.terminal import Terminal

_numbers = itertools.count(1)
WAIT = {"Prefer": "wait=60"}


class Bench:
    """Two people on a stack, and what one finds inside of one's server."""

    def __init__(self, stack: Stack, alice: Member, bob: Member) -> None:
        self.stack, self.alice, self.bob = stack, alice, bob

    async def module(self, person: Member, name: str, calls: list[Json], version: str = "1.0") -> Json:
        body = {"name": name, "version": version, "luaModuleFile": calls}
        made: Json = await person.call("POST", "/modules", json=body, headers=WAIT)
        return made

    async def secret(self, person: Member, name: str, type: str, value: object, **more: object) -> Json:
        body = {"secretName": name, "type": type, "value": value, **more}
        made: Json = await person.call("POST", "/secrets", json=body)
        return made

    async def shared(self, path: str, verb: str = "share") -> Json:
        """Alice shares something with Bob, or revokes it; the operation, which has succeeded."""
        body = {"relation": "read", "userArray": [self.bob.email]}
        operation = await self.alice.call("POST", f"{path}/{verb}", expect=202, json=body)
        return await self.alice.succeeded(operation)

    async def opened(self, person: Member, template: Json) -> tuple[Json, Json]:
        """A running server of somebody from a template, and the operation of its start."""
        server = await person.launch(template["_id"])
        operation = await person.succeeded(await person.wish(server, "start"))
        return await person.see(server), operation

    async def kernel(self, person: Member, server: Json, code: str) -> str:
        async with Notebook(server["url"], await self.stack.hub_token(person.email)) as notebook:
            return (await notebook.run(code)).strip()

    async def bash(self, person: Member, server: Json, command: str) -> str:
        """What a command prints in a shell that a kernel starts."""
        code = f"import subprocess\nprint(subprocess.run(['bash', '-c', {command!r}], capture_output=True, text=True))"
        return await self.kernel(person, server, code)


@pytest.fixture
def bench(stack: Stack, alice: Member, bob: Member) -> Bench:
    return Bench(stack, alice, bob)


async def test_modules_in_a_kernel_and_in_a_terminal(bench: Bench) -> None:
    number = next(_numbers)
    # What is between the quotes must arrive, and must not run.
    odd = f'{number} "); os.execute("touch /tmp/pwned") -- $(id) `id` é'
    base = await bench.module(bench.alice, f"base{number}", [{"id": "setenv", "arguments": ["BASE", odd]}])
    tools = await bench.module(
        bench.alice,
        f"tools{number}",
        [
            {"id": "whatis", "arguments": ["Description: tools"]},
            {"id": "depends_on", "arguments": [f"base{number}/1.0"]},
            {"id": "prepend_path", "arguments": ["PATH", "/opt/modules/binaries/tools/bin"]},
        ],
    )
    private = await bench.module(bench.alice, f"private{number}", [])
    for module in (base, tools):
        await bench.shared(f"/modules/{module['_id']}")
    template = await bench.alice.make_template(
        name="Tools", public=True, modules=[tools["_id"], base["_id"], private["_id"]]
    )
    server, operation = await bench.opened(bench.bob, template)
    assert [one["_id"] for one in operation["left_out"]] == [private["_id"]]

    look = "import os; print(os.environ['BASE'] + '|' + os.environ['PATH'].split(':')[0])"
    assert await bench.kernel(bench.bob, server, look) == f"{odd}|/opt/modules/binaries/tools/bin"
    listed = await bench.bash(bench.bob, server, "module list 2>&1; ls /tmp/pwned")
    assert f"tools{number}/1.0" in listed
    assert f"base{number}/1.0" in listed
    binaries, both = "/opt/modules/binaries/tools/bin", {f"base{number}/1.0", f"tools{number}/1.0"}
    async with Terminal(server["url"], await bench.stack.hub_token(bench.bob.email)) as terminal:

        async def says(command: str) -> str:
            return (await terminal.run(command))[1].strip()

        assert await says('echo "$BASE"') == odd
        assert await says("echo ${PATH%%:*}") == binaries
        assert set((await says("module --terse list")).split()) == both
        available = (await says("module --terse avail")).split()
        assert {line for line in available if not line.startswith("/") and not line.endswith("/")} == both
        assert "unknown" in await says(f"module load private{number}")
        await says(f"module unload tools{number}")
        assert await says("echo ${PATH%%:*}") != binaries
        await says(f"module load tools{number}")
        assert await says("echo ${PATH%%:*}") == binaries
        assert "No such file" in await says("ls /tmp/pwned")
    await bench.bob.succeeded(await bench.bob.delete(server))


async def test_a_renamed_module_is_there_at_the_next_start(bench: Bench, stack: Stack) -> None:
    number = next(_numbers)
    module = await bench.module(bench.alice, f"old{number}", [{"id": "setenv", "arguments": ["WHICH", "old"]}])
    server = await bench.alice.started(modules=[module["_id"]])
    change = {
        "name": f"new{number}",
        "version": "2",
        "luaModuleFile": [{"id": "setenv", "arguments": ["WHICH", "new"]}],
    }
    changed = await bench.alice.call("PATCH", f"/modules/{module['_id']}", json=change, headers=WAIT)
    assert (changed["name"], changed["version"]) == (f"new{number}", "2")
    files = {path.name for path in (stack.data_root / "modules" / "modulefiles").rglob("*.lua")}
    assert "2.lua" in files
    assert await bench.kernel(bench.alice, server, "import os; print(os.environ['WHICH'])") == "old"
    await bench.alice.succeeded(await bench.alice.wish(server, "stop"))
    await bench.alice.succeeded(await bench.alice.wish(server, "start"))
    assert await bench.kernel(bench.alice, server, "import os; print(os.environ['WHICH'])") == "new"
    # Its owner writes its binaries, from inside and over the API.
    entry = {"root": "modules", "path": module["_id"], "name": "run", "type": "file", "content": "x"}
    await bench.alice.call("POST", "/volume/file", json=entry)
    there = f"import os; print(os.listdir('/opt/modules/binaries/{module['_id']}'))"
    assert await bench.kernel(bench.alice, server, there) == "['run']"
    await bench.alice.succeeded(await bench.alice.delete(server))


async def test_a_large_module_is_in_one_piece(bench: Bench) -> None:
    """1,000 arguments, and 64 KiB of text."""
    number = next(_numbers)
    many = [{"id": "whatis", "arguments": [f"{place}"]} for place in range(998)]
    body = [*many, {"id": "setenv", "arguments": ["LAST", "x" * 32]}]
    large = [{"id": "setenv", "arguments": ["LARGE", "y" * (65_536 - 5)]}]
    made = [
        await bench.module(bench.alice, f"many{number}", body),
        await bench.module(bench.alice, f"large{number}", large),
    ]
    assert made[0]["luaModuleFile"] == body
    server = await bench.alice.started(modules=[one["_id"] for one in made])
    look = "import os; print(len(os.environ['LARGE']), len(os.environ['LAST']))"
    assert await bench.kernel(bench.alice, server, look) == f"{65_536 - 5} 32"
    for calls in ([*body, body[0]], [{"id": "setenv", "arguments": ["LARGE", "y" * (65_536 - 4)]}]):
        refused = {"name": f"more{number}", "version": "1", "luaModuleFile": calls}
        await bench.alice.call("POST", "/modules", expect=422, json=refused)
    await bench.alice.succeeded(await bench.alice.delete(server))


LOOK = """
import json, os, stat
def tell(path):
    found = os.stat(path)
    return [open(path).read(), oct(stat.S_IMODE(found.st_mode)), found.st_uid == os.getuid()]
print(json.dumps([os.environ.get(NAME), *[tell(path) if os.path.exists(path) else None for path in PATHS]]))
"""


class Safe:
    """Three secrets of Alice's in a public template."""

    def __init__(self, bench: Bench, number: int, made: list[Json], template: Json) -> None:
        self.bench, self.number, self.made, self.template = bench, number, made, template

    @classmethod
    async def filled(cls, bench: Bench) -> "Safe":
        number = next(_numbers)
        made = [
            await bench.secret(bench.alice, f"TOKEN_{number}", "env_var", f"variable {number}"),
            await bench.secret(
                bench.alice, "id_rsa", "raw", f"raw {number}\n", mount_path=f"/run/secrets/key-{number}"
            ),
            await bench.secret(bench.alice, "pair", "file", {"user": "ada", "password": f"file {number}"}),
        ]
        template = await bench.alice.make_template(name="Safe", public=True, secrets=[one["_id"] for one in made])
        return cls(bench, number, made, template)

    async def seen_by(self, person: Member, server: Json) -> list[object]:
        """The variable, and content, mode and ownership of each file."""
        directory = self.made[2]["mount_path"]
        paths = [self.made[1]["mount_path"], f"{directory}/user", f"{directory}/password"]
        code = f"NAME, PATHS = 'TOKEN_{self.number}', {paths!r}\n{LOOK}"
        found: list[object] = msgspec.json.decode(await self.bench.kernel(person, server, code))
        return found

    @property
    def everything(self) -> list[object]:
        return [
            f"variable {self.number}",
            [f"raw {self.number}\n", "0o400", True],
            ["ada", "0o400", True],
            [f"file {self.number}", "0o400", True],
        ]


async def test_secrets_in_the_owners_and_the_recipients_server(bench: Bench) -> None:
    safe = await Safe.filled(bench)
    assert safe.made[2]["mount_path"] == f"/opt/secret/{safe.made[2]['_id']}"
    owners, _ = await bench.opened(bench.alice, safe.template)
    assert await safe.seen_by(bench.alice, owners) == safe.everything
    async with Terminal(owners["url"], await bench.stack.hub_token(bench.alice.email)) as terminal:
        assert await terminal.run(f"echo $TOKEN_{safe.number}") == (0, f"variable {safe.number}\n")
        code, said = await terminal.run(f"rm -f {safe.made[1]['mount_path']}")
        assert (code, "Read-only" in said) == (1, True)

    recipients, operation = await bench.opened(bench.bob, safe.template)
    assert await safe.seen_by(bench.bob, recipients) == [None, None, None, None]
    assert {one["_id"] for one in operation["left_out"]} == {one["_id"] for one in safe.made}
    for one in safe.made:
        await bench.shared(f"/secret/{one['_id']}")
    await bench.bob.succeeded(await bench.bob.wish(recipients, "stop"))
    operation = await bench.bob.succeeded(await bench.bob.wish(recipients, "start"))
    assert "left_out" not in operation
    assert await safe.seen_by(bench.bob, recipients) == safe.everything

    await bench.shared(f"/secret/{safe.made[1]['_id']}", "revoke")
    assert processes_of(recipients) == []
    seen = await bench.bob.see(recipients)
    assert (seen["status"], seen["last_error"]["code"]) == ("stopped", "ACCESS_WITHDRAWN")
    assert (await bench.alice.see(owners))["status"] == "running"
    operation = await bench.bob.succeeded(await bench.bob.wish(recipients, "start"))
    assert [one["_id"] for one in operation["left_out"]] == [safe.made[1]["_id"]]
    assert await safe.seen_by(bench.bob, recipients) == [safe.everything[0], None, *safe.everything[2:]]
    for person, server in ((bench.alice, owners), (bench.bob, recipients)):
        await person.succeeded(await person.delete(server))


async def test_a_new_value_is_there_at_the_next_start(bench: Bench) -> None:
    number = next(_numbers)
    secret = await bench.secret(bench.alice, f"NEWER_{number}", "env_var", "first")
    server = await bench.alice.started(secrets=[secret["_id"]])
    look = f"import os; print(os.environ['NEWER_{number}'])"
    assert await bench.kernel(bench.alice, server, look) == "first"
    changed = await bench.alice.call("PATCH", f"/secret/{secret['_id']}", json={"value": "second"})
    assert (secret["version"], changed["version"]) == (1, 2)
    assert await bench.kernel(bench.alice, server, look) == "first"
    await bench.alice.succeeded(await bench.alice.wish(server, "stop"))
    await bench.alice.succeeded(await bench.alice.wish(server, "start"))
    assert await bench.kernel(bench.alice, server, look) == "second"
    await bench.alice.succeeded(await bench.alice.delete(server))
    await bench.alice.call("DELETE", f"/secret/{secret['_id']}", expect=204, headers=WAIT)
    await bench.alice.call("GET", f"/secret/{secret['_id']}", expect=404)


@pytest.fixture
async def root(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """Vault, for its root."""
    token = msgspec.json.decode((stack.directory / "vault" / "keys.json").read_bytes())["root_token"]
    async with httpx.AsyncClient(base_url=stack.info.vault, headers={"X-Vault-Token": token}, timeout=15) as client:
        yield client


async def test_vault_sealed(bench: Bench, stack: Stack, root: httpx.AsyncClient) -> None:
    """Writes of values are refused, all else goes on, and what waits ends right after it heals."""
    number = next(_numbers)
    kept = await bench.secret(bench.alice, f"KEPT_{number}", "env_var", "kept")
    gone = await bench.secret(bench.alice, f"GONE_{number}", "env_var", "gone")
    server = await bench.alice.make_server(secrets=[kept["_id"]])
    (await root.put("/v1/sys/seal")).raise_for_status()
    try:
        before = await bench.alice.call("GET", "/secrets")
        body = {"secretName": f"NONE_{number}", "type": "env_var", "value": "x"}
        answer = await bench.alice.api.post("/secrets", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "VAULT_UNAVAILABLE")
        assert answer.headers["retry-after"]
        assert "sealed" in answer.text
        await bench.alice.call("PATCH", f"/secret/{kept['_id']}", expect=503, json={"value": "y"})
        assert await bench.alice.call("GET", "/secrets") == before
        await bench.alice.call("PATCH", f"/secret/{kept['_id']}", json={"description": "goes on"})
        await bench.alice.call("POST", "/datasets", json={"name": f"sealed{number}"}, headers=WAIT)
        health = (await bench.alice.api.get("/healthcheck")).json()
        assert health["checks"]["vault"]["error"] == "is sealed"
        start = await bench.alice.wish(server, "start")
        delete = await bench.alice.call("DELETE", f"/secret/{gone['_id']}", expect=202, headers={"Prefer": "wait=0"})
        for operation in (start, delete):
            await until(reader(bench.alice, operation), says("sealed"), within=30, what="the reason of waiting")
    finally:
        await stack.start_part("vault")
    await bench.alice.succeeded(start, within=30)
    await bench.alice.succeeded(delete, within=30)
    assert await bench.kernel(bench.alice, server, f"import os; print(os.environ['KEPT_{number}'])") == "kept"
    await bench.alice.succeeded(await bench.alice.delete(server))


def reader(person: Member, operation: Json) -> Callable[[], Awaitable[Json]]:
    async def read() -> Json:
        found: Json = await person.call("GET", f"/operations/{operation['_id']}")
        return found

    return read


def says(word: str) -> Callable[[Json], bool]:
    return lambda operation: any(word in step.get("detail", "") for step in operation["steps"])


def tries_again(operation: Json) -> bool:
    """Whether a step says when it is tried next."""
    return any("next_try_at" in step for step in operation["steps"])


async def test_vault_restarted_while_servers_start(bench: Bench, stack: Stack) -> None:
    number = next(_numbers)
    secret = await bench.secret(bench.alice, f"AFTER_{number}", "env_var", "there")
    server = await bench.alice.make_server(secrets=[secret["_id"]])
    stack.kill("vault")
    await stack.died("vault")
    start = await bench.alice.wish(server, "start")
    await until(reader(bench.alice, start), tries_again, within=30, what="the reason of waiting")
    await stack.start_part("vault")
    await bench.alice.succeeded(start, within=30)
    assert await bench.kernel(bench.alice, server, f"import os; print(os.environ['AFTER_{number}'])") == "there"
    await bench.alice.succeeded(await bench.alice.delete(server))


async def test_tokens_that_end_in_the_middle(bench: Bench, root: httpx.AsyncClient) -> None:
    """API and worker log in again, once, and nobody notices."""
    number = next(_numbers)
    secret = await bench.secret(bench.alice, f"AGAIN_{number}", "env_var", "first")
    (await root.put("/v1/sys/leases/revoke-prefix/auth/approle")).raise_for_status()
    await bench.alice.call("PATCH", f"/secret/{secret['_id']}", json={"value": "second"})
    server = await bench.alice.started(secrets=[secret["_id"]])
    assert await bench.kernel(bench.alice, server, f"import os; print(os.environ['AGAIN_{number}'])") == "second"
    await bench.alice.succeeded(await bench.alice.delete(server))


async def test_a_killed_worker_hands_secrets_over_once_more(bench: Bench, stack: Stack) -> None:
    """It dies between the request for the start and the note of it; the next one finds the server."""
    number = next(_numbers)
    secret = await bench.secret(bench.alice, f"ONCE_{number}", "env_var", "there")
    server = await bench.alice.make_server(secrets=[secret["_id"]])
    stack.arm("spawn_server.effect")
    start = await bench.alice.wish(server, "start")
    await stack.died("worker")
    await stack.start_part("worker")
    await bench.alice.succeeded(start)
    assert await bench.kernel(bench.alice, server, f"import os; print(os.environ['ONCE_{number}'])") == "there"
    await bench.alice.succeeded(await bench.alice.delete(server))
