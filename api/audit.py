"""Who did what: the audit, in three forms, and the chain of its seals."""

import csv
import io
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta

from api.http.answer import Answer
from api.http.fields import AnswerBody
from api.http.openapi import also_as, shown
from api.http.pagination import LISTED, Page, SortByAgeQuery, fields_of
from api.http.policy import Policy, needs
from models.database.lists import SortByAge
from models.domain.ids import parse_id
from models.domain.values import Caller
from models.ledger import audit, seals
from models.ledger.audit import AuditRecord
from models.ledger.seals import Seal

_JSON = "application/json"
_FORMS = _CSV, _LINES = "text/csv", "application/x-ndjson"
_encoder = msgspec.json.Encoder()


class AuditView(AnswerBody, frozen=True, kw_only=True):
    """Something that was done."""

    id: Annotated[UUID, Meta(description="Id of the row. Ids grow with time.")] = msgspec.field(name="_id")
    at: Annotated[datetime, Meta(description="When it was done.")]
    actor: Annotated[str, Meta(description="E-mail of who did it, as it was then; or `system`, or `unknown`.")]
    actor_id: Annotated[UUID, Meta(description="Id of the person who did it.")] | None = None
    action: Annotated[str, Meta(description="What was done, as `server.start`; or refused: `request.denied`.")]
    subject_kind: Annotated[str, Meta(description="Kind of the record that it was done to.")]
    subject: Annotated[UUID, Meta(description="Id of the record that it was done to.")]
    operation: Annotated[UUID, Meta(description="Id of the operation that does it.")] | None = None
    request_id: Annotated[str, Meta(description="The request that asked for it, as the log has it.")] | None = None
    client_request_id: Annotated[str, Meta(description="What its client called the request.")] | None = None
    detail: (
        Annotated[dict[str, Any], Meta(description="More about it, by kind of action; no value of anything.")] | None
    ) = None
    sealed: Annotated[bool, Meta(description="Whether it has a seal, which it gets within minutes.")]


class SealedView(AnswerBody, frozen=True, kw_only=True):
    """A row of the audit as it was when it was sealed."""

    id: Annotated[UUID, Meta(description="Id of the row.")] = msgspec.field(name="_id")
    digest: Annotated[str, Meta(description="SHA-256 of the row, in hexadecimal; zeros: it was gone already.")]


class SealView(AnswerBody, frozen=True, kw_only=True):
    """What some rows of the audit were, and the seal before."""

    number: Annotated[int, Meta(description="The first seal is 1, and each is one more than that before.")]
    at: Annotated[datetime, Meta(description="When it was made.")]
    previous: Annotated[str, Meta(description="Hash of the seal before, in hexadecimal; zeros: there is none.")]
    rows: Annotated[list[SealedView], Meta(description="What it seals, in the order of the ids.")]
    hash: Annotated[str, Meta(description="SHA-256 of all this, in hexadecimal.")]


_EXAMPLE = [
    AuditView(
        id=UUID("0199c2f4-5e2a-7cc1-8a6b-0f4e5d6c7b8a"),
        at=datetime.fromisoformat("2026-11-20T09:30:00+00:00"),
        actor="alice@example.org",
        actor_id=UUID("0199c2f4-0a11-7b1e-9d52-6c7d8e9fa0b1"),
        action="dataset.share",
        subject_kind="dataset",
        subject=UUID("0199c2f3-2b7c-7d0a-8f3e-1a2b3c4d5e6f"),
        operation=UUID("0199c2f4-5e29-7aa0-b1c2-d3e4f5a6b7c8"),
        request_id="8d0c1c8ad6d94d0b9e2f1a7b3c5d7e9f",
        detail={"relation": "read"},
        sealed=True,
    )
]
_EXAMPLE_SEALS = [
    SealView(
        number=1,
        at=datetime.fromisoformat("2026-11-20T09:31:00+00:00"),
        previous="0" * 64,
        rows=[SealedView(id=_EXAMPLE[0].id, digest="c0f1" * 16)],
        hash="5ea1" * 16,
    )
]


