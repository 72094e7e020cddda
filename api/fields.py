"""The field types that request structs are made of, and the bases of request and answer structs.

Constraints are msgspec's `Meta`, so that one declaration validates and documents. What msgspec cannot
say is in `Meta.extra`, which `api.validation` reads before it looks at lengths and patterns:

    text    "line"   trimmed, NFC, no control characters
            "lines"  the same, newlines and tabs allowed
    lower   the text is lower-cased
    no_uuid the text may not look like a record's id
"""

from typing import Annotated

from msgspec import Meta, Struct

UUID_TEXT = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""How the ids of records are written; any other spelling cannot exist."""


class RequestBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every body that is accepted. An optional field has the default `None`.

    A field of a PATCH, and any that may not be null, has the type `T | UnsetType = UNSET`, so that absent differs
    from null; `T | None | UnsetType = UNSET` is one where null clears the text.
    """


class AnswerBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every body that is sent. A field with its default `None` is left out: absent, never null.

    Give a field that must always be there no default.
    """


Name = Annotated[
    str, Meta(min_length=1, max_length=128, extra={"text": "line"}, description="A name that people read.")
]
Line = Annotated[str, Meta(max_length=1024, extra={"text": "line"})]
Word = Annotated[str, Meta(min_length=1, max_length=64, extra={"text": "line"})]
Description = Annotated[str, Meta(max_length=8192, extra={"text": "lines"}, description="May have newlines and tabs.")]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64, extra={"text": "line"})]], Meta(max_length=64)]
RecordId = Annotated[str, Meta(pattern=UUID_TEXT, description="Id of a record.")]
RecordIds = Annotated[list[RecordId], Meta(max_length=256)]

PathName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._ +-]*$",
        extra={"text": "line", "no_uuid": True},
        description="A name that becomes the name of a directory.",
    ),
]
PathWord = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
        extra={"text": "line", "no_uuid": True},
        description="A name that becomes the name of a file, without spaces.",
    ),
]
Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=254,
        pattern=r"^[a-z0-9._%+-]+@[a-z0-9.-]+$",
        extra={"text": "line", "lower": True},
        description="An e-mail address; upper case is lowered.",
    ),
]
