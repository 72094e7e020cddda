"""`nbhub datasets`, `modules` and `secrets`, and what of them is in the trash."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from nbhub import Hub
from nbhub.cli.exits import UsageProblem
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.nouns import Rename, changed, deleting, restoring, sharing, showing
from nbhub.cli.options import COMMON, NARROWED, Common, Limit, Narrowed, Owner
from nbhub.models import ModuleCall
from nbhub.synchronous.records import Shared, Trashed

datasets = Commands("datasets", "Datasets: directories of data.")
modules = Commands("modules", "Modules: software that servers load.")
secrets = Commands("secrets", "Secrets: values that servers are given.")

trash = Commands("trash", "Trash: what was deleted, and can be taken out again for a time.")

Description = Annotated[str | None, Option("what it is, for people")]
For = Annotated[str | None, Option("whose it is to be, for admins")]
Calls = Annotated[
    list[str] | None,
    Option("'FUNCTION ARGUMENT …': a call of its modulefile; may come several times, and all are in this order"),
]
Place = Annotated[str | None, Option("where servers see it: the file of a raw one, the directory of files")]


@trash.command("list")
def list_trash(*, limit: Limit = None, common: Common = COMMON) -> None:
    """List what is in one's trash, the latest first. `nbhub datasets restore NAME` takes it out."""
    with common.hub() as hub:
        common.list(hub.trash(), "id kind name trashed_at purged_at", limit)


def _datasets(hub: Hub) -> Trashed[Any]:
    return hub.datasets


def _modules(hub: Hub) -> Trashed[Any]:
    return hub.modules


def _secrets(hub: Hub) -> Shared[Any]:
    return hub.secrets


@datasets.command("list")
def list_datasets(*, narrowed: Narrowed = NARROWED, owner: Owner = None, common: Common = COMMON) -> None:
    """List datasets: one's own, and those that are shared with one."""
    with common.hub() as hub:
        found = hub.datasets.list(owner=owner, **narrowed.query())
        common.list(found, "name owner write_access description", narrowed.limit)


showing(datasets, _datasets)


@datasets.command("create")
def create_dataset(
    name: str, /, *, description: Description = None, owner: For = None, common: Common = COMMON
) -> None:
    """Make a dataset."""
    with common.hub() as hub:
        common.show(hub.datasets.create(name, description=description, owner=owner))


@datasets.command("edit")
def edit_dataset(
    name: Annotated[str, Option(names="datasets")],
    /,
    *,
    rename: Rename = None,
    description: Description = None,
    common: Common = COMMON,
) -> None:
    """Change a dataset."""
    fields = changed({"name": rename, "description": description})
    with common.hub() as hub:
        common.show(hub.datasets.update(hub.datasets.find(name, prefix=True), **fields))


deleting(datasets, _datasets)
restoring(datasets, _datasets)
sharing(datasets, _datasets)


@modules.command("list")
def list_modules(*, narrowed: Narrowed = NARROWED, owner: Owner = None, common: Common = COMMON) -> None:
    """List modules: one's own, those that are shared with one, and featured ones."""
    with common.hub() as hub:
        found = hub.modules.list(owner=owner, **narrowed.query())
        common.list(found, "name version owner featured write_access", narrowed.limit)


showing(modules, _modules)


@modules.command("create")
def create_module(
    name: str,
    version: str,
    /,
    *,
    description: Description = None,
    call: Calls = None,
    featured: Annotated[bool, Option("shown to everybody first; for admins")] = False,
    owner: For = None,
    common: Common = COMMON,
) -> None:
    """Make a module, with an empty directory for its binaries."""
    calls = None if call is None else _calls(call)
    with common.hub() as hub:
        made = hub.modules.create(
            name, version, lua_module_file=calls, description=description, featured=featured or None, owner=owner
        )
        common.show(made)


