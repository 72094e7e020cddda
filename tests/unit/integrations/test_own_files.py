"""Files that only the service writes: whole, and never at the cost of a directory that is people's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from integrations.filesystem import Volumes
from integrations.own_files import OwnFiles
from models.domain.errors import VolumeUnavailable
from tests.project import PROJECT

PERSON = UUID("019abc00-0000-7000-8000-000000000001")
HEADER = b"-- ours\n"
CONTENT = HEADER + b"whatis('x')\n"


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """The root of the homes, with an empty home in it: what pruning would take."""
    root = tmp_path / "notebooks"
    (root / str(PERSON)).mkdir(parents=True)
    return root


@pytest.fixture
def files(tmp_path: Path, homes: Path) -> OwnFiles:
    return OwnFiles(tmp_path / "modulefiles", Volumes(), roots=[homes])


def beneath(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


@pytest.mark.parametrize(
    ("place", "let_through"),
    [
        (lambda homes: homes, False),
        (lambda homes: homes / str(PERSON), False),
        (lambda homes: homes / str(PERSON) / "modulefiles", False),
        (lambda homes: homes.parent, False),
        (lambda homes: homes.parent / "elsewhere" / ".." / homes.name, False),
        (lambda homes: homes.parent / "modulefiles", True),
        (lambda homes: homes.parent / f"{homes.name}-modulefiles", True),
    ],
    ids=["a root", "a home", "in a home", "above a root", "a root by another path", "beside it", "a name like it"],
)
def test_files_are_put_and_removed_only_where_nothing_is_people_s(
    homes: Path, place: Callable[[Path], Path], let_through: bool
) -> None:
    if let_through:
        OwnFiles(place(homes), Volumes(), roots=[homes]).remove((str(PERSON),), "1.0.lua", HEADER)
    else:
        with pytest.raises(ValueError, match="keep them apart"):
            OwnFiles(place(homes), Volumes(), roots=[homes])
    assert (homes / str(PERSON)).is_dir()


def test_an_empty_parent_goes_with_its_last_file_and_the_top_stays(tmp_path: Path, files: OwnFiles) -> None:
    files.put(("owner", "tool"), "1.0.lua", CONTENT)
    files.put(("owner", "tool"), "2.0.lua", CONTENT)
    files.put(("other", "tool"), "1.0.lua", CONTENT)
    files.remove(("owner", "tool"), "1.0.lua", HEADER)
    top = tmp_path / "modulefiles"
    assert beneath(top / "owner") == {"tool", "tool/2.0.lua"}, "a parent with another file stays"
    files.remove(("owner", "tool"), "2.0.lua", HEADER)
    assert beneath(top) == {"other", "other/tool", "other/tool/1.0.lua"}
    files.remove(("other", "tool"), "1.0.lua", HEADER)
    files.remove(("other", "tool"), "1.0.lua", HEADER)
    assert top.is_dir()
    assert beneath(top) == set()


def test_what_somebody_else_has_put_in_its_place_stays(tmp_path: Path, files: OwnFiles) -> None:
    files.put(("owner", "tool"), "1.0.lua", b"-- another's\n")
    files.remove(("owner", "tool"), "1.0.lua", HEADER)
    assert (tmp_path / "modulefiles/owner/tool/1.0.lua").read_bytes() == b"-- another's\n"


@pytest.mark.parametrize("verb", ["put", "remove"])
def test_a_link_among_the_directories_is_not_followed(tmp_path: Path, homes: Path, files: OwnFiles, verb: str) -> None:
    top = tmp_path / "modulefiles"
    top.mkdir()
    (top / "owner").symlink_to(homes)
    (homes / str(PERSON) / "1.0.lua").write_bytes(CONTENT)
    with pytest.raises(VolumeUnavailable):
        getattr(files, verb)(("owner", str(PERSON)), "1.0.lua", HEADER)
    assert (homes / str(PERSON) / "1.0.lua").read_bytes() == CONTENT


def test_an_earlier_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, files: OwnFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.put(("owner", "tool"), "1.0.lua", CONTENT)

    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", failing)
        with pytest.raises(VolumeUnavailable):
            files.put(("owner", "tool"), "1.0.lua", CONTENT * 2)
    where = tmp_path / "modulefiles/owner/tool"
    assert {path.name: path.read_bytes() for path in where.iterdir()} == {"1.0.lua": CONTENT}
    files.put(("owner", "tool"), "1.0.lua", CONTENT * 2)
    assert (where / "1.0.lua").read_bytes() == CONTENT * 2


def test_a_directory_that_was_pruned_meanwhile_is_made_again(
    tmp_path: Path, files: OwnFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.put(("owner", "tool"), "1.0.lua", CONTENT)
    pruned: list[bool] = []
    make = os.mkdir

    def mkdir(path: str, *arguments: int, **options: int) -> None:
        if path == "tool" and not pruned:
            pruned.append(True)
            with pytest.raises(FileExistsError):
                make(path, *arguments, **options)
            # Here, between finding it and opening it.
            files.remove(("owner", "tool"), "1.0.lua", HEADER)
        else:
            make(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", mkdir)
    files.put(("owner", "tool"), "1.0.lua", CONTENT * 2)
    assert pruned
    assert (tmp_path / "modulefiles/owner/tool/1.0.lua").read_bytes() == CONTENT * 2


def killed_while_it_puts(top: Path, name: str) -> None:
    """Another process puts a file, and is killed before it is whole."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from integrations.filesystem import Volumes\n"
        "from integrations.own_files import OwnFiles\n"
        "os.rename = lambda *_, **__: os._exit(137)\n"
        "OwnFiles(Path(sys.argv[1]), Volumes(), roots=[]).put(('alice', 'gcc'), sys.argv[2], b'x')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, top, name], cwd=PROJECT, check=False)
    assert ended.returncode == 137
    assert len(beneath(top)) > 2


def test_what_a_killed_process_left_goes_with_the_next_try_and_leaves_what_others_are_at(
    tmp_path: Path, files: OwnFiles
) -> None:
    top = tmp_path / "modulefiles"
    killed_while_it_puts(top, "1.lua")
    killed_while_it_puts(top, "2.lua")
    files.put(("alice", "gcc"), "1.lua", CONTENT)
    others = beneath(top) - {"alice", "alice/gcc", "alice/gcc/1.lua"}
    assert len(others) == 1
    files.remove(("alice", "gcc"), "2.lua", HEADER)
    assert beneath(top) == {"alice", "alice/gcc", "alice/gcc/1.lua"}
    killed_while_it_puts(top, "1.lua")
    files.remove(("alice", "gcc"), "1.lua", HEADER)
    assert beneath(top) == set()
