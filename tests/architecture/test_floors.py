"""The picture of the floors in `docs/architecture.md` is that of the folders, in the order of the import contracts."""

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.project import PROJECT

PAGE = "docs/architecture.md"
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# Of packages that are not beside the others.
PLACES = {"nbhub": "client/nbhub"}
LAYERS = {
    contract["containers"][0]: contract["layers"] for contract in CONTRACTS if contract.get("containers") is not None
}


def drawn(page: str) -> dict[str, list[tuple[str, list[str]]]]:
    """The packages of the picture; to each its floors, from above: their titles and modules."""
    (picture,) = re.findall(r"^## The floors$.*?^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    packages: dict[str, list[tuple[str, list[str]]]] = {}
    for line in picture.splitlines():
        if package := re.fullmatch(r"(\w+)/", line):
            floors = packages.setdefault(package[1], [])
        elif floor := re.match(r" {4}(\S.*?)(?:  +(\S.*))?$", line):
            floors.append((floor[1], (floor[2] or "").split()))
        elif line.startswith("    "):
            floors[-1][1].extend(line.split())
    return packages


def folder_of(title: str) -> str:
    """The folder that a floor is, as `ledger/` of `ledger/: operations`; empty where it is none."""
    return found[0] if (found := re.match(r"\w+/", title)) else ""


def modules_drawn(page: str, package: str) -> list[str]:
    place = PLACES.get(package, package)
    return [f"{place}/{folder_of(title)}{module}.py" for title, modules in drawn(page)[package] for module in modules]


def modules_of(package: str) -> Iterator[str]:
    for path in sorted((PROJECT / PLACES.get(package, package)).rglob("*.py")):
        if path.name != "__init__.py" and "migrations" not in path.parts:
            yield str(path.relative_to(PROJECT))


@pytest.fixture(scope="module")
def page() -> str:
    return (PROJECT / PAGE).read_text()


def test_every_package_is_in_the_picture(page: str) -> None:
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"} | PLACES.keys()
    assert drawn(page).keys() == packages == LAYERS.keys()


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_is_on_a_floor(page: str, package: str) -> None:
    there, in_picture = list(modules_of(package)), modules_drawn(page, package)
    missing, gone = set(there) - set(in_picture), set(in_picture) - set(there)
    assert not missing, f"on no floor of the picture in {PAGE}: {', '.join(sorted(missing))}"
    assert not gone, f"in the picture in {PAGE}, and not there: {', '.join(sorted(gone))}"
    assert len(set(in_picture)) == len(in_picture), "on two floors"


@pytest.mark.parametrize("package", LAYERS)
def test_floors_lie_as_imports_go(page: str, package: str) -> None:
    layer_of = {name: number for number, layer in enumerate(LAYERS[package]) for name in re.findall(r"\w+", layer)}
    floors = [
        [folder.rstrip("/")] if (folder := folder_of(title)) else modules for title, modules in drawn(page)[package]
    ]
    assert {name for floor in floors for name in floor} == layer_of.keys(), f"{PAGE} and pyproject.toml differ"
    layers = [sorted({layer_of[name] for name in floor}) for floor in floors]
    assert [len(one) for one in layers] == [1] * len(layers), f"a floor in {PAGE} is several of the contract"
    assert layers == sorted(layers), f"the floors in {PAGE} are not in the order of the contract in pyproject.toml"


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        ("lab/\n    tools    saw\n    bench/: holds      vice\n        clamp\n", True),
        ("lab/\n    tools    saw hammer\n    bench/    vice clamp\n", False),
        ("lab/\n    bench/    vice clamp\n", False),
    ],
)
def test_what_is_missing_is_found(picture: str, found: bool) -> None:
    read = modules_drawn(f"## The floors\n\n```text\n{picture}```\n", "lab")
    assert (read == ["lab/saw.py", "lab/bench/vice.py", "lab/bench/clamp.py"]) is found
