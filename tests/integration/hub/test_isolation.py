"""What code inside a server can see and do: run in a kernel, through the proxy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.processes import children
from models.domain.server_spec import Mount, ServerSpec
from stack.notebook import Notebook
from tests.integration.hub.harness import USER, HubUnderTest

TRY = """
import errno, subprocess
def attempt(action):
    try:
        action()
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
"""


class Inside:
    """A kernel in a server that has one dataset to read and one to write."""

    def __init__(self, hub: HubUnderTest, spec: ServerSpec, notebook: Notebook) -> None:
        self.hub, self.spec, self._notebook = hub, spec, notebook

    async def says(self, expression: str) -> str:
        return (await self._notebook.run(f"{TRY}\nprint({expression})")).strip()


@pytest.fixture(scope="module")
async def inside(hub: HubUnderTest) -> AsyncIterator[Inside]:
    group = hub.roots["groups"] / "g"
    group.mkdir()
    modulefile = hub.roots["modules"] / "1.0.lua"
    modulefile.write_text('setenv("TOOL_HOME", "/opt/modules/binaries/tool")')
    spec = hub.spec(
        hardware="cpuSmall",
        modules=("tool/1.0",),
        mounts=(
            hub.dataset("given"),
            hub.dataset("own", read_only=False),
            Mount(source=str(group), target="/opt/groups/my team", read_only=False),
            Mount(
                source=str(modulefile), target="/opt/modules/modulefiles/alice@example.org/tool/1.0.lua", read_only=True
            ),
        ),
    )
    hub.spawn(spec)
    with hub.user_client() as user:
        token = user.headers["Authorization"].removeprefix("token ")
    async with Notebook(f"{hub.url}/user/{USER}/{spec.hub_name}", token) as notebook:
        yield Inside(hub, spec, notebook)
    hub.truth.delete(f"servers/{spec.server_id}", params={"up_to_generation": 1})


async def test_it_sees_its_own_directories_alone(inside: Inside) -> None:
    assert await inside.says("__import__('os').getcwd()") == "/home/jovyan"
    assert await inside.says("sorted(__import__('os').listdir('/opt'))") == "['datasets', 'groups', 'modules', 'nbhub']"
    assert await inside.says("sorted(__import__('os').listdir('/opt/datasets'))") == "['given', 'own']"
    assert await inside.says("__import__('os').listdir('/opt/groups')") == "['my team']"
    for hidden in (inside.hub.data_dir, inside.hub.roots["notebooks"], Path("/etc/shadow"), Path("/root/.ssh")):
        assert await inside.says(f"__import__('os').path.lexists({str(hidden)!r})") == "False"
    homes = inside.hub.roots["notebooks"]
    assert not [
        line for line in (await inside.says("open('/proc/self/mountinfo').read()")).splitlines() if "bob" in line
    ]
    assert homes.exists()


async def test_a_read_only_mount_stays_so(inside: Inside) -> None:
    assert await inside.says("open('/opt/datasets/given/data.txt').read()") == "some data"
    assert await inside.says("attempt(lambda: open('/opt/datasets/given/x', 'w'))") == "EROFS"
    assert await inside.says("attempt(lambda: open('/opt/datasets/own/x', 'w'))") == "done"
    assert await inside.says("attempt(lambda: open('/opt/groups/my team/x', 'w'))") == "done"
    remount = "mount -o remount,rw,bind /opt/datasets/given"
    assert int(await inside.says(f"subprocess.run({remount.split()!r}, capture_output=True).returncode")) != 0
    by_call = "__import__('ctypes').CDLL(None).mount(b'none', b'/opt/datasets/given', None, 32 | 4096, None)"
    assert await inside.says(by_call) == "-1"
    assert await inside.says("attempt(lambda: open('/opt/datasets/given/x', 'w'))") == "EROFS"
    for path in ("/usr/x", "/etc/x", "/x", "/opt/nbhub/x"):
        assert await inside.says(f"attempt(lambda: open({path!r}, 'w'))") in ("EROFS", "EACCES")


async def test_its_modules_are_loaded(inside: Inside) -> None:
    assert await inside.says("__import__('os').environ.get('TOOL_HOME')") == "/opt/modules/binaries/tool"
    assert await inside.says("__import__('os').environ['LOADEDMODULES']") == "tool/1.0"


async def test_it_is_nobody_and_can_become_nobody(inside: Inside) -> None:
    assert await inside.says("__import__('os').getuid()") == "1000"
    status = await inside.says("open('/proc/self/status').read()")
    for line in ("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
    namespace = "subprocess.run(['unshare', '--user', '--map-root-user', 'true'], capture_output=True).returncode"
    assert int(await inside.says(namespace)) != 0


async def test_it_sees_its_own_processes_alone(inside: Inside) -> None:
    commands = await inside.says(
        "[open(f'/proc/{p}/cmdline').read() for p in __import__('os').listdir('/proc') if p.isdigit()]"
    )
    assert "jupyterhub -f" not in commands
    assert "configurable-http-proxy" not in commands
    # Nor what of the machine was mounted where.
    assert str(inside.hub.directory) not in commands


async def test_its_environment_holds_nothing_of_the_hubs(inside: Inside) -> None:
    names = await inside.says("sorted(__import__('os').environ)")
    assert "NBHUB_" not in names
    assert "CONFIGPROXY" not in names
    values = await inside.says("dict(__import__('os').environ)")
    assert inside.hub.worker_token not in values


def test_no_token_is_on_a_command_line(inside: Inside) -> None:
    (process,) = inside.hub.processes(inside.spec)
    # Beside the sandbox is the relay of its network, which is told nothing.
    (token,) = (
        entry.partition(b"=")[2]
        for child in children(process["pid"])
        for entry in Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
        if entry.startswith(b"JUPYTERHUB_API_TOKEN=")
    )
    assert token
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token not in command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_a_server_with_the_most_that_it_may_hold_starts(hub: HubUnderTest) -> None:
    """256 datasets, 256 modules of two mounts each, and 200 groups; the order is larger than 128,000 bytes."""
    source = hub.roots["groups"] / "most"
    source.mkdir()
    spec = hub.spec(
        mounts=tuple(
            Mount(source=str(source), target=f"/opt/groups/{'名' * 30}{number}", read_only=False, object_id="0" * 36)
            for number in range(968)
        )
    )
    hub.spawn(spec)
    hub.end(spec)
