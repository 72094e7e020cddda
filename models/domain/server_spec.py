"""What a server is to be, signed: the only thing JupyterHub's side believes about a spawn.

`user_options` are user input to JupyterHub. So the worker signs one `ServerSpec` and the hub, which holds
the public key alone, spawns what is signed and nothing else.
"""

import re
import time
from collections.abc import Mapping

import msgspec
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OKPKey

# RFC 9864's name for "EdDSA with Ed25519". Fixed here: what a token's header asks for is never followed.
ALGORITHM = "Ed25519"
TYPE = "nbhub-spec+jwt"
# Clocks of worker and hub may differ by this much before a spec counts as issued in the future.
CLOCK_LEEWAY_SECONDS = 60
# Room for the most that a template names and the most groups, under the longest names.
MAXIMUM_BYTES = 4 * 1024 * 1024
_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])
# The library's own bound is smaller than orders are; `MAXIMUM_BYTES` is looked at first.
_REGISTRY.max_payload_length = MAXIMUM_BYTES
# Ids become file names of the hub's records.
SERVER_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


class SpecInvalid(Exception):
    """A spec that must not be spawned; `code` for programs, `reason` in words for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Mount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One directory shown inside the server: `source` as the hub's machine sees it, `target` inside."""

    source: str
    target: str
    read_only: bool
    object_id: str = ""
    kind: str = ""


class SecretMount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One secret shown inside the server, and where Vault has it; never its value.

    `kind` is `env_var` (a variable `name`), `raw` (one file `target`) or `file` (files in the directory `target`;
    `name` is that of the file where the value is a single text).
    """

    id: str
    kind: str
    name: str
    target: str = ""
    path: str
    version: int


class WrappedSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The single-use token that hands one secret of a spec over. It stands beside the spec, unsigned."""

    id: str
    token: str

    def __repr__(self) -> str:
        return f"WrappedSecret(id={self.id!r})"


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a spawner needs to know about one start of one server.

    Unknown fields are refused: a newer worker's restriction must not be ignored by an older hub. What is not used is
    left out, so an older hub knows the rest.
    """

    server_id: str
    hub_user: str
    hub_name: str
    generation: int
    person_id: str
    application: str
    hardware: str
    file_path: str = ""
    home: str
    mounts: tuple[Mount, ...] = ()
    modules: tuple[str, ...] = ()
    secrets: tuple[SecretMount, ...] = ()
    issued_at: int
    expires_at: int


def sign_spec(spec: ServerSpec, private_key_pem: bytes, key_id: str) -> str:
    """Return `spec` as a compact JWS signed with an Ed25519 private key."""
    header = {"alg": ALGORITHM, "kid": key_id, "typ": TYPE}
    return jws.serialize_compact(header, msgspec.json.encode(spec), OKPKey.import_key(private_key_pem), [ALGORITHM])


def verify_spec(token: str, keys: Mapping[str, bytes], *, now: float | None = None) -> ServerSpec:
    """Return the spec that `token` carries, or raise `SpecInvalid`. `keys` maps key ids to public PEMs."""
    spec = _decode(_verified_payload(token, keys))
    moment = time.time() if now is None else now
    if spec.expires_at <= moment:
        raise SpecInvalid("expired", "the order to start this server has expired")
    if spec.issued_at > moment + CLOCK_LEEWAY_SECONDS:
        raise SpecInvalid("not-yet-valid", "the order to start this server was issued in the future: check the clocks")
    return spec


def _verified_payload(token: str, keys: Mapping[str, bytes]) -> bytes:
    if len(token) > MAXIMUM_BYTES:
        raise SpecInvalid("malformed", "the order to start this server is too large")
    try:
        unverified = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header = unverified.headers()
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
            raise SpecInvalid("malformed", "this is not a signed order to start a server")
        public_key = keys.get(str(header.get("kid")))
        if public_key is None:
            raise SpecInvalid("unknown-key", "the order to start this server is signed with an unknown key")
        return jws.deserialize_compact(token, OKPKey.import_key(public_key), registry=_REGISTRY).payload
    except BadSignatureError:
        raise SpecInvalid("bad-signature", "the signature of the order to start this server is wrong") from None
    except (JoseError, ValueError):
        raise SpecInvalid("malformed", "this is not a signed order to start a server") from None


def _decode(payload: bytes) -> ServerSpec:
    try:
        spec = msgspec.json.decode(payload, type=ServerSpec)
    except msgspec.DecodeError as problem:
        raise SpecInvalid("malformed", f"the order to start this server cannot be read: {problem}") from None
    if not SERVER_ID.fullmatch(spec.server_id) or spec.generation < 0:
        raise SpecInvalid("malformed", "the order to start this server names no valid server")
    return spec
