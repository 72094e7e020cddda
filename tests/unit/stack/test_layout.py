"""Where a stack keeps things: ports chosen once, directories of its own, and a socket whose path is short enough."""

import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from stack.layout import PORTS, Layout, layout_of, usual
from stack.state import StackFailed

# What the kernel allows for the path of a socket, with PostgreSQL's name for it.
LONGEST = 107 - len("/.s.PGSQL.5432.lock")


@pytest.fixture
def listen() -> Iterator[Callable[[int], None]]:
    opened: list[socket.socket] = []

    def listen(port: int) -> None:
        one = socket.socket()
        opened.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", port))
        one.listen()

    yield listen
    for one in opened:
        one.close()


def test_every_part_has_a_port_of_its_own(tmp_path: Path) -> None:
    ports = layout_of(tmp_path / "stack").ports
    assert set(ports) == set(PORTS)
    assert len(set(ports.values())) == len(PORTS)
    assert all(1024 < port < 65536 for port in ports.values())
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in ports.values() if lowest <= port <= highest], "any program may be given that one"


def test_ports_stay_over_a_restart(tmp_path: Path) -> None:
    first = layout_of(tmp_path / "stack")
    assert layout_of(tmp_path / "stack") == first
    assert layout_of(tmp_path / "other").ports != first.ports


def test_stacks_that_are_made_at_once_have_different_ports(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        layouts = list(pool.map(lambda number: layout_of(tmp_path / str(number)), range(24)))
    assert len({port for layout in layouts for port in layout.ports.values()}) == 24 * len(PORTS)


@pytest.fixture
def _empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No other stack, no program that listens, and these directories are not temporary ones."""
    monkeypatch.setenv("NBHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", "/var/empty")
    monkeypatch.setattr("stack.layout.is_free", lambda port: True)


@pytest.mark.usefixtures("_empty_machine")
def test_the_first_stack_has_ports_that_one_remembers(tmp_path: Path) -> None:
    first, second = layout_of(tmp_path / "first").ports, layout_of(tmp_path / "second").ports
    assert (min(first.values()), max(first.values()), first["api"]) == (8002, 8011, 8002)
    assert second["api"] == 8012
    assert (usual(first), usual(second)) == (True, False)
    shutil.rmtree(tmp_path / "first")
    assert layout_of(tmp_path / "third").ports == first, "of one that is gone"


@pytest.mark.usefixtures("_empty_machine")
def test_ports_where_a_program_listens_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.layout.is_free", lambda port: port not in (8002, 8019))
    assert layout_of(tmp_path / "stack").ports["api"] == 8022


@pytest.mark.usefixtures("_empty_machine")
def test_a_stack_in_a_temporary_directory_leaves_them_to_one_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert layout_of(tmp_path / "stack").ports["api"] > 60000


@pytest.mark.usefixtures("_empty_machine")
def test_where_every_port_may_be_taken_at_random_a_stack_has_some_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.layout.ephemeral_ports", lambda: (1024, 65535))
    assert layout_of(tmp_path / "stack").ports["api"] == 8002


def test_a_port_that_another_program_has_is_named(tmp_path: Path, listen: Callable[[int], None]) -> None:
    layout = layout_of(tmp_path)
    listen(layout.ports["vault"])
    with pytest.raises(StackFailed) as raised:
        layout_of(tmp_path)
    assert f"port {layout.ports['vault']}, which this stack uses for vault," in str(raised.value)
    assert "--dir" in str(raised.value)


def test_a_directory_of_another_version_is_said_to_be_one(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    ports = {name: port for name, port in layout.ports.items() if name != "vault_cluster"}
    (tmp_path / "ports.json").write_bytes(msgspec.json.encode(ports))
    with pytest.raises(StackFailed, match=r"remove that directory.*--dir"):
        layout_of(tmp_path)


def test_a_running_stack_has_its_ports_itself(tmp_path: Path, listen: Callable[[int], None]) -> None:
    layout = layout_of(tmp_path)
    for port in layout.ports.values():
        listen(port)
    assert layout_of(tmp_path, running=True) == layout


def test_the_directory_is_nobody_elses(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "deep" / "stack")
    assert stat.S_IMODE(layout.directory.stat().st_mode) == 0o700


def test_what_is_kept_is_below_the_directory(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    kept = [layout.logs, layout.data_root, layout.keys, layout.hub_data]
    assert len(set(kept)) == len(kept)
    assert {path.parent for path in kept} == {tmp_path}


def test_one_directory_by_any_name_is_one_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "stack")
    layout = layout_of(tmp_path / "stack")
    monkeypatch.chdir(tmp_path)
    assert layout_of(tmp_path / "link") == layout_of(Path("stack")) == layout


def test_the_path_of_a_socket_is_short_and_of_its_own(tmp_path: Path) -> None:
    deep = Layout(tmp_path.joinpath(*["directory"] * 30), {})
    other = Layout(tmp_path / "other", {})
    assert len(str(deep.database_socket)) <= LONGEST
    assert deep.database_socket != other.database_socket
    assert deep.database_socket == Layout(deep.directory, {"api": 1}).database_socket, "the same at every start"


def test_addresses(tmp_path: Path) -> None:
    layout = Layout(tmp_path, {"api": 8002})
    assert layout.url("api") == "http://127.0.0.1:8002"
    assert layout.database_url("x") == f"postgresql://nbhub@/x?host={layout.database_socket}"
    with pytest.raises(KeyError):
        layout.url("no such part")


def test_a_file_of_ports_that_makes_no_sense_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"api": "x')
    with pytest.raises(StackFailed, match=r"ports\.json cannot be read: remove it"):
        layout_of(tmp_path)


def test_a_file_of_ports_that_was_not_written_to_the_end_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "ports.json").touch()
    try:
        assert set(layout_of(tmp_path).ports) == set(PORTS)
    except msgspec.DecodeError as error:
        pytest.fail(f"{error}")