class AuditController(Controller):
    """Who did what, and the proof that nobody has changed it since."""

    path = "/audit"
    tags = ("Audit",)

    @get(
        opt=needs(Policy.ADMIN) | shown(_EXAMPLE) | also_as(*_FORMS),
        operation_id="listAudit",
        summary="List what was done",
        dependencies=LISTED,
    )
    async def index(
        self,
        request: Request[Caller, Any, Any],
        page: NamedDependency[Page],
        actor: Annotated[
            str | None, QueryParameter(max_length=320, description="E-mail of who did it, or `system`, or `unknown`.")
        ] = None,
        action: Annotated[
            str | None, QueryParameter(max_length=64, description="As `server.start`, or `request.denied`.")
        ] = None,
        subject: Annotated[
            str | None, QueryParameter(max_length=64, description="Id of the record that it was done to.")
        ] = None,
        since: Annotated[datetime | None, QueryParameter(description="From this time on.")] = None,
        until: Annotated[datetime | None, QueryParameter(description="Before this time.")] = None,
        sort: SortByAgeQuery = SortByAge.NEWEST,
    ) -> Response[list[AuditView]]:
        """What was done, by whom and to what: for admins. No value and no secret is in it.

        What was refused is `request.denied`: the `detail` says what was `asked` for, with which `code` it was
        refused, and how many more were `left_out` before it. It is about the record, also where the person could not
        see that, or else about the person. Whoever was not let in is a person or, unknown here, an `account`.

        `Accept: text/csv` or `application/x-ndjson` asks for the same page as a table or as lines of JSON, with the
        same `Link` to the next: put one after the other they are one file, the names of the columns before the first.
        A cell that a spreadsheet would calculate begins with an apostrophe.
        """
        found = await audit.list_rows(
            actor=actor,
            action=action,
            # An id that cannot exist has nothing done to it.
            subject=None if subject is None else parse_id(subject) or UUID(int=0),
            since=since,
            until=until,
            order=page.order(sort),
            limit=page.limit + 1,
            count=page.count,
        )
        answer = page.answer(found, key=lambda one: (str(one.id),), view=_view)
        answer.headers["Vary"] = "Accept"
        form = request.accept.best_match([_JSON, *_FORMS], default=_JSON)
        return answer if form == _JSON else _in_form(form, answer, request, page)

    @get(
        "/seals",
        opt=needs(Policy.ADMIN) | shown(_EXAMPLE_SEALS),
        operation_id="listAuditSeals",
        summary="List the seals of the audit",
    )
    async def seals(
        self,
        page: NamedDependency[Page],
        after: Annotated[
            int, QueryParameter(ge=0, le=2**53 - 1, description="Only those whose number is greater.")
        ] = 0,
        sort: SortByAgeQuery = SortByAge.NEWEST,
    ) -> Response[list[SealView]]:
        """The chain of seals, of which anybody can make all hashes again: for admins.

        Operators' documentation says of what text each hash is, and what it proves.
        """
        found, more = await seals.list_seals(
            after=after,
            beyond=None if page.after is None else int(page.after[0]),
            newest=sort is SortByAge.NEWEST,
            limit=page.limit,
        )
        return page.answer_part(found, after=(str(found[-1].number),) if more else None, view=_seal_view)


def _view(record: AuditRecord) -> AuditView:
    return AuditView(
        id=record.id,
        at=record.at,
        actor=record.actor_name,
        actor_id=record.actor,
        action=record.action,
        subject_kind=record.subject_kind,
        subject=record.subject,
        operation=record.operation,
        request_id=record.request_id,
        client_request_id=record.client_request_id,
        detail=record.detail,
        sealed=record.sealed,
    )


def _seal_view(seal: Seal) -> SealView:
    return SealView(
        number=seal.number,
        at=seal.at,
        previous=seal.previous.hex(),
        rows=[SealedView(id=one, digest=seal.digest_of(index).hex()) for index, one in enumerate(seal.ids)],
        hash=seal.hash.hex(),
    )


def _in_form(form: str, answer: Response[Any], request: Request[Any, Any, Any], page: Page) -> Response[Any]:
    """The same answer as lines or as a table."""
    if form == _LINES:
        return Answer(_encoder.encode_lines(answer.content), headers=answer.headers, media_type=_LINES)
    columns = [one for one in fields_of(request.route_handler) if page.fields is None or one in page.fields]
    table = _table(answer.content, columns, headed=page.after is None)
    return Answer(table, headers=answer.headers, media_type=f"{_CSV}; charset=utf-8")


_CALCULATED = ("=", "+", "-", "@", "\t", "\r")
"""How what a spreadsheet calculates begins."""


def _table(views: object, columns: list[str], *, headed: bool) -> bytes:
    """A page as CSV (RFC 4180)."""
    entries: list[dict[str, Any]] = msgspec.json.decode(_encoder.encode(views))
    text = io.StringIO()
    writer = csv.writer(text)
    if headed:
        writer.writerow(columns)
    writer.writerows([_cell(one.get(column)) for column in columns] for one in entries)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _encoder.encode(value).decode()
    return f"'{text}" if text.startswith(_CALCULATED) else text
