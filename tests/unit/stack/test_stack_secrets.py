"""The secrets of a stack: made once, kept over a restart, readable by nobody else, and whole or absent."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet

from models.server_spec import ServerSpec, sign_spec, verify_spec
from stack.secrets import SPEC_KEY_ID, Secrets, load_or_make, signing_key_file, verifying_keys
from workflows.codec import EncryptionCodec


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """A person whose files are everybody's by default."""
    before = os.umask(0)
    yield
    os.umask(before)


def values(secrets: Secrets) -> list[str]:
    return list(msgspec.structs.asdict(secrets).values())


def require_pair(directory: Path) -> None:
    """What is signed with the one key is verified with the other."""
    now = int(time.time())
    spec = ServerSpec(
        server_id="s",
        hub_user="u",
        hub_name="n",
        generation=1,
        person_id="p",
        application="jupyterlab",
        hardware="cpuMedium",
        home="/h",
        issued_at=now,
        expires_at=now + 60,
    )
    public = {path.stem: path.read_bytes() for path in verifying_keys(directory).glob("*.pem")}
    assert list(public) == [SPEC_KEY_ID]
    assert verify_spec(sign_spec(spec, signing_key_file(directory).read_bytes(), SPEC_KEY_ID), public) == spec


def test_secrets_stay_over_a_restart(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "keys")
    private = signing_key_file(tmp_path / "keys").read_bytes()
    assert load_or_make(tmp_path / "keys") == made
    assert signing_key_file(tmp_path / "keys").read_bytes() == private
    require_pair(tmp_path / "keys")


def test_no_two_secrets_are_the_same(tmp_path: Path) -> None:
    both = values(load_or_make(tmp_path / "one")) + values(load_or_make(tmp_path / "two"))
    assert len(set(both)) == len(both)
    assert min(map(len, both)) >= 44, "32 bytes each"


def test_keys_are_of_use(tmp_path: Path) -> None:
    made = load_or_make(tmp_path)
    EncryptionCodec.from_setting(made.payload_keys)
    Fernet(made.session_key)


@pytest.mark.usefixtures("_open_umask")
def test_secrets_are_nobody_elses(tmp_path: Path) -> None:
    load_or_make(tmp_path / "keys")
    modes = {
        str(path.relative_to(tmp_path)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]
    }
    assert modes == {
        "keys": "0o700",
        "keys/secrets.json": "0o600",
        "keys/spec-signing-key.pem": "0o600",
        "keys/spec-keys": "0o700",
        "keys/spec-keys/1.pem": "0o600",
    }


@pytest.mark.parametrize("last", ["spec-signing-key.pem", "1.pem", "secrets.json"])
def test_whoever_dies_while_making_them_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    real = Path.rename

    def dying(path: Path, target: Path) -> Path:
        if target.name == last:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying)
        with pytest.raises(KeyboardInterrupt):
            load_or_make(tmp_path)
    assert not (tmp_path / "secrets.json").exists()
    made = load_or_make(tmp_path)
    require_pair(tmp_path)
    assert load_or_make(tmp_path) == made
    assert not list(tmp_path.rglob("*.new"))
