"""The ledger of events: what changed of what people may see, kept for a while for those who follow it.

An event is written by the statement that makes the change, so it is there exactly when the change is; PostgreSQL then
notifies those whom it may concern. It says to whom it may be told. Whether it is told is decided when it is read (see
`models.access.following`), because a right may be gone by then.
"""

from enum import StrEnum

CHANNEL = "nbhub_event"
"""Here PostgreSQL notifies of events (by trigger): with the id of a person, `OTHERS`, or the empty text for anybody."""
OTHERS = "-"
"""It concerns no person in particular: admins alone see it."""


class Change(StrEnum):
    """What became of a subject; the last two are what it means to those to whom the event is told."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    SHARED = "shared"
    TAKEN_BACK = "taken_back"


_NOBODY = "'{}'::uuid[]"


def written(
    change: Change,
    source: str,
    *,
    kind: str,
    subject: str = "id",
    persons: str = _NOBODY,
    groups: str = _NOBODY,
    orgs: str = "'{}'::text[]",
    everyone: str = "false",
    needs_right: bool = False,
    data: str = "'{}'::jsonb",
) -> str:
    """SQL: writes an event for each row of a source. Everything else is an expression on such a row.

    Of `data`, which is told as it is, each that is told the event may know all.
    """
    return f"""
        INSERT INTO event (kind, subject, change, persons, groups, orgs, everyone, needs_right, data, xact)
        SELECT {kind}, {subject}, '{change}', {persons}, {groups}, {orgs}, {everyone}, {str(needs_right).lower()},
               {data}, pg_current_xact_id()::text::bigint
          FROM {source}"""


MOST_NAMED = 50
"""Principals of an object by which those whom a change of it concerns are found; where there are more, all are asked
whether they have a right to it, so that no event is as long as a list of principals."""


def of_shared(source: str, *, all_named: bool) -> tuple[str, dict[str, str]]:
    """SQL: a source of objects with whom each concerns, and what that is for `written`.

    Their owner and those to whom something is granted: `all_named`, or only if they are few.
    """
    bound = "" if all_named else f"LIMIT {MOST_NAMED} + 1"
    granted = (
        f"ARRAY(SELECT DISTINCT g.{{0}} FROM access_grant g WHERE g.object = o.id AND g.{{0}} IS NOT NULL {bound})"
    )
    columns = {"persons": "person", "groups": "user_group", "orgs": "org"}
    named = ", ".join(f"{granted.format(column)} AS {name}" for name, column in columns.items())
    many = "false" if all_named else f"cardinality(persons) + cardinality(groups) + cardinality(orgs) > {MOST_NAMED}"
    concerned = {
        "persons": f"CASE WHEN {many} THEN {_NOBODY} ELSE owner || persons END",
        "groups": f"CASE WHEN {many} THEN {_NOBODY} ELSE groups END",
        "orgs": f"CASE WHEN {many} THEN '{{}}'::text[] ELSE orgs END",
        "everyone": many,
    }
    return f"(SELECT o.*, {named} FROM {source} o) concerned", concerned


def of_group(source: str, *, all_named: bool) -> tuple[str, dict[str, str]]:
    """SQL: the same of groups: their members, when they read it, or by name those of now."""
    if all_named:
        members = "ARRAY(SELECT m.person FROM group_member m WHERE m.user_group = concerned.id)"
        return f"{source} concerned", {"persons": members}
    return f"{source} concerned", {"groups": "ARRAY[id]"}


PRUNE = """
    DELETE FROM event WHERE id IN (
      WITH oldest AS (SELECT id, xact, at FROM event
                       WHERE xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                       ORDER BY xact, id LIMIT :limit)
      SELECT id FROM oldest WHERE (xact, id) < (SELECT xact, id FROM oldest WHERE at < now() - interval '1 hour'
                                                 ORDER BY xact DESC, id DESC LIMIT 1)
      UNION ALL
      (SELECT id FROM event WHERE xact >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint LIMIT :limit))
    RETURNING 1
"""
"""Removes the oldest events but the last of them: what later transactions than that of an event that is there wrote is
there. One of before any transaction that still runs is kept, so that whoever reads now goes on however long that runs.
What is of a later transaction than any is of the database from whose dump this one was restored."""
