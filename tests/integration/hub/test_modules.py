"""Modules of several owners in kernels and terminals, and modules that do not load."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from models.domain.server_spec import ServerSpec
from models.domain.values import ModuleCall as Call
from stack.notebook import Notebook
from tests.integration.hub.harness import OTHER, USER, HubUnderTest
from tests.terminal import Terminal

QUOTED = """it's "$(x)" {b} é"""
MANUAL = Call("prepend_path", ["MANPATH", "/opt/tool/man"])
COMPILER, TOOL = "gcc/13.2", "tool/1.0"


@pytest.fixture(scope="module")
def loaded(hub: HubUnderTest) -> Iterator[ServerSpec]:
    """A server with a module of its owner and one of somebody else, who has others."""
    for unseen in ("hidden/1.0", "gcc/12"):
        hub.module(OTHER, unseen, Call("setenv", ["UNSEEN", "seen"]))
    mounts = (
        *hub.module(
            USER, TOOL, Call("setenv", ["TOOL_HOME", QUOTED]), Call("append_path", ["TOOL_PATH", "/opt/tool"]), MANUAL
        ),
        *hub.module(OTHER, COMPILER, Call("setenv", ["CC", "gcc-13"]), Call("set_alias", ["cc", "echo aliased"])),
    )
    spec = hub.spec(modules=(COMPILER, TOOL), mounts=mounts)
    hub.spawn(spec)
    yield spec
    hub.end(spec)


@pytest.fixture(scope="module")
async def kernel(hub: HubUnderTest, loaded: ServerSpec) -> AsyncIterator[Notebook]:
    async with hub.notebook(loaded) as notebook:
        await notebook.run("import os")
        yield notebook


@pytest.fixture
async def terminal(hub: HubUnderTest, loaded: ServerSpec) -> AsyncIterator[Terminal]:
    async with hub.terminal(loaded) as terminal:
        yield terminal


def programs(spec: ServerSpec) -> list[str]:
    """Where the programs of its modules are, those of the module that was loaded last first."""
    return [f"{mount.target}/bin" for mount in spec.mounts if "/binaries/" in mount.target]


async def printed(terminal: Terminal, command: str) -> str:
    code, output = await terminal.run(command)
    assert code == 0, output
    return output.strip()


async def test_they_are_loaded_in_kernels(kernel: Notebook, loaded: ServerSpec) -> None:
    assert await kernel.run("print(os.environ['LOADEDMODULES'])") == f"{COMPILER}:{TOOL}\n"
    assert await kernel.run("print(os.environ['TOOL_HOME'])") == f"{QUOTED}\n"
    assert await kernel.run("print(os.environ['CC'], os.environ['TOOL_PATH'])") == "gcc-13 /opt/tool\n"
    path = (await kernel.run("print(os.environ['PATH'])")).strip().split(":")
    assert path[:2] == programs(loaded)
    assert "/usr/bin" in path
    manuals = (await kernel.run("print(os.environ['MANPATH'])")).strip().split(":")
    assert manuals[0] == "/opt/tool/man"
    assert "" in manuals, "the system's pages are hidden"


async def test_commands_of_a_notebook_see_them(kernel: Notebook) -> None:
    assert (await kernel.run("!module -t list 2>&1")).split() == [COMPILER, TOOL]
    assert (await kernel.run("!its-gcc && its-tool")).splitlines() == ["gcc runs", "tool runs"]


async def test_a_terminal_has_what_kernels_have(kernel: Notebook, terminal: Terminal, loaded: ServerSpec) -> None:
    # What would take PATH away: terminals are login shells.
    assert await printed(terminal, "shopt -q login_shell && echo login") == "login"
    listed = await printed(terminal, "module list 2>&1 | cat")
    assert listed.split() == ["Currently", "Loaded", "Modules:", "1)", COMPILER, "2)", TOOL]
    for name in ("PATH", "TOOL_HOME", "CC", "TOOL_PATH", "LOADEDMODULES", "_LMFILES_", "MODULEPATH"):
        in_kernel = (await kernel.run(f"print(os.environ['{name}'])")).strip()
        assert await printed(terminal, f"printenv {name}") == in_kernel
    assert (await printed(terminal, "echo $PATH")).split(":")[:2] == programs(loaded)
    assert await printed(terminal, "its-gcc && its-tool") == "gcc runs\ntool runs"
    # Scripts of bash, too.
    assert (await printed(terminal, "bash -c 'module -t list 2>&1'")).split() == [COMPILER, TOOL]


