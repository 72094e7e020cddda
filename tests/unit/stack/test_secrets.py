"""The secrets of a stack: made once, kept over a restart, readable by nobody else, and whole or absent."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet
from msgspec import structs
from temporalio.api.common.v1 import Payload

from models.domain.server_spec import ServerSpec, sign_spec, verify_spec
from stack.secrets import Secrets, load_or_make, rotate, signing_key_file, spec_key_id, verifying_keys
from tests.specs import make_spec
from workflows.codec import EncryptionCodec


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """A person whose files are everybody's by default."""
    before = os.umask(0)
    yield
    os.umask(before)


def values(secrets: Secrets) -> list[str]:
    return list(msgspec.structs.asdict(secrets).values())


def signed(directory: Path) -> tuple[ServerSpec, str]:
    """A spec, and that spec as it is signed now."""
    spec = make_spec()
    return spec, sign_spec(spec, signing_key_file(directory).read_bytes(), spec_key_id(directory))


def public_keys(directory: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in verifying_keys(directory).glob("*.pem")}


def require_pair(directory: Path) -> None:
    """What is signed with the one key is verified with the other."""
    assert list(public_keys(directory)) == [spec_key_id(directory)]
    spec, token = signed(directory)
    assert verify_spec(token, public_keys(directory)) == spec


async def test_keys_are_rotated(tmp_path: Path) -> None:
    """What the old ones encrypted and signed stays good, and the new ones are used."""
    before = load_or_make(tmp_path)
    _, old = signed(tmp_path)
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"old"')
    (encrypted,) = await EncryptionCodec.from_setting(before.payload_keys).encode([payload])
    after = rotate(tmp_path)
    assert load_or_make(tmp_path) == after
    codec = EncryptionCodec.from_setting(after.payload_keys)
    assert await codec.decode([encrypted]) == [payload]
    (renewed,) = await codec.encode([payload])
    assert (encrypted.metadata["encryption-key-id"], renewed.metadata["encryption-key-id"]) == (b"1", b"2")
    spec, new = signed(tmp_path)
    assert sorted(public_keys(tmp_path)) == ["1", "2"]
    assert verify_spec(old, public_keys(tmp_path)).server_id == spec.server_id
    assert verify_spec(new, public_keys(tmp_path)) == spec
    assert structs.replace(after, payload_keys=before.payload_keys) == before, "nothing else changes"


def test_secrets_of_an_earlier_version_are_completed(tmp_path: Path) -> None:
    made = structs.asdict(load_or_make(tmp_path))
    del made["vault_api_secret_id"]
    (tmp_path / "secrets.json").write_bytes(msgspec.json.encode(made))
    completed = load_or_make(tmp_path)
    assert completed.vault_api_secret_id
    assert load_or_make(tmp_path) == completed
    assert structs.asdict(completed) == made | {"vault_api_secret_id": completed.vault_api_secret_id}


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
