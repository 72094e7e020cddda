"""The secrets of one stack: made once, kept in its directory, readable by nobody else. Keys can be rotated."""

import secrets as random
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import Struct, structs

_FIRST = 1


class Secrets(Struct, frozen=True, kw_only=True):
    """Every secret but the key pairs of the spec, which are in files of their own."""

    payload_keys: str
    session_key: str
    codec_token: str
    worker_token: str
    proxy_token: str
    hub_admin_token: str
    api_client_secret: str
    hub_client_secret: str
    vault_api_secret_id: str
    vault_worker_secret_id: str


def load_or_make(directory: Path) -> Secrets:
    """The secrets kept in `directory`, made at the first call, with a key pair beside them."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "secrets.json"
    kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    if not kept:
        _make_key_pair(directory, _FIRST)
    # A stack of an earlier version had fewer of them.
    made = Secrets(**(structs.asdict(_fresh()) | kept))
    if structs.asdict(made) != kept:
        # Last: whoever finds it finds the key pair too.
        _write(path, msgspec.json.encode(made))
    return made


def _fresh() -> Secrets:
    return Secrets(
        payload_keys=f"{_FIRST}:{Fernet.generate_key().decode()}",
        session_key=Fernet.generate_key().decode(),
        **{
            name: random.token_hex(32)
            for name in Secrets.__struct_fields__
            if name not in ("payload_keys", "session_key")
        },
    )


def rotate(directory: Path) -> Secrets:
    """New keys of the payload codec and of the spec, beside the old ones; the secrets from now on.

    What was encrypted or signed with an old key stays readable. API and workers know of it once they are restarted.
    """
    kept = load_or_make(directory)
    _make_key_pair(directory, int(spec_key_id(directory)) + 1)
    payload_id = int(kept.payload_keys.partition(":")[0]) + 1
    made = structs.replace(kept, payload_keys=f"{payload_id}:{Fernet.generate_key().decode()},{kept.payload_keys}")
    _write(directory / "secrets.json", msgspec.json.encode(made))
    return made


def spec_key_id(directory: Path) -> str:
    """The id of the key that signs now: the newest."""
    numbers = [int(file.stem.rpartition("-")[2]) for file in directory.glob("spec-signing-key-*.pem")]
    return str(max(numbers, default=_FIRST))


def _make_key_pair(directory: Path, number: int) -> None:
    """Make the pair that signs and verifies specs from now on; JupyterHub's side finds the new public key by itself."""
    key = Ed25519PrivateKey.generate()
    public = verifying_keys(directory)
    public.mkdir(exist_ok=True, mode=0o700)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # First, so that nothing is signed that could not be verified.
    _write(public / f"{number}.pem", pem)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(directory / _private(number), private)


def signing_key_file(directory: Path) -> Path:
    """The private key that signs what may be started."""
    return directory / _private(int(spec_key_id(directory)))


def _private(number: int) -> str:
    return "spec-signing-key.pem" if number == _FIRST else f"spec-signing-key-{number}.pem"


def verifying_keys(directory: Path) -> Path:
    """The directory of the public keys, one file to a key id."""
    return directory / "spec-keys"


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.new")
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.rename(path)
