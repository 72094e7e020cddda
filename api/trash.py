"""What is in the trash, of all kinds. It is restored where its kind is: `POST /datasets/{id}/restore` and so on."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from msgspec import Meta

from api.http.fields import AnswerBody
from api.http.openapi import shown
from api.http.pagination import LISTED, Page
from api.http.policy import Policy, needs
from models.domain.kinds import TRASHABLE
from models.records import lifecycles
from models.records.lifecycles import Trashed


class TrashedView(AnswerBody, frozen=True, kw_only=True):
    """Something in the trash."""

    kind: Annotated[str, Meta(description="What it is.", extra_json_schema={"enum": list(TRASHABLE)})]
    id: Annotated[UUID, Meta(description="Id of the record.")] = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="Its name, which may be another's by now.")]
    trashed_at: Annotated[datetime, Meta(description="When it was deleted.")]
    purged_at: Annotated[datetime, Meta(description="Until when it can be restored; soon after, it is gone for good.")]


_EXAMPLE = [
    TrashedView(
        kind="dataset",
        id=UUID("0199c2f4-5e2a-7cc1-8a6b-0f4e5d6c7b8a"),
        name="cells",
        trashed_at=datetime.fromisoformat("2026-11-20T09:30:00+00:00"),
        purged_at=datetime.fromisoformat("2026-11-27T09:30:00+00:00"),
    )
]


class TrashController(Controller):
    """What is in the trash."""

    path = "/trash"
    tags = ("Persons",)

    @get(
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE),
        operation_id="listTrash",
        summary="List what is in one's trash",
        dependencies=LISTED,
    )
    async def index(self, page: NamedDependency[Page]) -> Response[list[TrashedView]]:
        """What the caller owns and is in the trash, of all kinds, the latest first."""
        after = None if page.after is None else (datetime.fromisoformat(page.after[0]), UUID(page.after[1]))
        found = await lifecycles.list_trashed(page.caller.id, after=after, limit=page.limit + 1, count=page.count)
        kept = timedelta(days=page.settings.trash_days)
        return page.answer(
            found, key=lambda one: (one.trashed_at.isoformat(), str(one.id)), view=lambda one: _view(one, kept)
        )


def _view(record: Trashed, kept: timedelta) -> TrashedView:
    return TrashedView(
        kind=record.kind,
        id=record.id,
        name=record.name,
        trashed_at=record.trashed_at,
        purged_at=record.trashed_at + kept,
    )