async def test_there_are_its_own_modules_and_no_others(terminal: Terminal) -> None:
    available = await printed(terminal, "module -t avail 2>&1 | cat")
    assert available.split() == [
        f"/opt/modules/modulefiles/{USER}:",
        "tool/",
        TOOL,
        f"/opt/modules/modulefiles/{OTHER}:",
        "gcc/",
        COMPILER,
    ]
    assert "hidden" not in await printed(terminal, "module -t spider 2>&1 | cat")
    for unseen in ("hidden/1.0", "gcc/12"):
        code, output = await terminal.run(f"module load {unseen}")
        assert code != 0
        assert "unknown" in output
    assert await printed(terminal, "echo [$UNSEEN]") == "[]"
    assert (await printed(terminal, "module -t list 2>&1")).split() == [COMPILER, TOOL]
    files = await printed(terminal, "find /opt/modules/modulefiles -type f")
    assert sorted(Path(file).name for file in files.split()) == ["1.0.lua", "13.2.lua"]


async def test_a_terminal_can_unload_and_load_them(terminal: Terminal, loaded: ServerSpec) -> None:
    tool, compiler = programs(loaded)
    await printed(terminal, f"module unload {TOOL}")
    assert await printed(terminal, "echo [$TOOL_HOME] [$TOOL_PATH] $CC") == "[] [] gcc-13"
    assert (await printed(terminal, "echo $PATH")).split(":")[0] == compiler
    assert (await terminal.run("its-tool"))[0] == 127
    await printed(terminal, f"module load {TOOL}")
    assert await printed(terminal, "printenv TOOL_HOME") == QUOTED
    assert (await printed(terminal, "echo $PATH")).split(":")[:2] == [tool, compiler]
    assert await printed(terminal, "its-tool") == "tool runs"
    # Back to what the server started with.
    await printed(terminal, "module purge")
    assert await printed(terminal, "module -t list 2>&1; echo [$CC]") == "No modules loaded\n[]"
    await printed(terminal, "module reset")
    assert (await printed(terminal, "module -t list 2>&1 | cat")).split() == [COMPILER, TOOL]


async def test_a_terminal_leaves_other_terminals_alone(
    hub: HubUnderTest, terminal: Terminal, loaded: ServerSpec
) -> None:
    await printed(terminal, "module purge")
    async with hub.terminal(loaded) as other:
        assert (await printed(other, "module -t list 2>&1")).split() == [COMPILER, TOOL]
        assert await printed(other, "cc and more") == "aliased and more"


async def test_one_that_does_not_load_keeps_no_server_from_starting(hub: HubUnderTest) -> None:
    mounts = (
        *hub.module(USER, "refused/1", Call("prereq", ["nothing"]), Call("setenv", ["REFUSED", "loaded"])),
        *hub.module(USER, "fine/1", Call("setenv", ["FINE", "loaded"])),
    )
    spec = hub.spec(modules=("refused/1", "missing/1", "fine/1"), mounts=mounts)
    hub.spawn(spec)
    async with hub.notebook(spec) as notebook:
        found = await notebook.run("import os; print(os.environ['LOADEDMODULES'], os.environ.get('REFUSED'))")
    assert found == "fine/1 None\n"
    log = hub.log_of(spec).read_text()
    assert 'Cannot load module "refused/1"' in log
    assert "missing/1" in log
    hub.end(spec)


def test_modules_are_refused_where_lmod_is_missing(
    tmp_path_factory: pytest.TempPathFactory, hub_programs: dict[str, str]
) -> None:
    directory = tmp_path_factory.mktemp("no-lmod")
    hub = HubUnderTest(directory, hub_programs, settings={"NBHUB_HUB_LMOD_INIT": str(directory / "none")})
    try:
        hub.start()
        spec = hub.spec(modules=("tool/1",), mounts=hub.module(USER, "tool/1"))
        answer = hub.order(spec)
        assert answer.status_code == 422
        assert "Lmod is not installed on this machine" in answer.json()["message"]
        assert "Lmod is not installed on this machine" in hub.failure(spec)["reason"]
        assert hub.processes(spec) == []
        # Whoever wants no modules needs none.
        plain = hub.spec()
        hub.spawn(plain)
        hub.end(plain)
    finally:
        hub.close()
