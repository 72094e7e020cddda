"""Templates: making, changing, finding and removing them."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.lists import LONGEST_SEARCHED, NEWEST_FIRST, Filter, Order, Sort, narrowed_page
from models.database.sql import given, one_value, page, records, row, rows, to_json, with_total
from models.database.tables import Template
from models.domain.errors import ActionForbidden, RecordMissing, StateConflict
from models.domain.ids import new_id
from models.domain.values import Caller, Subject
from models.records.servers import CHANGED, TemplateData, told

MOST_TAGS = 1000
"""Of an answer."""


class TemplateRecord(Struct, frozen=True, kw_only=True):
    """A template as stored, with its creator's e-mail."""

    id: UUID
    creator_id: UUID
    creator: str
    name: str
    description: str
    type: str
    application_type: str
    hardware: str
    public: bool
    featured_image: str | None
    file_path: str | None
    datasets: list[str]
    modules: list[str]
    secrets: list[str]
    tags: list[str]
    server_name: str
    created_at: datetime
    updated_at: datetime
    version: int

    def snapshot(self) -> TemplateData:
        """The template as a server keeps it."""
        same = set(TemplateData.__struct_fields__) & set(self.__struct_fields__) - {"id"}
        timestamp = self.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return TemplateData(id=str(self.id), timestamp=timestamp, **{name: getattr(self, name) for name in same})


class TagCount(Struct, frozen=True, kw_only=True):
    """A tag and how many of the templates that one sees have it."""

    name: str
    count: int


# JupyterHub's names of servers: at most 30 characters, of which the end of the id takes nine.
_LONGEST_SLUG = 21


def slug(name: str) -> str:
    """The part of a server's name in JupyterHub that tells people which template it is from."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    # The first character has to be a letter.
    words = words.lstrip("-0123456789")[:_LONGEST_SLUG].strip("-")
    return words or "server"


_SELECT = """
    SELECT t.id, t.creator AS creator_id, p.email AS creator, t.name, t.description, t.type, t.application_type,
           t.hardware, t.public, t.featured_image, t.file_path, t.datasets, t.modules, t.secrets, t.tags,
           t.server_name, t.created_at, t.updated_at, t.version
      FROM template t JOIN person p ON p.id = t.creator
"""

# Who sees a template: everybody a public one, its creator and admins any.
_VISIBLE = "(:admin::boolean OR t.public OR t.creator = :person)"

_FILTERS = {
    "type": one_value("t.type", "type"),
    "email": "t.creator IN (SELECT id FROM person WHERE email = :email)",
    "tag": "t.tags @> ARRAY[:tag::text]",
    "q": "strpos(lower(t.name), lower(:q)) > 0",
}
_BY_PARTS = f"parts(lower(t.name)) @> parts(left(lower(:q), {LONGEST_SEARCHED}))"


_OF_ALL, _PUBLIC, _OWN = "true", "t.public", "NOT t.public AND t.creator = :person"


def _seen(caller: Caller, email: str | None) -> tuple[list[str], dict[str, object]]:
    """Conditions, each of which follows an index and which together hold once what the caller sees; their values."""
    if caller.admin:
        return [_OF_ALL], {}
    return ["(t.public OR t.creator = :person)"] if email else [_PUBLIC, _OWN], {"person": caller.id}


async def read_visible(template_id: UUID, caller: Caller, *, for_update: bool = False) -> TemplateRecord:
    """A template that the caller sees; raises `RecordMissing`. `for_update` locks it in the caller's transaction."""
    found = await row(
        f"{_SELECT} WHERE t.id = :template AND {_VISIBLE} {'FOR UPDATE OF t' if for_update else ''}",
        template=template_id,
        admin=caller.admin,
        person=caller.id,
    )
    if found is None:
        raise RecordMissing.of("template", template_id)
    return msgspec.convert(found, TemplateRecord)


async def read_changeable(template_id: UUID, caller: Caller) -> TemplateRecord:
    """A template that the caller may change, locked; raises `RecordMissing` or `ActionForbidden`."""
    found = await read_visible(template_id, caller, for_update=True)
    if not (caller.admin or found.creator_id == caller.id):
        raise ActionForbidden(
            "Only its creator may change this template.",
            hint="Make a template of your own from it.",
            about=Subject("template", template_id),
        )
    return found


