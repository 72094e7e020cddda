"""The secrets of one stack: made once, kept in its directory, readable by nobody else."""

import secrets as random
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import Struct

SPEC_KEY_ID = "1"


class Secrets(Struct, frozen=True, kw_only=True):
    """Every secret but the key pair of the spec, which is in files of its own."""

    payload_keys: str
    session_key: str
    codec_token: str
    worker_token: str
    proxy_token: str
    hub_admin_token: str
    api_client_secret: str
    hub_client_secret: str


def load_or_make(directory: Path) -> Secrets:
    """The secrets kept in `directory`, made at the first call, with the key pair beside them."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "secrets.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Secrets)
    key = Ed25519PrivateKey.generate()
    _write(signing_key_file(directory), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = verifying_keys(directory)
    public.mkdir(exist_ok=True, mode=0o700)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(public / f"{SPEC_KEY_ID}.pem", pem)
    made = Secrets(
        payload_keys=f"1:{Fernet.generate_key().decode()}",
        session_key=Fernet.generate_key().decode(),
        **{
            name: random.token_hex(32)
            for name in (
                "codec_token",
                "worker_token",
                "proxy_token",
                "hub_admin_token",
                "api_client_secret",
                "hub_client_secret",
            )
        },
    )
    # Last: whoever finds it finds the key pair too.
    _write(path, msgspec.json.encode(made))
    return made


def signing_key_file(directory: Path) -> Path:
    """The private key that signs what may be started."""
    return directory / "spec-signing-key.pem"


def verifying_keys(directory: Path) -> Path:
    """The directory of the public keys, one file to a key id."""
    return directory / "spec-keys"


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.new")
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.rename(path)
