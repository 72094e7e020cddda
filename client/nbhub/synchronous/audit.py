# Made of nbhub/asynchronous/audit.py by `make client`: change it there.
"""Who did what, for admins."""

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import Literal

from nbhub.answers import cursor_of
from nbhub.models import AuditEntry, Seal, Verification
from nbhub.seals import Chain
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.transport import Query, Transport

_FORMS = {"csv": "text/csv", "jsonl": "application/x-ndjson"}


class Audit:
    """What was done, by whom and to what, and the proof that nobody has changed it since."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
    ) -> Pages[AuditEntry]:
        """Newest first: what somebody (an e-mail, or `system`) did, of one action such as `server.start`, to one record
        by its id, from a time on, before a time. A time without a zone is one of UTC. What was refused is of the action
        `request.denied`."""
        query = _query(actor, action, subject, since, until, sort)
        return Pages(self._transport, "/audit", AuditEntry, query)

    def export(
        self,
        form: Literal["csv", "jsonl"] = "csv",
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
    ) -> Generator[bytes, None, None]:
        """The same list as one file, a page at a time, however long it is."""
        query, cursor = _query(actor, action, subject, since, until, sort), None
        while True:
            response = self._transport.send(
                "GET", "/audit", query={**query, "cursor": cursor}, headers={"Accept": _FORMS[form]}
            )
            yield response.content
            cursor = cursor_of(response)
            if cursor is None:
                return

    def seals(self, *, after: int | None = None, sort: str | None = None) -> Pages[Seal]:
        """The chain of seals, the newest first: those after a number."""
        return Pages(self._transport, "/audit/seals", Seal, {"after": after, "sort": sort})

    def head(self) -> str | None:
        """Of the newest seal, to be kept elsewhere: `verify` then finds whether what it has sealed is still so."""
        newest = self.seals().first()
        return newest.head if newest else None

    def verify(self, *, heads: Iterable[str] = (), purged: int = 0) -> Verification:
        """Make all hashes again, of what the API tells of rows and seals, and compare.

        Without `heads` that were kept elsewhere this finds what does not fit together; with them, also an end that was
        cut off, and a chain that somebody has made anew. Rows of the seals up to `purged` may be gone.
        """
        chain = Chain(heads, purged=purged)
        newest = self.seals().first()
        last = newest.number if newest else 0
        rows = self.list(sort="-newest")
        # All that these seals have was there before: only what is read from now on can be later.
        page = rows.page()
        for one in page:
            chain.take_row(one)
        for seal in self.seals(sort="-newest"):
            if seal.number > last:
                break
            while page.cursor is not None and seal.rows and page[-1].id < seal.rows[-1].id:
                page = rows.page(cursor=page.cursor)
                for one in page:
                    chain.take_row(one)
            chain.take_seal(seal)
        while page.cursor is not None:
            page = rows.page(cursor=page.cursor)
            for one in page:
                chain.take_row(one)
        for seal in self.seals(after=last, sort="-newest"):
            chain.take_later_seal(seal)
        return chain.end()


def _query(
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    sort: str | None,
) -> Query:
    return {
        "actor": actor,
        "action": action,
        "subject": subject,
        "since": _text(since),
        "until": _text(until),
        "sort": sort,
    }


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
