"""The profiles file: what is shipped, what is refused at load, and which wishes it fulfils."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.profiles import Application, ProfileMismatch, Profiles, ProfilesInvalid, load_profiles

VALID = """
[applications.lab]
title = "Lab"
default = true
kind = "jupyter"
command = ["jupyterhub-singleuser"]

[hardware.small]
title = "Small"
default = true
cpu = 0.5
memory = "512M"
"""


def test_the_shipped_file_has_what_the_contract_names(profiles: Profiles) -> None:
    assert list(profiles.applications) == [
        *("jupyterlab", "notebook", "vscode", "rstudio", "voila"),
        *("streamlit", "dash", "solara", "rshiny", "pyshiny"),
    ]
    assert [name for name, one in profiles.applications.items() if one.default] == ["jupyterlab"]
    assert [name for name, one in profiles.hardware.items() if one.default] == ["cpuSmall"]
    assert all(application.image for application in profiles.applications.values())
    assert profiles.hardware_named("cpuMedium").memory_bytes == int(7.5 * 1024**3)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("default = true\nkind", "kind", "exactly one"),
        ('"jupyter"', '"magic"', "kind"),
        ('["jupyterhub-singleuser"]', "[]", "command"),
        ("cpu = 0.5", "cpu = 0", "cpu"),
        ("cpu = 0.5", 'cpu = "much"', "cpu"),
        ('"512M"', '"512 megabytes"', "memory"),
        ('"512M"', '"1K"', "memory"),
        ("[hardware.small]", "[hardware.'a b']", "a b"),
        ('title = "Lab"', 'title = "Lab"\nflavour = "x"', "flavour"),
        ('title = "Lab"', 'title = "Lab"\nenvironment = {"A B" = "x"}', "A B"),
        ("[hardware.small]", "[hardware", "profiles file"),
    ],
)
def test_mistakes_are_named_at_load(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(VALID)
    assert list(load_profiles(file).hardware) == ["small"]
    assert old in VALID
    file.write_text(VALID.replace(old, new, 1))
    with pytest.raises(ProfilesInvalid, match=said) as problem:
        load_profiles(file)
    assert str(file) in str(problem.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfilesInvalid, match=r"none\.toml"):
        load_profiles(tmp_path / "none.toml")


def test_hardware_is_found_by_name_and_by_title(profiles: Profiles) -> None:
    assert profiles.hardware_name("cpuMedium") == "cpuMedium"
    assert profiles.hardware_name("Medium (4 CPU, 7.5 GB RAM)") == "cpuMedium"
    with pytest.raises(ProfileMismatch) as problem:
        profiles.hardware_name("huge")
    assert problem.value.field == "hardware"
    with pytest.raises(ProfileMismatch) as problem:
        profiles.application_named("excel")
    assert problem.value.field == "applicationType"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("board.ipynb", "/home/jovyan/board.ipynb"),
        ("$HOME/work/board.ipynb", "/home/jovyan/work/board.ipynb"),
        ("/home/jovyan/folder", "/home/jovyan/folder"),
        ("folder/", "/home/jovyan/folder"),
        ("/opt/datasets/my data/board.ipynb", "/opt/datasets/my data/board.ipynb"),
        ("/opt/groups/team/board.ipynb", "/opt/groups/team/board.ipynb"),
    ],
)
def test_file_paths_inside(profiles: Profiles, path: str, found: str) -> None:
    assert profiles.check_file_path("voila", path) == found


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", ".", "..", "../x.ipynb", "a/../../x.ipynb", "./x.ipynb", "a//x.ipynb", "/home/jovyan"),
        *("/home/jovyan2/x.ipynb", "/home/x.ipynb", "/etc/passwd", "/opt/datasets", "/opt/datasets/"),
        *("/opt/datasets2/x.ipynb", "/opt/datasets/../groups/x.ipynb", "/opt/modules/x.ipynb", "//opt/datasets/x"),
        *("x\0.ipynb", "x\n.ipynb", "\ud800.ipynb", "x" * 2000, "app.py", "app.txt", "$HOME", "$HOME/"),
    ],
)
def test_file_paths_that_are_refused(profiles: Profiles, path: str) -> None:
    with pytest.raises(ProfileMismatch) as problem:
        profiles.check_file_path("voila", path)
    assert problem.value.field == "filePath"
    assert problem.value.message


@pytest.mark.parametrize("path", ["app.R", "work/app", "work/v1.2/", "$HOME/app/"])
def test_r_shiny_opens_a_file_or_a_folder(profiles: Profiles, path: str) -> None:
    resolved = "/home/jovyan/" + path.removeprefix("$HOME/").rstrip("/")
    assert profiles.check_file_path("rshiny", path) == resolved


@pytest.mark.parametrize(
    ("application", "path", "message"),
    [
        ("rshiny", "work/v1.2", "R Shiny app opens a file that ends in .R, or a folder"),
        ("rshiny", "app.py", "with a slash at the end of the path"),
        ("solara", "app.txt", "Solara app opens a file that ends in .py or .ipynb"),
        ("streamlit", "app.py/", "Streamlit app opens a file that ends in .py"),
    ],
)
def test_what_an_application_opens_is_said(profiles: Profiles, application: str, path: str, message: str) -> None:
    with pytest.raises(ProfileMismatch) as problem:
        profiles.check_file_path(application, path)
    assert message in problem.value.message


@pytest.mark.parametrize(
    "name",
    [unicodedata.normalize("NFD", "Zählung.py"), " leading.py", "a\u202fb.py", "\N{WOMAN}\u200d\N{MICROSCOPE}.py"],
)
def test_a_path_names_a_file_whatever_its_letters(profiles: Profiles, name: str) -> None:
    assert profiles.check_file_path("streamlit", name) == f"/home/jovyan/{name}"


def test_applications_without_a_file_ignore_it(profiles: Profiles) -> None:
    assert profiles.check_file_path("jupyterlab", "/etc/passwd") == ""


SUFFIXES: tuple[tuple[str, ...], ...] = ((), (".py",), (".py", ".ipynb"), (".R", "/"), ("/",), ("+x",), (".tar.gz",))


@given(
    st.sampled_from(SUFFIXES),
    st.from_regex(r"/?([a.+]{1,4}/){0,2}[a.+]{0,3}(\.py|\.R|\.tar\.gz|py|\+x)?/?", fullmatch=True),
)
def test_the_pattern_of_a_file_is_what_is_let_through(suffixes: tuple[str, ...], path: str) -> None:
    names = path.removeprefix("/").removesuffix("/").split("/")
    if {"", ".", ".."} & {*names}:
        return  # no path in normal form, which is refused before
    opener = Application(title="X", kind="web", command=("x",), file="required", file_suffixes=suffixes)
    try:
        opener.check_suffix(path)
        opens = True
    except ProfileMismatch:
        opens = False
    assert (re.search(opener.file_pattern, path) is not None) is opens, opener.file_pattern


def test_what_opens_no_file_has_no_rule_for_one() -> None:
    lab = Application(title="Lab", kind="jupyter", command=("x",), file_suffixes=(".py",))
    assert (lab.file_pattern, lab.file_rule) == ("", "")
