"""Secrets: what is known of them here. Their values are in Vault and nowhere else.

`value_version` is the version in Vault that servers are given; 0: there is no value yet. A value is written to Vault
before its version is written here, so a write that was cut off in between changes nothing.
"""

from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

from models.database import sql
from models.database.sql import records, rows
from models.database.tables import Secret
from models.domain.values import Caller
from models.records.lifecycles import Presence
from models.records.shared_records import SharedRecord, SharedRecords

KIND = "secret"


class SecretType(StrEnum):
    """How a secret is put into a server."""

    ENV_VAR = "env_var"
    """An environment variable."""
    RAW = "raw"
    """One file."""
    FILE = "file"
    """Files in a directory."""


class SecretRecord(SharedRecord, frozen=True, kw_only=True):
    """A secret as stored."""

    type: SecretType
    mount_path: str | None
    value_version: int


class Placed(Struct, frozen=True, kw_only=True):
    """A secret as far as its place inside a server goes."""

    id: UUID
    name: str
    type: SecretType
    mount_path: str | None
    value_version: int

    @property
    def target(self) -> str:
        """Where its files are inside a server."""
        return target_of(self.id, self.mount_path)

    def collides(self, other: "Placed") -> bool:
        """Whether both cannot be in one server: the same variable, or one path on or beneath the other."""
        variables = self.type is SecretType.ENV_VAR, other.type is SecretType.ENV_VAR
        if all(variables):
            return self.name == other.name
        mine, others = f"{self.target}/", f"{other.target}/"
        return not any(variables) and (mine.startswith(others) or others.startswith(mine))


DIRECTORY = "/opt/secret"


def target_of(secret_id: UUID, mount_path: str | None) -> str:
    """Where the files of a secret are inside a server."""
    return mount_path or f"{DIRECTORY}/{secret_id}"


_records = SharedRecords(
    KIND,
    Secret,
    SecretRecord,
    "d.type, d.mount_path, d.value_version",
    filters={"type": "d.type = :type", "name": "strpos(lower(d.name), lower(:name)) > 0"},
)
read = _records.read
read_owned = _records.read_owned
list_visible = _records.list_visible


async def create(secret_id: UUID, owner: UUID, values: dict[str, Any], caller: Caller) -> UUID:
    """Keep a secret, within the caller's transaction; the operation, which has succeeded: nothing is left to do."""
    made = Secret(id=secret_id, owner=owner, observed="present", observed_generation=1, **values)
    return await _records.insert(made, "secret.create", caller, succeeded=True)


async def update(secret: SecretRecord, values: dict[str, Any], value_version: int | None, caller: Caller) -> None:
    """Change a locked secret. A version that a later write has overtaken meanwhile stays behind."""
    columns = dict(values)
    if value_version is not None:
        columns["value_version"] = max(value_version, secret.value_version)
    await _records.update(secret, columns, caller)


async def delete(secret: SecretRecord, caller: Caller) -> UUID:
    """Wish a locked secret gone for good, with all versions of its value; the operation."""
    return await _records.intend(secret, Presence.PURGED, "delete", caller)


async def placed(identities: list[UUID]) -> list[Placed]:
    """What is known of some secrets that decides where they are inside a server, in the order of the ids."""
    found = await rows(
        """SELECT s.id, s.name, s.type, s.mount_path, s.value_version
             FROM unnest(:ids::uuid[]) WITH ORDINALITY AS given(id, place) JOIN secret s ON s.id = given.id
            WHERE s.wish = 'present' ORDER BY given.place""",
        ids=identities,
    )
    return records(found, Placed)


async def exists(secret_id: UUID) -> bool:
    """Whether there is a record of a secret, whatever is wished of it."""
    return await sql.exists("SELECT 1 FROM secret WHERE id = :id", id=secret_id)


async def unexplained(identities: list[UUID]) -> list[UUID]:
    """Which of these ids neither a secret has nor a claim names."""
    found = await rows(
        """SELECT given.id FROM unnest(:ids::uuid[]) AS given(id)
            WHERE NOT EXISTS (SELECT 1 FROM secret s WHERE s.id = given.id)
              AND NOT EXISTS (SELECT 1 FROM write_claim c WHERE c.subject = given.id)""",
        ids=identities,
    )
    return [one["id"] for one in found]
