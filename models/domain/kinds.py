"""The kinds of record that workflows work on: what each is called, where it is kept, and what can be done with it.

Whatever differs by kind and is no behaviour of its own is said here, and nowhere else. The tests go from this table to
the code (`tests/architecture/test_kinds.py`); `CONTRIBUTING.md` tells how a kind is added.
"""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from models.domain.settings import Settings
from models.domain.values import Subject


class Root(StrEnum):
    """Where directories are. Those of a home are a person's; in the others each belongs to a record."""

    NOTEBOOKS = "notebooks"
    DATASETS = "datasets"
    GROUPS = "groups"
    MODULES = "modules"


class Directory(Struct, frozen=True):
    """The directories of a kind's records, each named by its record's id."""

    root: Root
    called: str
    """What people call one of them."""
    setting: str
    """The setting that says where they are."""
    below: str = ""
    """The directory of that which holds them, if it holds more; the service makes it."""

    def location(self, settings: Settings) -> Path:
        """Where they are."""
        return Path(getattr(settings, self.setting), self.below)


class Work(Struct, frozen=True):
    """The workflow that works on one subject."""

    workflow: str
    """Its class."""
    prefix: str
    """What its ids begin with."""
    summary: str
    """What it is for, as the Temporal web UI shows it."""


class Kind(Struct, frozen=True):
    """A kind of record. What is not said of it is not so."""

    word: str
    """What people, operations, grants and the log call it."""
    table: str
    work: Work
    wished: bool = True
    """Its table has a wish, and tells by generation and observed generation whether that is so outside."""
    directory: Directory | None = None
    shared: bool = False
    """People share it: its table is a branch of the view `shareable`."""
    templated: bool = False
    """Templates name it, in the field of its plural, and servers hold it."""
    trashed: bool = False
    """What is deleted of it stays in the trash for a while, and can be restored."""
    owned_by: str = "owner"
    """The column of the person whose quota one of it counts to; empty: nobody's."""
    most: int = 1000
    """Of how many a person may be that, unless the settings say otherwise; 0: as many as one likes."""

    @property
    def plural(self) -> str:
        """Several of it."""
        return f"{self.word}s"


KINDS = {
    kind.word: kind
    for kind in (
        Kind("server", "server", Work("ServerWorkflow", "server", "Make a server what is wished of it"), most=200),
        Kind(
            "person",
            "person",
            Work("UserWorkflow", "user", "Prepare a person's place"),
            wished=False,
            directory=Directory(Root.NOTEBOOKS, "home directory", "notebook_location"),
            owned_by="",
        ),
        Kind(
            "dataset",
            "dataset",
            Work("DatasetWorkflow", "dataset", "Make a dataset what is wished of it"),
            directory=Directory(Root.DATASETS, "directory of this dataset", "dataset_location"),
            shared=True,
            templated=True,
            trashed=True,
        ),
        Kind(
            "module",
            "module",
            Work("ModuleWorkflow", "module", "Make a module what is wished of it"),
            directory=Directory(Root.MODULES, "directory of this module", "module_location", "binaries"),
            shared=True,
            templated=True,
            trashed=True,
        ),
        Kind(
            "secret",
            "secret",
            Work("SecretWorkflow", "secret", "Make a secret what is wished of it"),
            shared=True,
            templated=True,
        ),
        Kind(
            "group",
            "user_group",
            Work("GroupWorkflow", "group", "Make a group what is wished of it"),
            directory=Directory(Root.GROUPS, "directory of this group", "group_location"),
            owned_by="creator",
        ),
    )
}

TABLES = {kind.word: kind.table for kind in KINDS.values() if kind.wished}
"""The table of each kind that is wished for; nothing else gets into a statement's text."""

DIRECTORIES = {kind.word: kind.directory for kind in KINDS.values() if kind.directory is not None}
"""The directories of each kind that has some."""

TRASHABLE = tuple(kind.word for kind in KINDS.values() if kind.trashed)
"""The kinds that stay in the trash for a while; others are gone at once."""

TEMPLATED = [kind for kind in KINDS.values() if kind.templated]
"""What templates name, in this order."""

ROOTS = {directory.root: word for word, directory in DIRECTORIES.items()}
"""What the first component below a root is the id of."""

WORK = {kind.word: kind.work for kind in KINDS.values()} | {
    f"{kind.word}{Subject.ACCESS}": Work(
        "AccessWorkflow", f"access-{kind.word}", f"Bring servers into line with who may use a {kind.word}"
    )
    for kind in KINDS.values()
    if kind.shared
}
WORK[f"server{Subject.ACCESS}"] = Work("ServerShareWorkflow", "access-server", "Share a server as asked")
WORK[Subject.SIGN_OUT] = Work(
    "SignOutWorkflow", "sign-out", "End what the provider and JupyterHub have of sessions that have ended"
)
"""What works on each kind of subject: on a record, on the effects of its grants, or of an end of sessions."""
