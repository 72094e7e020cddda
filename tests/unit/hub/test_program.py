"""The command that loads a server's modules, in a real bash with the real Lmod, and when there is none."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub.order import Order, OrderRefused
from hub.program import load_modules, program_for
from integrations.lmod import file_name, render
from models.domain.server_spec import Mount
from models.domain.values import ModuleCall
from tests.unit.hub.conftest import SERVER, MakeOrder

LMOD = "/usr/share/lmod/lmod/init/bash"
SAYS = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


class Server:
    """Runs a program as a server's command is run, with the modules below a directory."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        self.files = directory / "modulefiles"

    def add(self, module: str, *calls: ModuleCall) -> None:
        name, _, version = module.partition("/")
        (self.files / name).mkdir(parents=True, exist_ok=True)
        (self.files / name / file_name(version)).write_bytes(render(calls))

    def run(self, *modules: str, lmod: str = LMOD) -> tuple[dict[str, str], str]:
        """The variables that a program finds, and what the log says."""
        program = (sys.executable, "-c", SAYS, "two words", "$HOME", "")
        ran = subprocess.run(
            load_modules(program, lmod),
            env={
                "HOME": str(self.home),
                "USER": "jovyan",
                "PATH": "/usr/bin:/bin",
                "MODULEPATH": str(self.files),
                "MODULEPATH_ROOT": str(self.files),
                "LMOD_SYSTEM_DEFAULT_MODULES": ":".join(modules),
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        arguments, environment = json.loads(ran.stdout)
        assert arguments == ["two words", "$HOME", ""]
        return environment, ran.stderr


@pytest.fixture
def server(tmp_path: Path) -> Server:
    server = Server(tmp_path)
    for name in ("a", "b"):
        set_home = ModuleCall("setenv", [f"{name.upper()}_HOME", f"/{name} $(x)"])
        server.add(f"{name}/1.0", set_home, ModuleCall("prepend_path", ["PATH", f"/{name}/bin"]))
    server.add("refused/1", ModuleCall("prereq", ["nothing"]), ModuleCall("setenv", ["REFUSED", "loaded"]))
    return server


def test_modules_are_loaded_in_order(server: Server) -> None:
    environment, log = server.run("b/1.0", "a/1.0")
    assert environment["LOADEDMODULES"] == "b/1.0:a/1.0"
    assert environment["PATH"] == "/a/bin:/b/bin:/usr/bin:/bin"
    assert environment["A_HOME"] == "/a $(x)"
    assert log == ""


@pytest.mark.parametrize("other", ["refused/1", "missing/2"])
def test_one_that_does_not_load_is_said_and_keeps_no_other_away(server: Server, other: str) -> None:
    environment, log = server.run("a/1.0", other, "b/1.0")
    assert environment["LOADEDMODULES"] == "a/1.0:b/1.0"
    assert "REFUSED" not in environment
    assert other in log


def test_what_somebody_saved_in_the_home_does_not_count(server: Server) -> None:
    """`module save` in one server would decide what all others of that person load."""
    saved = server.home / ".lmod.d" / "default"
    script = 'source "$1"; module load a/1.0; module save'
    environment = {"HOME": str(server.home), "USER": "x", "PATH": "/usr/bin:/bin", "MODULEPATH": str(server.files)}
    subprocess.run(("bash", "-c", script, "bash", LMOD), env=environment, check=True, capture_output=True, timeout=60)
    assert saved.exists()
    assert server.run("b/1.0")[0]["LOADEDMODULES"] == "b/1.0"


def test_where_an_image_has_no_lmod_its_server_starts_all_the_same(server: Server) -> None:
    environment, log = server.run("a/1.0", lmod="/none/lmod/init/bash")
    assert "A_HOME" not in environment
    assert "/none/lmod/init/bash" in log


@pytest.fixture
def order(make_order: MakeOrder) -> Order:
    target = "/opt/modules/modulefiles/alice@example.org/a/1.0.lua"
    return make_order(modules=("a/1.0",), mounts=(Mount(source="/opt/modules/x", target=target, read_only=True),))


def test_a_machine_without_lmod_refuses_modules(order: Order, make_order: MakeOrder) -> None:
    with pytest.raises(OrderRefused, match="Lmod is not installed") as refusal:
        program_for(order, SERVER.base_url, "/none/lmod/init/bash")
    assert refusal.value.code == "program-missing"
    # Whoever wants none needs none.
    command: Any = program_for(make_order(), SERVER.base_url, "/none/lmod/init/bash").command
    assert command[0] == sys.executable


def test_commands_within_the_server_have_modules_too(order: Order, make_order: MakeOrder, tmp_path: Path) -> None:
    lmod = tmp_path / "bash"
    lmod.touch()
    program = program_for(order, SERVER.base_url, str(lmod))
    assert program.environment["BASH_ENV"] == str(lmod)
    # A home has the cache of all servers that share it: it would show what is not mounted here.
    assert program.environment["LMOD_IGNORE_CACHE"] == "yes"
    plain = program_for(make_order(), SERVER.base_url, str(lmod))
    assert program.command == load_modules(plain.command, str(lmod))
    assert plain.environment == {}
