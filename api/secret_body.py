"""What clients send and see of secrets, and the checks of it. No answer, error or representation has a value."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.fields import AnswerBody, Description, Email, MayWrite, OwnerEmail, RecordId, RequestBody, given
from integrations.containment import check_name
from integrations.vault import DIRECTORY
from models.domain.errors import ProblemDetail, RequestInvalid, printable
from models.domain.reserved_variables import LOCALE_VARIABLE, VARIABLE, reserved
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records.secrets import SecretRecord, SecretType, target_of

MOST_BYTES = 262_144
"""How much a value may have together, in UTF-8."""
MOST_VARIABLE_BYTES = 65_536
"""How much the value of a variable may have: the kernel takes twice as much, with the name."""
MOST_FILES = 32

_COMPONENT = re.compile(r"[A-Za-z0-9._@+-]{1,255}")
_LONGEST_PATH = 512

SecretName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        extra={"text": "line"},
        description="Of an `env_var` the name of the variable, of a `file` that of the file.",
    ),
]
MountPath = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=_LONGEST_PATH,
        description="Where servers see it: a `raw` one is this file, a `file` one is in this directory.",
    ),
]
_FileName = Annotated[str, Meta(extra={"text": "line"})]
_Text = Annotated[str, Meta(min_length=1, max_length=MOST_BYTES)]
Value = Annotated[
    _Text | Annotated[dict[_FileName, _Text], Meta(min_length=1, max_length=MOST_FILES)],
    Meta(
        extra_json_schema={"writeOnly": True},
        description="Kept in Vault and never answered. An object, for a `file`, has several files by name.",
    ),
]


class SecretCreate(RequestBody, frozen=True, kw_only=True):
    """A new secret."""

    example: ClassVar[dict[str, Any]] = {
        "secretName": "WEATHER_TOKEN",
        "type": "env_var",
        "description": "For the weather service.",
        "value": "not-a-real-token",
    }

    name: SecretName = msgspec.field(name="secretName")
    type: SecretType
    description: Description | None = None
    mount_path: MountPath | UnsetType = UNSET
    owner: Annotated[Email, Meta(description="E-mail of the owner: the caller, or anybody for an admin.")] | None = None
    value: Value | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"SecretCreate({self.name!r})"


class SecretUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    example: ClassVar[dict[str, Any]] = {"value": "not-a-real-token-either"}

    name: SecretName | UnsetType = msgspec.field(name="secretName", default=UNSET)
    description: Description | None | UnsetType = UNSET
    mount_path: MountPath | UnsetType = UNSET
    value: Value | UnsetType = UNSET

    def __repr__(self) -> str:
        return "SecretUpdate()"


class SecretView(AnswerBody, frozen=True, kw_only=True):
    """A secret without its value. `version` is that of the value in Vault, absent while there is none."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[
        str, Meta(description="Of an `env_var` the name of the variable, of a `file` that of the file.")
    ] = msgspec.field(name="secretName")
    type: SecretType
    engine: Annotated[str, Meta(description="The secrets engine of Vault that has it.")]
    secret_path: Annotated[str, Meta(description="Where it is in the engine.")]
    owner: OwnerEmail
    write_access: MayWrite
    mount_path: Annotated[str, Meta(description="Where servers see it.")]
    description: Annotated[str, Meta(description="What it is, in words.")] | None = None
    version: Annotated[int, Meta(description="Of the value in Vault; absent while there is none.")] | None = None


def view_of(secret: SecretRecord, caller: Caller, settings: Settings) -> SecretView:
    """A secret as clients see it."""
    return SecretView(
        id=secret.id,
        name=secret.name,
        type=secret.type,
        description=secret.description or None,
        engine=settings.vault_engine,
        secret_path=f"{DIRECTORY}/{secret.id}",
        owner=secret.owner,
        write_access=secret.writable_by(caller),
        mount_path=target_of(secret.id, secret.mount_path),
        version=secret.value_version or None,
    )


def new_secret(body: SecretCreate, settings: Settings) -> dict[str, Any]:
    """Column values of a new secret; raises `RequestInvalid` with everything that is wrong."""
    _check(body, body.type, settings)
    return {
        "name": body.name,
        "type": str(body.type),
        "description": body.description or "",
        "mount_path": None if body.mount_path is UNSET else body.mount_path,
    }


def changed_secret(body: SecretUpdate, secret: SecretRecord, settings: Settings) -> dict[str, Any]:
    """Column values that change, but for the version; raises `RequestInvalid` with everything that is wrong."""
    _check(body, secret.type, settings)
    return given(name=body.name, description=body.description, mount_path=body.mount_path)


def _check(body: SecretCreate | SecretUpdate, type: SecretType, settings: Settings) -> None:
    problems = []
    if body.name is not UNSET:
        problems += _name_problems(body.name, type)
    if body.mount_path is not UNSET:
        problems += _path_problems(body.mount_path, settings)
    if body.value is not UNSET:
        problems += _value_problems(body.value, type)
    if problems:
        raise RequestInvalid(problems)


def _name_problems(name: str, type: SecretType) -> list[ProblemDetail]:
    reason = ""
    if type is SecretType.ENV_VAR:
        if not VARIABLE.fullmatch(name):
            reason = "must be the name of a variable: letters, digits and `_`, no digit first"
        elif reserved(name) or LOCALE_VARIABLE.fullmatch(name):
            reason = "is a variable on which the start of a server depends"
    elif type is SecretType.FILE:
        reason = _file_name_problem(name)
    return [ProblemDetail(path="/secretName", code="format", message=reason)] if reason else []


def _path_problems(path: str, settings: Settings) -> list[ProblemDetail]:
    absolute, *names = path.split("/")
    if absolute or not all(_COMPONENT.fullmatch(name) and name not in (".", "..") for name in names):
        reason = "must be an absolute path in normal form, of letters, digits, `.`, `_`, `@`, `+` and `-`"
    elif not any(PurePosixPath(prefix) in PurePosixPath(path).parents for prefix in settings.secret_mount_prefixes):
        reason = f"must lie beneath {' or '.join(settings.secret_mount_prefixes)}"
    else:
        return []
    return [ProblemDetail(path="/mount_path", code="format", message=reason)]


def _value_problems(value: str | dict[str, str], type: SecretType) -> list[ProblemDetail]:
    if isinstance(value, str):
        most = MOST_VARIABLE_BYTES if type is SecretType.ENV_VAR else MOST_BYTES
        size = len(value.encode())
    elif type is not SecretType.FILE:
        return [ProblemDetail(path="/value", code="type", message="may be an object for the type `file` only")]
    else:
        problems = [
            ProblemDetail(path=f"/value/{printable(name)}", code="format", message=reason)
            for name in value
            if (reason := _file_name_problem(name))
        ]
        if problems:
            return problems
        most, size = MOST_BYTES, sum(len(content.encode()) for content in value.values())
    if size > most:
        return [ProblemDetail(path="/value", code="maxLength", message=f"must have at most {most} bytes")]
    return []


def _file_name_problem(name: str) -> str:
    try:
        check_name(name)
    except ValueError as error:
        return f"names a file: {error}"
    return "" if name.isprintable() else "names a file: must not hold control characters"
