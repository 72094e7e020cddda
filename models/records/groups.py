"""Groups: people under one name. Their members, and what a change of them wishes of the outside."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from models.database.lists import LONGEST_SEARCHED, NEWEST_FIRST, Filter, Order, narrowed_page
from models.database.sql import exists, made_of, page, records, row, rows, with_total
from models.database.tables import UserGroup
from models.domain.errors import ActionForbidden, RecordMissing, StateConflict
from models.domain.ids import FIRST_ID, new_id
from models.domain.values import Caller, Subject
from models.ledger import events, operations
from models.ledger.events import Change
from models.records import lifecycles
from models.records.lifecycles import Presence

KIND = "group"


class GroupRecord(Struct, frozen=True, kw_only=True):
    """A group as stored, and what the caller is in it."""

    id: UUID
    name: str
    member: bool
    manager: bool
    shown: bool | None
    version: int
    updated_at: datetime


class Mirror(Struct, frozen=True, kw_only=True):
    """What JupyterHub's group of a group is to hold: the members who have a JupyterHub user."""

    id: UUID
    name: str
    users: list[str]


_SELECT = """
    SELECT u.id, u.name, m.id IS NOT NULL AS member, coalesce(m.manager, false) AS manager, m.shown,
           u.version, u.updated_at
      FROM user_group u LEFT JOIN group_member m ON m.user_group = u.id AND m.person = :person
"""


async def read(group_id: UUID, caller: Caller, *, lock: bool = False) -> GroupRecord:
    """A group, which everybody may know of; raises `RecordMissing`. `lock` holds it for the caller's transaction."""
    found = await row(
        f"{_SELECT} WHERE u.id = :id AND u.wish = 'present' {'FOR UPDATE OF u' if lock else ''}",
        person=caller.id,
        id=group_id,
    )
    if found is None:
        raise RecordMissing.of(KIND, group_id)
    return msgspec.convert(found, GroupRecord)


async def read_managed(group_id: UUID, caller: Caller) -> GroupRecord:
    """A group that the caller may change, locked; raises `RecordMissing` or `ActionForbidden`."""
    group = await read(group_id, caller, lock=True)
    if not (group.manager or caller.admin):
        raise ActionForbidden(
            "Only managers of the group may do this.", hint="Ask one of its managers.", about=Subject(KIND, group_id)
        )
    return group


_NAMED = Filter(
    "strpos(lower(u.name), lower(:q)) > 0",
    f"""SELECT id FROM user_group u
         WHERE u.wish = 'present' AND parts(lower(u.name)) @> parts(left(lower(:q), {LONGEST_SEARCHED}))""",
)


async def list_visible(
    caller: Caller, *, q: str | None = None, order: Order = NEWEST_FIRST, limit: int, count: bool = False
) -> list[GroupRecord]:
    """Groups, at most `limit`, in an order; `q` is a part of the name, in any case. `Counted` if they are to be."""
    found_by = narrowed_page("user_group", "u", "u.wish = 'present'", order, [] if q is None else [_NAMED])
    found = await rows(
        with_total(
            f"{_SELECT} JOIN {found_by} listed ON listed.id = u.id ORDER BY {order.by('u')}",
            f"SELECT count(*) FROM user_group u WHERE u.wish = 'present' AND {'true' if q is None else _NAMED.holds}"
            if count
            else None,
        ),
        person=caller.id,
        **({} if q is None else {"q": q}),
        **order.values,
        limit=limit,
    )
    return records(found, GroupRecord)


async def list_of_member(caller: Caller, *, order: Order = NEWEST_FIRST, limit: int) -> list[GroupRecord]:
    """Groups that the caller is in, at most `limit`, in an order."""
    found = await rows(
        page(
            f"{_SELECT} WHERE u.wish = 'present' AND m.id IS NOT NULL AND {order.beyond('u')} ORDER BY {order.by('u')}"
        ),
        person=caller.id,
        **order.values,
        limit=limit,
    )
    return records(found, GroupRecord)


_MEMBERS = """FROM group_member m JOIN person p ON p.id = m.person
            WHERE m.user_group = :group AND p.released_at IS NULL"""


