"""The secrets of an order: opened once, kept in memory for as long as the server runs, and put into it.

Nothing here is written anywhere, and nothing shows a value: not a representation, an error, or a command line.
"""

import asyncio
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

from hub.unwrap import SecretRefused, unwrap
from models.domain.reserved_variables import LOCALE_VARIABLE, VARIABLE, reserved
from models.domain.server_spec import SecretMount, ServerSpec, WrappedSecret

# Each is a descriptor while a server is launched.
MOST_FILES = 512
# Beneath these programs, people's files or our own things are.
_NOT_THERE = tuple(
    PurePosixPath(path)
    for path in (
        *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/sbin"),
        *("/sys", "/tmp", "/usr", "/var", "/opt/datasets", "/opt/groups", "/opt/modules", "/opt/nbhub"),  # noqa: S108
        "/run/nbhub-secrets",
    )
)


class OpenedSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """Variables by name, and files by their absolute path inside the server."""

    variables: dict[str, str] = {}
    files: dict[str, str] = {}

    def values(self) -> Iterator[str]:
        """Everything that must be shown to nobody."""
        yield from self.variables.values()
        yield from self.files.values()

    def __repr__(self) -> str:
        return f"OpenedSecrets({len(self.variables)} variables, {len(self.files)} files)"


def handed_over(spec: ServerSpec, wrapped: object) -> list[dict[str, Any]]:
    """Return the signed places of the secrets, each with the token that came beside; raises `SecretRefused`."""
    try:
        tokens = {one.id: one.token for one in msgspec.convert(wrapped, list[WrappedSecret])}
    except msgspec.ValidationError:
        raise SecretRefused("the tokens of the secrets cannot be read") from None
    if set(tokens) != {secret.id for secret in spec.secrets}:
        raise SecretRefused("the tokens are not those of the server's secrets")
    for secret in spec.secrets:
        _check_place(secret)
    return [{**msgspec.to_builtins(secret), "token": tokens[secret.id]} for secret in spec.secrets]


def _check_place(secret: SecretMount) -> None:
    """Refuse a secret that would hide something else, or on which the start of a server depends."""
    if secret.kind == "env_var":
        if not VARIABLE.fullmatch(secret.name) or reserved(secret.name) or LOCALE_VARIABLE.fullmatch(secret.name):
            raise SecretRefused(f"{secret.name} cannot be the variable of a secret")
        if secret.target:
            raise SecretRefused(f"the secret {secret.id} is to be a variable and a file")
        return
    target = PurePosixPath(secret.target)
    parts = target.parts
    inside = any(target == place or place in target.parents for place in _NOT_THERE)
    # Two slashes at its beginning are a root of their own.
    normal = parts[:1] == ("/",) and ".." not in parts and str(target) == secret.target and secret.target.isprintable()
    if not normal or len(parts) < 3 or inside:
        raise SecretRefused(f"no secret may be put at {secret.target}")


async def open_all(secrets: list[dict[str, Any]], vault: str) -> OpenedSecrets:
    """Open secrets in the hub; raises `SecretRefused`."""
    if not vault:
        raise SecretRefused("this JupyterHub knows no Vault: set NBHUB_HUB_VAULT_URL")
    variables, contents = await asyncio.to_thread(unwrap, secrets, vault.rstrip("/"))
    files = {
        f"{target}/{name}" if name else target: content
        for target, named in contents.items()
        for name, content in named.items()
    }
    if len(files) > MOST_FILES:
        raise SecretRefused(f"the secrets of a server may have at most {MOST_FILES} files together")
    return OpenedSecrets(variables=variables, files=files)
