"""The configured application types and hardware options, read from one TOML file and checked at load.

The API validates templates with it; the hub turns the same entries into commands, images and limits.
"""

import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

SHIPPED = Path(__file__).with_name("profiles.toml")
# Where everybody finds the own home inside a server, and the directories that hold mounts.
HOME = PurePosixPath("/home/jovyan")
SHARED_ROOTS = (PurePosixPath("/opt/datasets"), PurePosixPath("/opt/groups"))

_SLUG = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MAXIMUM_PATH_BYTES = 1024
_MEANS_SOMETHING = re.compile(r"[\\^$.*+?()\[\]{}|/]")


class ProfilesInvalid(Exception):
    """The profiles file cannot be used; the message names file and place."""


class ProfileMismatch(ValueError):
    """A wish that no profile fulfils. `field` is the wire name of the offending field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One application type."""

    title: str
    icon: str = ""
    kind: Literal["jupyter", "web"]
    command: tuple[str, ...]
    default: bool = False
    environment: dict[str, str] = {}
    python_modules: tuple[str, ...] = ()
    image: str = ""
    default_url: str = ""
    strip_prefix: bool = True
    ready_path: str = "/"
    file: Literal["none", "required"] = "none"
    file_suffixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command or not all(self.command):
            raise ValueError("command must be a program and its arguments")
        if self.default_url and not self.default_url.startswith("/"):
            raise ValueError("default_url must begin with a slash")
        if not self.ready_path.startswith("/"):
            raise ValueError("ready_path must begin with a slash")
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of an environment variable")

    @property
    def needs_file(self) -> bool:
        return self.file == "required"

    def check_suffix(self, path: str) -> None:
        """Refuse a path whose ending this application cannot open (what is on disk is seen at the start).

        A path that ends in a slash is a folder's; without one, a name without a dot may be.
        """
        name = PurePosixPath(path).name
        folder = "/" in self.file_suffixes and (path.endswith("/") or "." not in name)
        if not folder and (path.endswith("/") or not self.opens_file(name)):
            raise ProfileMismatch("filePath", f"{self.title} opens {self._what_it_opens()}")

    @property
    def file_rule(self) -> str:
        """What it opens, in words; empty if it opens no file."""
        return f"{self.title} opens {self._what_it_opens() or 'a file'}" if self.needs_file else ""

    @property
    def file_pattern(self) -> str:
        """A regular expression of the paths in normal form that `check_suffix` lets through; empty if it opens no file.

        Of JSON Schema's kind, so that pages can check with it what people type.
        """
        if not self.needs_file:
            return ""
        endings = "|".join(_MEANS_SOMETHING.sub(r"\\\g<0>", one) for one in self._endings)
        names = [f"[^/]*({endings})"] if endings else []
        names += ["[^/]+/", "[^./]+"] if "/" in self.file_suffixes else []
        return f"^(.*/)?({'|'.join(names) or '[^/]+'})$"

    def opens_file(self, name: str) -> bool:
        """Whether a file of this name may be opened."""
        return not self.file_suffixes or name.endswith(self._endings)

    @property
    def opens_folders(self) -> bool:
        return not self.file_suffixes or "/" in self.file_suffixes

    @property
    def _endings(self) -> tuple[str, ...]:
        return tuple(suffix for suffix in self.file_suffixes if suffix != "/")

    def _what_it_opens(self) -> str:
        opened = f"a file that ends in {' or '.join(self._endings)}" if self._endings else ""
        folder = "a folder (if its name holds a dot, with a slash at the end of the path)" if self.opens_folders else ""
        return ", or ".join(part for part in (opened, folder) if part)


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hardware option; `memory` as written, `memory_bytes` as a number."""

    title: str
    cpu: float
    memory: str | int
    default: bool = False
    gpu: int = 0
    node_selector: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not 0 < self.cpu <= 4096:
            raise ValueError("cpu must be above 0")
        if self.memory_bytes < _UNITS["M"]:
            raise ValueError("memory must be at least 1M")
        if self.gpu < 0:
            raise ValueError("gpu must not be negative")

    @property
    def memory_bytes(self) -> int:
        match = _MEMORY.fullmatch(str(self.memory))
        if match is None:
            raise ValueError("memory must be a number with K, M, G or T")
        return int(float(match[1]) * _UNITS[match[2]])


class Unavailable(msgspec.Struct, frozen=True, kw_only=True):
    """The applications and hardware that no server is started with, by name, and why, for people."""

    applications: dict[str, str] = {}
    hardware: dict[str, str] = {}


class Profiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is configured."""

    applications: dict[str, Application]
    hardware: dict[str, Hardware]

    def __post_init__(self) -> None:
        for kind, entries in (("applications", self.applications), ("hardware", self.hardware)):
            for name in entries:
                if not _SLUG.fullmatch(name):
                    raise ValueError(f"{kind}: {name!r} must be letters, digits, '-' and '_'")
            defaults = [name for name, entry in entries.items() if entry.default]
            if len(defaults) != 1:
                raise ValueError(f"{kind}: exactly one entry must have default = true, not {len(defaults)}")

    def application_named(self, name: str) -> Application:
        """Return the application of this name or raise `ProfileMismatch`."""
        try:
            return self.applications[name]
        except KeyError:
            known = ", ".join(self.applications)
            raise ProfileMismatch("applicationType", f"must be one of: {known}") from None

    def hardware_name(self, text: str) -> str:
        """Return the name of the option that `text` names, by its name or its title."""
        if text in self.hardware:
            return text
        for name, hardware in self.hardware.items():
            if hardware.title == text:
                return name
        raise ProfileMismatch("hardware", f"must be one of: {', '.join(self.hardware)}")

    def hardware_named(self, text: str) -> Hardware:
        """Return the option that `text` names or raise `ProfileMismatch`."""
        return self.hardware[self.hardware_name(text)]

    def check_file_path(self, application: str, path: str) -> str:
        """Return where `path` is inside a server of this application type ("" if it opens no file).

        Only the text is judged here; that nothing on disk leads elsewhere is judged at the spawn.
        """
        profile = self.application_named(application)
        if not profile.needs_file:
            return ""
        if not path:
            raise ProfileMismatch("filePath", f"{profile.title} needs the file or folder to show")
        resolved = path_in_server(path)
        profile.check_suffix(path)
        return resolved