async def list_members(group_id: UUID, *, after: str | None = None, limit: int, count: bool = False) -> list[str]:
    """E-mails of the members of a group in order, at most `limit`, after an e-mail; `Counted` if they are to be."""
    found = await rows(
        with_total(
            f"""SELECT p.email {_MEMBERS} AND p.email COLLATE "C" > :after
                 ORDER BY p.email COLLATE "C" LIMIT :limit""",
            f"SELECT count(*) {_MEMBERS}" if count else None,
        ),
        group=group_id,
        after=after or "",
        limit=limit,
    )
    return made_of(found, [one["email"] for one in found])


async def create(name: str, caller: Caller) -> tuple[UUID, UUID]:
    """Wish for a group of which the caller is manager and first member; its id and the operation."""
    identity = new_id()
    try:
        await UserGroup.insert(UserGroup(id=identity, creator=caller.id, name=name))
    except asyncpg.UniqueViolationError:
        raise _name_taken(name) from None
    await row(
        "INSERT INTO group_member (id, user_group, person, manager) VALUES (gen_random_uuid(), :group, :person, true)",
        group=identity,
        person=caller.id,
    )
    await lifecycles.tell(Subject(KIND, identity), Change.CREATED)
    operation = await operations.open_operation(
        "group.create",
        Subject(KIND, identity),
        owner=caller.id,
        actor=caller,
        wish=Presence.PRESENT,
        generation=1,
    )
    return identity, operation


async def rename(group: GroupRecord, name: str, caller: Caller) -> UUID:
    """Rename a locked group; the operation, because JupyterHub tells the name too. Raises `StateConflict`."""
    try:
        await row("UPDATE user_group SET name = :name WHERE id = :id", name=name, id=group.id)
    except asyncpg.UniqueViolationError:
        raise _name_taken(name) from None
    return await _changed(group, "update", caller, {"fields": ["name"]})


async def delete(group: GroupRecord, caller: Caller) -> UUID:
    """Wish a locked group gone; the operation. Whatever was granted to it holds nothing from now on."""
    await _give_up(group, caller)
    return await lifecycles.intend(Subject(KIND, group.id), Presence.PURGED, "delete", caller, owner=caller.id)


def _told(change: Change, source: str) -> str:
    """SQL: writes events of memberships that are `user_group` and `person` of a source."""
    return events.written(change, source, kind=f"'{KIND}'", subject="user_group", persons="ARRAY[person]")


async def add_member(group: GroupRecord, person_id: UUID, email: str, caller: Caller) -> UUID:
    """Add a person to a locked group; the operation. Adding a member again changes nothing and succeeds."""
    await row(
        f"""
        WITH added AS (
          INSERT INTO group_member (id, user_group, person, added_by)
          VALUES (gen_random_uuid(), :group, :person, :by) ON CONFLICT DO NOTHING RETURNING user_group, person)
        {_told(Change.SHARED, "added")}
        """,
        group=group.id,
        person=person_id,
        by=caller.id,
    )
    return await _changed(group, "add_member", caller, {"member": email})


async def remove_member(group: GroupRecord, email: str, caller: Caller) -> UUID:
    """Remove a person from a locked group; the operation. Removing somebody else changes nothing and succeeds.

    Raises `StateConflict` for its last manager.
    """
    await _keep_a_manager(group, email)
    if email == caller.email:
        await _give_up(group, caller)
    await row(
        f"""
        WITH removed AS (
          DELETE FROM group_member m USING person p
           WHERE m.user_group = :group AND m.person = p.id AND p.email = :email RETURNING m.user_group, m.person)
        {_told(Change.TAKEN_BACK, "removed")}
        """,
        group=group.id,
        email=email,
    )
    return await _changed(group, "remove_member", caller, {"member": email})


async def _give_up(group: GroupRecord, caller: Caller) -> None:
    """Servers that stop because their owner gives a group up were not stopped by who had put the owner into it."""
    await row(
        """UPDATE server_mount m SET given_by = NULL FROM server s
            WHERE m.object = :group AND s.id = m.server AND s.owner = :person""",
        group=group.id,
        person=caller.id,
    )


