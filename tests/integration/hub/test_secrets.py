"""Secrets from the real Vault in servers: in variables and files inside, nowhere outside, and gone with the server."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from integrations.vault import Value, Vault
from models.domain.ids import new_id
from models.domain.server_spec import SecretMount, ServerSpec, WrappedSecret
from stack.notebook import Notebook
from stack.vault_setup import role_of
from tests.integration.hub.harness import OTHER, USER, HubUnderTest, until
from tests.stacks import Stack

ENGINE = "secret"
VARIABLE = "shh-variable \"$(x)\" {y} 'z'\n--second line é"
RAW = "shh-raw\r\n\ttabs\0and a NUL\n" + "x" * 200_000
FILES = {f"{number} a name.txt": f"shh-file-{number}" for number in range(32)}
ONE = "shh-one\n"
# What nobody but the server may have: a part of each value.
MARKS = (b"shh-variable", b"shh-raw", b"shh-file", b"shh-one")


class Keeper:
    """Puts values into Vault as the API does, and wraps them for a start as a worker does."""

    def __init__(self, stack: Stack) -> None:
        secrets = stack.secrets
        self._api, self._worker = (
            Vault(stack.info.vault, role_of(process), secret_id, engine=ENGINE)
            for process, secret_id in (
                ("api", secrets.vault_api_secret_id),
                ("worker", secrets.vault_worker_secret_id),
            )
        )

    async def close(self) -> None:
        await self._api.close()
        await self._worker.close()

    async def make(self, kind: str, value: Value, name: str, target: str = "") -> SecretMount:
        identity = new_id()
        version = await self._api.put(identity, value, after=0)
        return SecretMount(
            id=str(identity), kind=kind, name=name, target=target, path=self._worker.path(identity), version=version
        )

    async def wrap(self, *mounts: SecretMount) -> list[WrappedSecret]:
        return [
            WrappedSecret(id=mount.id, token=await self._worker.wrap(UUID(mount.id), mount.version, 60))
            for mount in mounts
        ]


@pytest.fixture(scope="module")
async def keeper(vault: Stack) -> AsyncIterator[Keeper]:
    keeper = Keeper(vault)
    yield keeper
    await keeper.close()


@pytest.fixture(scope="module")
def secret_hub(
    vault: Stack, tmp_path_factory: pytest.TempPathFactory, hub_programs: dict[str, str]
) -> Iterator[HubUnderTest]:
    """A hub that knows the Vault, and has no credential for it."""
    settings = {"NBHUB_HUB_VAULT_URL": vault.info.vault}
    hub = HubUnderTest(tmp_path_factory.mktemp("secrets"), hub_programs, settings=settings)
    try:
        hub.start()
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="module")
async def mounts(keeper: Keeper) -> tuple[SecretMount, ...]:
    """A secret of each kind."""
    return (
        await keeper.make("env_var", VARIABLE, "API_KEY"),
        await keeper.make("raw", RAW, "a key", "/opt/secret/keys/raw"),
        await keeper.make("file", FILES, "many", "/opt/secret/many"),
        await keeper.make("file", ONE, "one.txt", "/srv/deep/down"),
    )


@pytest.fixture(scope="module")
async def trusted(
    secret_hub: HubUnderTest, keeper: Keeper, mounts: tuple[SecretMount, ...]
) -> AsyncIterator[ServerSpec]:
    """A server with secrets, and with a module."""
    module = secret_hub.module(USER, "tool/1.0")
    spec = secret_hub.spec(secrets=mounts, modules=("tool/1.0",), mounts=module)
    secret_hub.spawn(spec, await keeper.wrap(*mounts))
    yield spec
    secret_hub.end(spec)


@pytest.fixture(scope="module")
async def kernel(secret_hub: HubUnderTest, trusted: ServerSpec) -> AsyncIterator[Notebook]:
    async with secret_hub.notebook(trusted) as notebook:
        await notebook.run(LOOK)
        yield notebook


# Runs inside: what the tests ask about files.
LOOK = """
import errno, json, os, stat, subprocess
def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
def read(path):
    return open(path, newline="").read()
def facts(path):
    one = os.lstat(path)
    system = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip()
    return [stat.filemode(one.st_mode), one.st_uid == os.getuid() == 1000, one.st_gid == os.getgid(), system]