def path_in_server(path: str) -> str:
    """Return the absolute form of a file path inside a server, or raise `ProfileMismatch`.

    Absolute, relative to the home, or beginning with `$HOME/`. It must lie in the home, in a dataset or in a group.
    """
    if len(path.encode("utf-8", "surrogatepass")) > _MAXIMUM_PATH_BYTES:
        raise ProfileMismatch("filePath", f"must be a path of at most {_MAXIMUM_PATH_BYTES} bytes")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise ProfileMismatch("filePath", "must be a path without control characters")
    path = path.removesuffix("/")
    absolute = HOME if path == "$HOME" else HOME / path.removeprefix("$HOME/")
    # Split by hand: PurePosixPath would quietly drop "." and empty components.
    if any(part in {"", ".", ".."} for part in path.removeprefix("/").split("/")):
        raise ProfileMismatch("filePath", "must be a path in normal form, without '.', '..' or empty parts")
    if HOME in absolute.parents:
        return str(absolute)
    for root in SHARED_ROOTS:
        # The second parent too: a dataset or group itself is fine, the directory of all of them is not.
        if root in absolute.parents:
            return str(absolute)
    raise ProfileMismatch("filePath", f"must lie in the home, in {SHARED_ROOTS[0]}/… or in {SHARED_ROOTS[1]}/…")


def load_profiles(file: Path | None = None) -> Profiles:
    """Read the profiles of `file`, or those that are shipped."""
    path = file or SHIPPED
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Profiles)
    except OSError as problem:
        raise ProfilesInvalid(f"cannot read the profiles file {path}: {problem.strerror}") from None
    except (msgspec.DecodeError, ValueError) as problem:
        raise ProfilesInvalid(f"profiles file {path}: {problem}") from None