async def list_visible(
    caller: Caller,
    *,
    type: str | None = None,
    email: str | None = None,
    tag: str | None = None,
    q: str | None = None,
    order: Order = NEWEST_FIRST,
    limit: int,
    count: bool = False,
) -> list[TemplateRecord]:
    """Templates that the caller sees, at most `limit`, in an order; `q` is a part of the name, in any case.

    They are `Counted` if they are to be.
    """
    narrowed, filters = given(_FILTERS, type=type, email=email, tag=tag, q=q)
    seen, values = _seen(caller, email)

    def found(one: str) -> str:
        if order.sort is Sort.NEWEST and filters.keys() == {"type"}:
            return page(
                f"""SELECT t.id FROM template t WHERE {one} AND {order.beyond("t")} AND {narrowed}
                     ORDER BY t.type, {order.by("t")}"""
            )
        if one in (_OF_ALL, _PUBLIC) and email is None:
            indexed = [Filter(_FILTERS[name], _found(name, one)) for name in filters]
            return narrowed_page("template", "t", one, order, indexed)
        return page(
            f"SELECT t.id FROM template t WHERE {one} AND {order.beyond('t')} AND {narrowed} ORDER BY {order.by('t')}"
        )

    pages = " UNION ALL ".join(map(found, seen))
    listed = await rows(
        with_total(
            page(f"{_SELECT} JOIN ({pages}) listed ON listed.id = t.id ORDER BY {order.by('t')}"),
            f"SELECT count(*) FROM template t WHERE ({' OR '.join(seen)}) AND {narrowed}" if count else None,
        ),
        **filters,
        **values,
        **order.values,
        limit=limit,
    )
    return records(listed, TemplateRecord)


def _found(name: str, seen: str) -> str:
    """By what index those are found for which a filter holds."""
    return f"SELECT id FROM template t WHERE {seen} AND {_BY_PARTS if name == 'q' else _FILTERS[name]}"


async def list_tags(caller: Caller, *, type: str | None = None, email: str | None = None) -> list[TagCount]:
    """Tags of the templates that the caller sees, the most frequent first, then by name.

    Where there are more than one answer takes, each creator's most frequent are among them before anybody's next ones:
    nobody's many tags push those of others out.
    """
    narrowed, filters = given(_FILTERS, type=type, email=email)
    seen, values = _seen(caller, email)
    tags = " UNION ALL ".join(
        f"SELECT t.creator, unnest(t.tags) AS tag FROM template t WHERE {one} AND {narrowed}" for one in seen
    )
    found = await rows(
        f"""SELECT tag AS name, count FROM (
              SELECT tag, sum(uses)::bigint AS count FROM (
                SELECT creator, tag, count(*) AS uses,
                       row_number() OVER (PARTITION BY creator ORDER BY count(*) DESC, tag COLLATE "C") AS place
                  FROM ({tags}) used GROUP BY creator, tag) theirs
               GROUP BY tag ORDER BY min(place), count DESC, tag COLLATE "C" LIMIT :most) shown
             ORDER BY shown.count DESC, tag COLLATE "C" """,
        **filters,
        **values,
        most=MOST_TAGS,
    )
    return records(found, TagCount)


async def create(creator: UUID, values: dict[str, Any]) -> UUID:
    """Add a template; `values` are column values."""
    identity = new_id()
    await Template.insert(Template(id=identity, creator=creator, **values))
    return identity


async def update(template: TemplateRecord, values: dict[str, Any]) -> None:
    """Change columns of a locked template, and the snapshots of its creator's own servers with it."""
    if not values:
        return
    changes: dict[Any, Any] = {**values, "version": template.version + 1}
    await Template.update(changes).where(Template.id == template.id)
    found = await row(_SELECT + "WHERE t.id = :template", template=template.id)
    if found is None:
        raise RecordMissing.of("template", template.id)
    changed = msgspec.convert(found, TemplateRecord)
    await row(
        f"""
        WITH changed AS (
          UPDATE server s SET template_data = :snapshot::jsonb, version = version + 1
           WHERE template = :template AND owner = :owner RETURNING {CHANGED})
        {told("changed")}
        """,
        snapshot=to_json(changed.snapshot()),
        template=changed.id,
        owner=changed.creator_id,
    )


async def delete(template: TemplateRecord) -> None:
    """Remove a locked template; raises `StateConflict` while its creator's own servers use it."""
    used = await rows(
        "SELECT name FROM server WHERE template = :template AND owner = :owner LIMIT 5",
        template=template.id,
        owner=template.creator_id,
    )
    if used:
        names = ", ".join(one["name"] for one in used)
        raise StateConflict(
            f"Servers of the template's creator use it: {names}.", hint="Delete these servers first.", code="IN_USE"
        )
    await Template.delete().where(Template.id == template.id)