"""
FILE_PATHS = ["/opt/secret/keys/raw", *(f"/opt/secret/many/{name}" for name in FILES), "/srv/deep/down/one.txt"]


async def answer(notebook: Notebook, expression: str) -> object:
    return json.loads(await notebook.run(f"print(json.dumps({expression}))"))


async def test_a_variable_is_in_kernels_and_terminals(
    secret_hub: HubUnderTest, trusted: ServerSpec, kernel: Notebook
) -> None:
    assert await answer(kernel, "os.environ['API_KEY']") == VARIABLE
    assert await answer(kernel, "subprocess.run(['printenv', 'API_KEY'], capture_output=True, text=True).stdout") == (
        VARIABLE + "\n"
    )
    async with secret_hub.terminal(trusted) as terminal:
        assert await terminal.run("printenv API_KEY") == (0, VARIABLE + "\n")
        assert await terminal.run("its-tool") == (0, "tool runs\n")


async def test_files_are_at_their_targets(secret_hub: HubUnderTest, trusted: ServerSpec, kernel: Notebook) -> None:
    assert await answer(kernel, "read('/opt/secret/keys/raw')") == RAW
    assert await answer(kernel, "sorted(os.listdir('/opt/secret'))") == ["keys", "many"]
    many = "{name: read('/opt/secret/many/' + name) for name in os.listdir('/opt/secret/many')}"
    assert await answer(kernel, many) == FILES
    assert await answer(kernel, "os.listdir('/srv/deep/down')") == ["one.txt"]
    async with secret_hub.terminal(trusted) as terminal:
        assert await terminal.run("cat /srv/deep/down/one.txt") == (0, ONE)


async def test_files_are_their_users_alone_and_in_memory(kernel: Notebook) -> None:
    for path in FILE_PATHS:
        assert await answer(kernel, f"facts({path!r})") == ["-r--------", True, True, "tmpfs"]


async def test_files_cannot_be_changed(kernel: Notebook) -> None:
    for path in FILE_PATHS[:2] + FILE_PATHS[-1:]:
        for change in (
            f"open, {path!r}, 'r+'",
            f"open, {path!r} + '2', 'w'",
            f"os.chmod, {path!r}, 0o600",
            f"os.unlink, {path!r}",
            f"os.rename, {path!r}, '/tmp/away'",
        ):
            assert await answer(kernel, f"attempt({change})") in ("EROFS", "EACCES", "EXDEV"), change
    assert await answer(kernel, "read('/srv/deep/down/one.txt')") == ONE


def content(file: Path) -> bytes:
    """What a file of /proc holds; nothing when its process has ended meanwhile."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def link(file: Path) -> str:
    try:
        return os.readlink(file)
    except OSError:
        return ""


def descriptors(process: Path) -> dict[int, str]:
    """Where the open descriptors of a process lead."""
    try:
        return {int(file.name): link(file) for file in (process / "fd").iterdir()}
    except OSError:
        return {}


def split(hub: HubUnderTest, spec: ServerSpec) -> tuple[list[Path], list[Path]]:
    """The processes outside of a server's sandbox and those inside."""
    reported = (hub.data_dir / "records" / f"{spec.server_id}.status").read_text()
    sandbox = link(Path(f"/proc/{json.loads(reported.splitlines()[0])['child-pid']}/ns/pid"))
    assert sandbox
    found = {process: link(process / "ns" / "pid") for process in Path("/proc").glob("[0-9]*")}
    return (
        [process for process, namespace in found.items() if namespace != sandbox],
        [process for process, namespace in found.items() if namespace == sandbox],
    )


def holder(hub: HubUnderTest, spec: ServerSpec) -> Path:
    """The process that holds a server's sandbox up."""
    (held,) = hub.processes(spec)
    return Path(f"/proc/{held['pid']}")


@pytest.mark.usefixtures("kernel")
def test_nothing_outside_of_the_sandbox_shows_them(secret_hub: HubUnderTest, trusted: ServerSpec) -> None:
    outside, inside = split(secret_hub, trusted)
    assert {holder(secret_hub, trusted), Path(f"/proc/{os.getpid()}")} <= set(outside)
    # Server and kernel have the variable: what is looked for can be found.
    assert len([process for process in inside if b"shh-variable" in content(process / "environ")]) >= 2
    for process in outside:
        assert not [mark for mark in MARKS if mark in content(process / "environ")], process
    for process in outside + inside:
        assert not [mark for mark in MARKS if mark in content(process / "cmdline")], process


@pytest.mark.usefixtures("kernel")
def test_no_descriptor_of_the_launch_is_left(secret_hub: HubUnderTest, trusted: ServerSpec) -> None:
    outside, inside = split(secret_hub, trusted)
    for process in outside + inside:
        assert not [path for path in descriptors(process).values() if path.startswith("/memfd:launch")], process
    # Lock and status are the monitor's alone, and nothing of the sandbox has them.
    records = str(secret_hub.data_dir / "records" / trusted.server_id)
    holding = [
        process
        for process in outside + inside
        if any(path.startswith(records) for path in descriptors(process).values())
    ]
    assert [process.name for process in holding] == [str(found["pid"]) for found in secret_hub.processes(trusted)]
    assert holding[0] in outside


async def test_other_servers_have_nothing_of_them(
    secret_hub: HubUnderTest, trusted: ServerSpec, kernel: Notebook
) -> None:
    for user in (OTHER, USER):
        spec = secret_hub.spec(hub_user=user)
        secret_hub.spawn(spec)
        async with secret_hub.notebook(spec) as notebook:
            await notebook.run(LOOK)
            assert await answer(notebook, "'API_KEY' in os.environ") is False
            assert await answer(notebook, "[os.path.lexists(path) for path in ('/opt/secret', '/srv')]") == [
                False,
                False,
            ]
            # All but that of what lets people in, which no kernel can read.
            serving = "b'--serve' in open(f'/proc/{p}/cmdline', 'rb').read()"
            others = f"p for p in os.listdir('/proc') if p.isdigit() and not {serving}"
            environments = f"[open(f'/proc/{{p}}/environ').read() for p in [{others}]]"
            seen = str(await answer(notebook, environments))
            assert "JUPYTERHUB_USER" in seen
            assert "shh-" not in seen
        secret_hub.end(spec)


