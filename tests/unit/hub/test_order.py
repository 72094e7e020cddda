"""What spawners ask of an order before they carry it out."""

from pathlib import Path
from typing import Any

import pytest

from hub.order import (
    OrderRefused,
    check_mount_targets,
    expand,
    file_on_machine,
    resolve_source,
)
from models.domain.profiles import HOME
from models.domain.server_spec import Mount
from tests.unit.hub.conftest import MakeOrder


def mount(target: str, source: str = "/data") -> Mount:
    return Mount(source=source, target=target, read_only=True)


@pytest.mark.parametrize(
    "targets",
    [
        ["/etc"],
        ["/"],
        ["/opt"],
        ["/opt/datasets"],
        ["/opt/datasets/../../etc"],
        ["opt/datasets/a"],
        ["/home/jovyan/x"],
        ["/opt/datasets/a", "/opt/datasets/a"],
        ["/opt/datasets/a", "/opt/datasets/a/b"],
    ],
)
def test_mounts_hide_nothing(targets: list[str]) -> None:
    with pytest.raises(OrderRefused) as refusal:
        check_mount_targets([mount(target) for target in targets])
    assert refusal.value.code == "mount-refused"


def test_mounts_side_by_side_are_fine() -> None:
    check_mount_targets(
        [
            mount("/opt/datasets/a"),
            mount("/opt/datasets/ab"),
            mount("/opt/groups/a"),
            mount("/opt/modules/modulefiles/alice@example.org/gcc/1.lua"),
        ]
    )


def test_sources_are_judged_by_where_they_really_are(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-2"
    (root / "one").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    # Of whose directory it is, the link of an operator's hand tells nothing.
    (root / "inner").symlink_to(root / "one")
    (tmp_path / "linked-root").symlink_to(root)
    assert resolve_source(str(root / "one"), HOME, [str(root)]) == root / "one"
    assert resolve_source(str(tmp_path / "linked-root" / "one"), HOME, [str(root)]) == root / "one"
    for source, code in (
        (root / "link", "mount-refused"),
        (root / "inner", "mount-refused"),
        (outside, "mount-refused"),
        (root / "one" / ".." / ".." / "root-2", "mount-refused"),
        (root / "none", "mount-missing"),
    ):
        with pytest.raises(OrderRefused) as refusal:
            resolve_source(str(source), HOME, [str(root)])
        assert refusal.value.code == code
        assert str(HOME) in refusal.value.message
        assert str(tmp_path) not in refusal.value.message


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    (home / "a.ipynb").touch()
    (home / "out.ipynb").symlink_to("/etc/passwd")
    (home / "away").symlink_to(tmp_path)
    (tmp_path / "x.ipynb").touch()
    (home / "inside.ipynb").symlink_to("a.ipynb")
    return home


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing.ipynb", "file-missing"),
        ("out.ipynb", "file-refused"),
        ("away/x.ipynb", "file-refused"),
        ("/opt/datasets/other/a.ipynb", "file-missing"),
    ],
)
def test_files_that_cannot_be_opened(make_order: MakeOrder, home: Path, path: str, code: str) -> None:
    with pytest.raises(OrderRefused) as refusal:
        file_on_machine(make_order(application="voila", file_path=path, home=str(home)))
    assert refusal.value.code == code


def test_files_are_found_where_they_are_mounted(make_order: MakeOrder, home: Path, tmp_path: Path) -> None:
    assert file_on_machine(make_order(application="voila", file_path="a.ipynb", home=str(home))) == home / "a.ipynb"
    assert file_on_machine(make_order(application="voila", file_path="inside.ipynb", home=str(home)))
    assert file_on_machine(make_order(application="voila", file_path="folder", home=str(home))).is_dir()
    order = make_order(
        application="voila",
        file_path="/opt/datasets/d/x.ipynb",
        home=str(home),
        mounts=(mount("/opt/datasets/d", str(tmp_path)),),
    )
    assert file_on_machine(order) == tmp_path / "x.ipynb"
    (home / "b.py").mkdir()
    with pytest.raises(OrderRefused, match="is a folder"):
        file_on_machine(make_order(application="streamlit", file_path="b.py", home=str(home)))
    (home / "v1.2").mkdir()
    assert file_on_machine(make_order(application="rshiny", file_path="v1.2/", home=str(home))).is_dir()
    (home / "notes.txt").touch()
    with pytest.raises(OrderRefused, match="is a file that R Shiny app cannot open"):
        file_on_machine(make_order(application="rshiny", file_path="notes.txt/", home=str(home)))


def test_placeholders(make_order: MakeOrder) -> None:
    values: dict[str, Any] = {"file": "/home/jovyan/{port}.py", "base_url": "/user/a/b/"}
    assert expand("{file} {base_url} {port} {other}", values) == "/home/jovyan/{port}.py /user/a/b/ {port} {other}"
    command = make_order(application="voila", file_path="a.ipynb").command(
        {"file": "/home/jovyan/a.ipynb", "base_url": "/user/a/b/"}, ("dashboard",)
    )
    assert command[:4] == ("dashboard", "--let-in-seconds=30", "--keep-prefix", "/")
    assert "--base_url=/user/a/b/" in command
    assert command[-1] == "/home/jovyan/a.ipynb"
    assert make_order(application="jupyterlab").command({}, ())[-1] == "--HubOAuth.cache_max_age=30"


def test_the_port_is_filled_in_where_the_command_says_so_alone(make_order: MakeOrder) -> None:
    """What reaches the program is a format string of the port: a file's name keeps what looks like a placeholder."""
    values = {"file": "/home/jovyan/{port} {x}.py"}
    command = make_order(application="dash", file_path="a.py").command(values, ("dashboard",))
    assert command[2:] == ("--port-variable=PORT", "/", "python", "/home/jovyan/{{port}} {{x}}.py")
    (port,) = (part for part in make_order(application="streamlit", file_path="a.py").command({}, ()) if "port" in part)
    assert port.format(port=1) == "--server.port=1"


def test_modules_reach_the_environment(make_order: MakeOrder) -> None:
    """A directory to an owner, in the order of the mounts; nothing of them without modules."""
    files = ("bob@example.org/gcc/13.lua", "alice@example.org/gcc/12.lua", "bob@example.org/r/4.lua")
    mounts = tuple(
        Mount(source="/opt/modules/x", target=f"/opt/modules/modulefiles/{file}", read_only=True) for file in files
    )
    environment = make_order(mounts=mounts, modules=("gcc/13", "r/4")).environment({})
    assert environment["MODULEPATH"] == (
        "/opt/modules/modulefiles/bob@example.org:/opt/modules/modulefiles/alice@example.org"
    )
    assert environment["MANPATH"] == ":", "the system's manual pages stay beside those of modules"
    assert environment["LMOD_SYSTEM_DEFAULT_MODULES"] == "gcc/13:r/4"
    assert make_order().environment({}) == {}
