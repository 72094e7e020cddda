"""The field types that request structs are made of, and the bases of request and answer structs.

Constraints are msgspec's `Meta`, so that one declaration validates and documents. What msgspec cannot
say is in `Meta.extra`, which `api.http.readers` knows:

    text    "line"   trimmed, NFC, no control characters
            "lines"  the same, newlines and tabs allowed
            "path"   no control characters, but otherwise as it came: it names a file that exists
    format  EMAIL    an address in the form of `models.domain.emails`
    no_uuid the text may not look like a record's id
    says    what is wrong with a text that its pattern does not match, after the text itself
    kept    a malformed entry is handed on as `Malformed`, to be named together with those that nobody knows
"""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from models.domain.emails import LONGEST_EMAIL

UUID_TEXT = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""How the ids of records are written; any other spelling cannot exist."""


EMAIL = "idn-email"
"""The `format` of a text, or of a parameter, that is an e-mail address: handlers get its one form."""


class RequestBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every body that is accepted. An optional field has the default `None`.

    A field of a PATCH, and any that may not be null, has the type `T | UnsetType = UNSET`, so that absent differs
    from null; `T | None | UnsetType = UNSET` is one where null clears the text.
    A rule over several fields is told to clients by `schema_extra`, a class variable with keywords of JSON Schema, and
    by `example` what one looks like. `most_values` is how many JSON values a body has at most, with itself, where its
    fields together may have fewer than each alone: no more are read (`api.http.validation`).
    """

    schema_extra: ClassVar[dict[str, Any]] = {}
    example: ClassVar[dict[str, Any] | None] = None
    most_values: ClassVar[int | None] = None


class AnswerBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every body that is sent. A field with its default `None` is left out: absent, never null.

    Give a field that must always be there no default.
    """


Url = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
"""An address that an answer tells."""
RecordId = Annotated[UUID, Meta(description="Id of the record.")]
OwnerEmail = Annotated[str, Meta(description="E-mail of the owner.")]
MayWrite = Annotated[bool, Meta(description="Whether the caller may change it.")]


def given(*, description: str | None | UnsetType, **values: Any) -> dict[str, Any]:
    """Of the fields of a PATCH, those that were given, as their columns are to be; null is no description."""
    columns = {"description": "" if description is None else description, **values}
    return {name: value for name, value in columns.items() if value is not UNSET}


Name = Annotated[
    str, Meta(min_length=1, max_length=128, extra={"text": "line"}, description="A name that people read.")
]
Line = Annotated[str, Meta(max_length=1024, extra={"text": "line"})]
PathInServer = Annotated[str, Meta(max_length=1024, extra={"text": "path"})]
Word = Annotated[str, Meta(min_length=1, max_length=64, extra={"text": "line"})]
Description = Annotated[str, Meta(max_length=8192, extra={"text": "lines"}, description="May have newlines and tabs.")]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64, extra={"text": "line"})]], Meta(max_length=64)]

MOST_IDS = 256


def _id_of(kind: str) -> Meta:
    return Meta(
        pattern=UUID_TEXT, extra={"kept": True, "says": f"is not the id of a {kind}"}, description=f"Id of a {kind}."
    )


DatasetIds = Annotated[list[Annotated[str, _id_of("dataset")]], Meta(max_length=MOST_IDS)]
ModuleIds = Annotated[list[Annotated[str, _id_of("module")]], Meta(max_length=MOST_IDS)]
SecretIds = Annotated[list[Annotated[str, _id_of("secret")]], Meta(max_length=MOST_IDS)]


def _path_name(characters: str, words: str, description: str) -> Meta:
    """Of a name that begins with a letter or digit, and goes on with these and some more `characters`."""
    return Meta(
        min_length=1,
        max_length=64,
        pattern=f"^[A-Za-z0-9][A-Za-z0-9{characters}]*$",
        extra={
            "text": "line",
            "no_uuid": True,
            "says": f"must begin with a letter or digit (A to Z, 0 to 9) and may go on with these{words} and . _ + -",
        },
        description=description,
    )


PathName = Annotated[str, _path_name("._ +-", ", spaces", "A name that becomes the name of a directory.")]
PathWord = Annotated[str, _path_name("._+-", "", "A name that becomes the name of a file, without spaces.")]
# No pattern: msgspec 0.22 frees a union of a container and a text with a pattern wrongly, and the process dies.
Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=LONGEST_EMAIL,
        extra={"text": "line", "format": EMAIL},
        extra_json_schema={"format": EMAIL},
        description="An e-mail address; upper case is lowered.",
    ),
]
