"""What `nbhub login` remembers: where one signs in, and the tokens.

    profiles.json            names and addresses
    tokens/<profile>.json    the tokens, for their owner alone; or they are in the system's keyring
    tokens/<profile>.lock    held while a refresh token is exchanged

beneath `NBHUB_CONFIG_DIR`, else `~/.config/nbhub` (or where `XDG_CONFIG_HOME` says).
"""

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from nbhub.errors import NotebooksHubError
from nbhub.models import Tokens

DIRECTORY_VARIABLE = "NBHUB_CONFIG_DIR"
PROFILE_VARIABLE = "NBHUB_PROFILE"
FILE, KEYRING = "file", "keyring"
_SERVICE = "nbhub"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ProfileProblem(NotebooksHubError):
    """A profile that there is not, that cannot be read, or that has an impossible name."""


class Profile(Struct, frozen=True, kw_only=True):
    """One place where one is signed in."""

    name: str
    url: str
    email: str = ""
    store: str = FILE
    """Where its tokens are: `file` or `keyring`."""


class _Kept(Struct, frozen=True, kw_only=True):
    current: str | None = None
    profiles: list[Profile] = []


class FileLock:
    """A lock that lives as long as its holder, whatever becomes of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


class Profiles:
    """The profiles of whoever runs this."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or _directory()

    def all(self) -> list[Profile]:
        """Every profile, by name."""
        return sorted(self._read().profiles, key=lambda one: one.name)

    def current(self) -> str | None:
        """The name of the one that is used where none is named."""
        return os.environ.get(PROFILE_VARIABLE) or self._read().current

    def find(self, name: str | None = None) -> Profile | None:
        """A profile, by default the current one; None if there is none. Raises `ProfileProblem` for an unknown name."""
        wanted = name or self.current()
        if wanted is None:
            return None
        for one in self._read().profiles:
            if one.name == wanted:
                return one
        if name is None and not os.environ.get(PROFILE_VARIABLE):
            return None
        raise ProfileProblem(f"there is no profile {wanted}: nbhub login --profile {wanted} makes it")

    def keep(self, profile: Profile, tokens: Tokens | None = None) -> None:
        """Remember a profile, and make it the current one."""
        if not _NAME.fullmatch(profile.name):
            raise ProfileProblem(f"{profile.name!r} is no name of a profile: letters, digits, dot, dash and underscore")
        others = [one for one in self._read().profiles if one.name != profile.name]
        if tokens is not None:
            self.keep_tokens(profile, tokens)
        self._write(_Kept(current=profile.name, profiles=[*others, profile]))

    def use(self, name: str) -> None:
        """Make a profile the current one."""
        kept = self._read()
        if name not in {one.name for one in kept.profiles}:
            raise ProfileProblem(f"there is no profile {name}")
        self._write(msgspec.structs.replace(kept, current=name))

    def tokens(self, profile: Profile) -> Tokens | None:
        """Those of a profile; None if one is signed out."""
        if profile.store == KEYRING:
            import keyring

            text: str | bytes | None = keyring.get_password(_SERVICE, _entry(profile))
        else:
            try:
                text = self._token_file(profile).read_bytes()
            except FileNotFoundError:
                text = None
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=Tokens)
        except msgspec.DecodeError:
            raise ProfileProblem(f"the tokens of the profile {profile.name} cannot be read: sign in again") from None

    def keep_tokens(self, profile: Profile, tokens: Tokens) -> None:
        """Remember the tokens of a profile."""
        text = msgspec.json.encode(tokens)
        if profile.store == KEYRING:
            import keyring

            keyring.set_password(_SERVICE, _entry(profile), text.decode())
        else:
            _replace(self._token_file(profile), text)

    def forget_tokens(self, profile: Profile) -> None:
        """Forget the tokens of a profile."""
        if profile.store == KEYRING:
            import keyring
            import keyring.errors

            with contextlib.suppress(keyring.errors.PasswordDeleteError):
                keyring.delete_password(_SERVICE, _entry(profile))
        self._token_file(profile).unlink(missing_ok=True)

    def lock(self, profile: Profile) -> FileLock | None:
        """The right to exchange a profile's refresh token; None while another has it."""
        path = self._token_file(profile).with_suffix(".lock")
        _make_private(path.parent)
        file = path.open("ab")
        if _locked(file):
            return FileLock(file)
        file.close()
        return None

    def _token_file(self, profile: Profile) -> Path:
        return self.directory / "tokens" / f"{profile.name}.json"

    def _read(self) -> _Kept:
        path = self.directory / "profiles.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (msgspec.DecodeError, OSError) as error:
            raise ProfileProblem(f"{path} cannot be read: {error}") from None

    def _write(self, kept: _Kept) -> None:
        _replace(self.directory / "profiles.json", msgspec.json.format(msgspec.json.encode(kept)))


def same_place(one: str, other: str) -> bool:
    """Whether two addresses are the same but for a slash at their ends."""
    return one.rstrip("/") == other.rstrip("/")


def _entry(profile: Profile) -> str:
    return f"{profile.name} {profile.url}"


def _directory() -> Path:
    if named := os.environ.get(DIRECTORY_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nbhub"


def _make_private(directory: Path) -> None:
    """A directory for its owner alone, and so what of the way to it is not there yet."""
    for one in reversed([directory, *directory.parents]):
        one.mkdir(exist_ok=True, mode=0o700)


def _replace(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all."""
    _make_private(path.parent)
    # The file of mkstemp is for its owner alone.
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _locked(file: IO[bytes]) -> bool:
    """Whether a file is locked now, for as long as it is open."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