def files_with_marks(directory: Path) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file() and any(mark in content(file) for mark in MARKS)]


async def test_they_are_in_no_file_and_gone_with_the_server(
    secret_hub: HubUnderTest, keeper: Keeper, mounts: tuple[SecretMount, ...]
) -> None:
    spec = secret_hub.spec(secrets=mounts)
    secret_hub.spawn(spec, await keeper.wrap(*mounts))
    async with secret_hub.notebook(spec) as notebook:
        await notebook.run(LOOK)
        assert await answer(notebook, "read('/srv/deep/down/one.txt')") == ONE
    assert (secret_hub.data_dir / "jupyterhub.sqlite").exists()
    assert files_with_marks(secret_hub.directory) == []
    secret_hub.end(spec)
    # So that the search can find something.
    sample = secret_hub.roots["notebooks"] / USER / "sample"
    sample.write_text(ONE)
    assert files_with_marks(secret_hub.directory) == [sample]
    sample.unlink()
    assert files_with_marks(Path("/dev/shm")) == []
    # Nor is a token in a log, which would outlive it.
    for log in (secret_hub.log_file, *(secret_hub.data_dir / "logs").iterdir()):
        assert "hvs." not in log.read_text()


async def test_a_used_token_starts_no_server(
    secret_hub: HubUnderTest, keeper: Keeper, mounts: tuple[SecretMount, ...]
) -> None:
    wrapped = await keeper.wrap(*mounts)
    first = secret_hub.spec(secrets=mounts)
    secret_hub.spawn(first, wrapped)
    secret_hub.end(first)
    again = secret_hub.spec(secrets=mounts, server_id=first.server_id, generation=2)
    refused = secret_hub.order(again, wrapped=wrapped)
    assert refused.status_code == 422
    reason = f"the token of the secret {mounts[0].id} was used already or has ended: start the server again"
    assert refused.json()["message"] == reason
    failure = secret_hub.failure(again)
    assert (failure["reason"], failure["log"]) == (reason, "")
    assert secret_hub.processes(again) == []
    until(lambda: not secret_hub.model(again).get("pending"), 10, "nothing is pending")
    # As the reason says.
    third = secret_hub.spec(secrets=mounts, server_id=first.server_id, generation=3)
    secret_hub.spawn(third, await keeper.wrap(*mounts))
    secret_hub.end(third)


async def test_a_token_opens_what_was_signed_and_nothing_else(
    secret_hub: HubUnderTest, keeper: Keeper, mounts: tuple[SecretMount, ...]
) -> None:
    mine, other = mounts[0], mounts[3]
    (token,) = await keeper.wrap(other)
    spec = secret_hub.spec(secrets=(mine,))
    refused = secret_hub.order(spec, wrapped=[WrappedSecret(id=mine.id, token=token.token)])
    assert refused.status_code == 422
    assert "is for something else" in secret_hub.failure(spec)["reason"]
    missing = secret_hub.order(secret_hub.spec(secrets=(mine,)))
    assert missing.status_code == 422
    assert "are not those of the server's secrets" in missing.json()["message"]
    # It was not used up.
    own = secret_hub.spec(secrets=(other,))
    secret_hub.spawn(own, [token])
    secret_hub.end(own)


async def test_what_a_server_says_of_them_is_not_kept(secret_hub: HubUnderTest, keeper: Keeper) -> None:
    secret = await keeper.make("env_var", "shh-said aloud", "API_KEY")
    spec = secret_hub.spec(secrets=(secret,))
    secret_hub.spawn(spec, await keeper.wrap(secret))
    async with secret_hub.notebook(spec) as notebook:
        await notebook.run(
            "import os\nwith open('/proc/1/fd/2', 'a') as log: print('I say', os.environ['API_KEY'], file=log)"
        )
    until(lambda: "I say shh-said aloud" in secret_hub.log_of(spec).read_text(), 5, "the log has it")
    (process,) = secret_hub.processes(spec)
    os.kill(process["pid"], signal.SIGKILL)
    until(lambda: not secret_hub.model(spec).get("ready"), 15, "the hub notices")
    failure = until(lambda: secret_hub.failure(spec), 5, "a failure is kept")
    assert "I say ***" in failure["log"]
    assert "shh" not in failure["log"] + failure["reason"]


async def test_a_hub_that_knows_no_vault_refuses_secrets(
    hub: HubUnderTest, keeper: Keeper, mounts: tuple[SecretMount, ...]
) -> None:
    spec = hub.spec(secrets=mounts)
    refused = hub.order(spec, wrapped=await keeper.wrap(*mounts))
    assert refused.status_code == 422
    assert "knows no Vault" in refused.json()["message"]
    assert hub.processes(spec) == []