@modules.command("edit")
def edit_module(
    name: Annotated[str, Option(names="modules")],
    /,
    *,
    rename: Rename = None,
    version: Annotated[str | None, Option("its new version")] = None,
    description: Description = None,
    call: Calls = None,
    featured: Annotated[Literal["yes", "no"] | None, Option("whether it is shown to everybody first")] = None,
    common: Common = COMMON,
) -> None:
    """Change a module. The calls of its modulefile are replaced by those that are given."""
    fields = changed(
        {
            "name": rename,
            "version": version,
            "description": description,
            "lua_module_file": None if call is None else _calls(call),
            "featured": None if featured is None else featured == "yes",
        }
    )
    with common.hub() as hub:
        common.show(hub.modules.update(hub.modules.find(name, prefix=True), **fields))


@modules.command("functions")
def functions(*, common: Common = COMMON) -> None:
    """List the functions that a modulefile may call."""
    with common.hub() as hub:
        common.lines(hub.lua_functions())


deleting(modules, _modules)
restoring(modules, _modules)
sharing(modules, _modules)


@secrets.command("list")
def list_secrets(
    *,
    narrowed: Narrowed = NARROWED,
    type: Annotated[Literal["env_var", "raw", "file"] | None, Option("of this type alone")] = None,
    owner: Owner = None,
    common: Common = COMMON,
) -> None:
    """List secrets, without their values: one's own, and those that are shared with one."""
    with common.hub() as hub:
        found = hub.secrets.list(type=type, owner=owner, **narrowed.query())
        common.list(found, "name type owner version mount_path", narrowed.limit)


showing(secrets, _secrets)


@secrets.command("create")
def create_secret(
    name: str,
    /,
    *,
    type: Annotated[
        Literal["env_var", "raw", "file"], Option("a variable, one file, or a directory of files")
    ] = "env_var",
    file: Annotated[list[str] | None, Option("NAME=PATH: a file of --type file; may come several times")] = None,
    description: Description = None,
    mount_path: Place = None,
    owner: For = None,
    common: Common = COMMON,
) -> None:
    """Make a secret, whose value is read from stdin, or of files."""
    value = _value(file)
    with common.hub() as hub:
        made = hub.secrets.create(
            name, type=type, value=value, description=description, mount_path=mount_path, owner=owner
        )
        common.show(made)


@secrets.command("edit")
def edit_secret(
    name: Annotated[str, Option(names="secrets")],
    /,
    *,
    rename: Rename = None,
    description: Description = None,
    mount_path: Place = None,
    common: Common = COMMON,
) -> None:
    """Change what is known of a secret; `nbhub secrets replace` changes its value."""
    fields = changed({"name": rename, "description": description, "mount_path": mount_path})
    with common.hub() as hub:
        common.show(hub.secrets.update(hub.secrets.find(name, prefix=True), **fields))


@secrets.command("replace")
def replace_secret(
    name: Annotated[str, Option(names="secrets")],
    /,
    *,
    file: Annotated[list[str] | None, Option("NAME=PATH: a file of it; may come several times")] = None,
    common: Common = COMMON,
) -> None:
    """Give a secret another value, which is read from stdin; servers get it at their next start."""
    value = _value(file)
    with common.hub() as hub:
        common.show(hub.secrets.update(hub.secrets.find(name), value=value))


deleting(secrets, _secrets)
sharing(secrets, _secrets)


def _calls(texts: list[str]) -> list[ModuleCall]:
    """The calls of a modulefile, as they were typed."""
    calls = []
    for text in texts:
        try:
            words = shlex.split(text)
        except ValueError as problem:
            raise UsageProblem(f"{text} cannot be read: {problem}") from None
        if not words:
            raise UsageProblem("--call names no function\n  What there is: nbhub modules functions")
        calls.append(ModuleCall(id=words[0], arguments=words[1:]))
    return calls


def _value(files: list[str] | None) -> str | dict[str, str]:
    """The value of a secret: never an argument, which every process of the machine may read."""
    if files:
        return dict(map(_named_file, files))
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("value: ")
    value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise UsageProblem("there is no value on stdin, where it is read from")
    return value


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not name or not equals:
        raise UsageProblem(f"{text} is no file: NAME=PATH")
    try:
        return name, Path(path).read_text()
    except UnicodeDecodeError:
        raise UsageProblem(f"{path} is no text: a secret is") from None