async def set_shown(group: GroupRecord, shown: bool, caller: Caller) -> UUID:
    """Have servers of the caller, a member of a locked group, show its directory from their next start on, or not; the
    operation. Raises `RecordMissing`."""
    found = await row(
        "UPDATE group_member SET shown = :shown WHERE user_group = :group AND person = :person RETURNING id",
        shown=shown,
        group=group.id,
        person=caller.id,
    )
    if found is None:
        raise RecordMissing("The group has no such member.")
    return await _changed(group, "update_member", caller, {"member": caller.email, "shown": shown})


async def set_manager(group: GroupRecord, email: str, manager: bool, caller: Caller) -> UUID:
    """Make a member of a locked group a manager or not; the operation. Raises `RecordMissing` or `StateConflict`."""
    if not manager:
        await _keep_a_manager(group, email)
    found = await row(
        """UPDATE group_member m SET manager = :manager FROM person p
            WHERE m.user_group = :group AND m.person = p.id AND p.email = :email AND p.released_at IS NULL
           RETURNING m.id""",
        manager=manager,
        group=group.id,
        email=email,
    )
    if found is None:
        raise RecordMissing("The group has no such member.")
    return await _changed(group, "update_member", caller, {"member": email, "manager": manager})


async def _keep_a_manager(group: GroupRecord, email: str) -> None:
    others = await row(
        """SELECT bool_or(p.email <> :email) AS others, bool_or(p.email = :email) AS one_of_them
             FROM group_member m JOIN person p ON p.id = m.person WHERE m.user_group = :group AND m.manager""",
        email=email,
        group=group.id,
    )
    if others is not None and others["one_of_them"] and not others["others"]:
        raise StateConflict(
            "This is the last manager of the group.", hint="Make another member a manager first.", code="LAST_MANAGER"
        )


async def _changed(group: GroupRecord, action: str, caller: Caller, detail: dict[str, Any]) -> UUID:
    return await lifecycles.intend(
        Subject(KIND, group.id),
        Presence.PRESENT,
        action,
        caller,
        owner=caller.id,
        detail=detail,
    )


_MIRRORS = """
    SELECT u.id, u.name, ARRAY(SELECT p.hub_user FROM group_member m JOIN person p ON p.id = m.person
                                WHERE m.user_group = u.id AND p.initialized_at IS NOT NULL AND p.released_at IS NULL
                                ORDER BY p.hub_user) AS users
      FROM user_group u
"""


async def mirror_of(group_id: UUID) -> Mirror | None:
    """What JupyterHub's group is to hold; None: there is to be none."""
    found = await row(_MIRRORS + "WHERE u.id = :group AND u.wish = 'present'", group=group_id)
    return None if found is None else msgspec.convert(found, Mirror)


MOST_MIRRORS = 5000
"""Groups that are read at once, beside all that JupyterHub says of its own."""


async def settled_mirrors(after: UUID | None, limit: int) -> list[Mirror]:
    """The mirrors of groups on which nobody works, in order of id."""
    found = await rows(
        page(
            f"""{_MIRRORS} WHERE u.wish = 'present' AND u.generation = u.observed_generation AND u.id > :after
                 ORDER BY u.id""",
            MOST_MIRRORS,
        ),
        after=after or FIRST_ID,
        limit=limit,
    )
    return records(found, Mirror)


async def note_drift(group_id: UUID) -> bool:
    """JupyterHub's group differs from a settled group: it is to be made true again."""
    return await exists(
        f"""
        WITH drifted AS (
          UPDATE user_group SET observed_generation = generation - 1, version = version + 1
           WHERE id = :group AND generation = observed_generation AND wish = 'present' RETURNING id, version),
        told AS ({lifecycles.told(KIND, "drifted", Change.CHANGED)})
        SELECT id FROM drifted
        """,
        group=group_id,
    )


def _name_taken(name: str) -> StateConflict:
    return StateConflict(f"There is a group named {name!r} already.", hint="Choose another name.", code="NAME_TAKEN")
