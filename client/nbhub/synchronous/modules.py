# Made of nbhub/asynchronous/modules.py by `make client`: change it there.
"""Modules: software that servers load."""

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from nbhub.models import Module, ModuleCall
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.records import Trashed, etag_of, given, only


class Modules(Trashed[Module]):
    """One's own modules, those that are shared with one, and featured ones."""

    kind, noun, collection, single = Module, "module", "/modules", "/modules"

    def _names(self, record: Module) -> list[str]:
        return [record.name, f"{record.name}/{record.version}"]

    def list(self, *, owner: str | None = None, q: str | None = None, sort: str | None = None) -> Pages[Module]:
        """All that one may see, newest first; for admins, what one `owner` has. With `q` in the name."""
        return self._all({"owner": owner, "q": q, "sort": sort})

    def create(
        self,
        name: str,
        version: str,
        *,
        lua_module_file: Iterable[ModuleCall] | None = None,
        description: str | None = None,
        featured: bool | None = None,
        owner: str | None = None,
        wait: float | None = None,
    ) -> Module:
        """Make one, with an empty directory for its binaries, and its modulefile."""
        calls = None if lua_module_file is None else list(lua_module_file)
        body = only(
            name=name, version=version, luaModuleFile=calls, description=description, featured=featured, owner=owner
        )
        return self._settled(Module, "POST", "/modules", body=body, wait=wait)

    def update(
        self,
        reference: str | Module,
        *,
        name: str | UnsetType = UNSET,
        version: str | UnsetType = UNSET,
        lua_module_file: Iterable[ModuleCall] | UnsetType = UNSET,
        description: str | None | UnsetType = UNSET,
        featured: bool | UnsetType = UNSET,
        wait: float | None = None,
        if_match: str | None = None,
    ) -> Module:
        """Change what is given. Raises `Stale` if the record that is given has changed since it was read."""
        calls = UNSET if isinstance(lua_module_file, UnsetType) else list(lua_module_file)
        body = given(name=name, version=version, luaModuleFile=calls, description=description, featured=featured)
        path = self._path(self._id_of(reference))
        return self._settled(Module, "PATCH", path, body=body, wait=wait, if_match=etag_of(reference, if_match))
