"""How many of something a person has, and may have.

Something counts from when it is asked for until nothing is left of it: what is being deleted counts, and so does what
is in the trash, because it takes room and can be restored. It counts to whom made it or owns it, never to whom others
gave it, so that nobody can use up another's quota.
"""

from functools import lru_cache
from uuid import UUID

from msgspec import Struct

from models.database.sql import row
from models.domain.environment import SettingsInvalid
from models.domain.errors import ProblemDetail, QuotaReached, RequestThrottled
from models.domain.kinds import KINDS


class Quota(Struct, frozen=True):
    """What counts to one, in SQL: the rows of a table; and how many there may be, unless a setting says otherwise."""

    counted: str
    most: int
    passes: bool = False
    """It becomes less by waiting."""


QUOTAS = {
    kind.plural: Quota(f"{kind.table} WHERE {kind.owned_by} = :person", kind.most)
    for kind in KINDS.values()
    if kind.owned_by
} | {
    "running_servers": Quota("server WHERE owner = :person AND (wish = 'running' OR observed <> 'stopped')", 50),
    "templates": Quota("template WHERE creator = :person", 1000),
    "public_templates": Quota("template WHERE creator = :person AND public", 500),
    "featured_templates": Quota("template WHERE creator = :person AND type = 'featured'", 100),
    "uploads": Quota("write_claim WHERE person = :person AND kind = 'upload'", 100),
    "memberships": Quota("group_member WHERE added_by = :person", 10_000),
    "invitations": Quota("person WHERE invited_by = :person AND issuer = '' AND released_at IS NULL", 20_000),
    "operations_in_flight": Quota("operation WHERE actor = :person AND status IN ('queued', 'running')", 1000, True),
}
EVENT_STREAMS = "event_streams"
"""Open in one process of the API, which counts them itself."""
_DEFAULTS = {name: quota.most for name, quota in QUOTAS.items()} | {EVENT_STREAMS: 100}
USED = "SELECT " + ", ".join(f"(SELECT count(*) FROM {quota.counted}) AS {name}" for name, quota in QUOTAS.items())
"""A statement: how many of each `:person` has, in one row."""


@lru_cache
def limits_of(given: tuple[str, ...]) -> dict[str, int]:
    """All limits by name, with those that a setting gives, 0 for none; raises `SettingsInvalid` for an unknown name."""
    named = dict(one.split("=") for one in given)
    unknown = ", ".join(sorted(named.keys() - _DEFAULTS))
    if unknown:
        raise SettingsInvalid(f"NBHUB_QUOTAS: there is no {unknown}; there are {', '.join(_DEFAULTS)}")
    return _DEFAULTS | {name: int(most or 0) for name, most in named.items()}


async def used_by(person: UUID) -> dict[str, int]:
    """How many of each a person has, in one statement."""
    found = await row(USED, person=person)
    return found or {}


async def require(person: UUID, before: dict[str, int], limits: dict[str, int]) -> None:
    """Refuse what raises something above its limit, at the end of a transaction in which there was so much `before`.

    Of two such transactions of one person the second waits here for the first, and then counts what that has made.
    Raises `QuotaReached`, or `RequestThrottled` for what passes.
    """
    await row("SELECT pg_advisory_xact_lock(hashtextextended(:person::text, 0))", person=str(person))
    for name, used in (await used_by(person)).items():
        if used > before[name] and used > limits[name] > 0:
            raise exceeded(name, limits[name], used=before[name], wanted=used)


def exceeded(name: str, limit: int, *, used: int, wanted: int) -> QuotaReached | RequestThrottled:
    """The refusal of more than a limit."""
    text = f"This would make it {wanted} {name.replace('_', ' ')} of yours; one person may have {limit}."
    error: QuotaReached | RequestThrottled
    if name == EVENT_STREAMS or QUOTAS[name].passes:
        error = RequestThrottled(text, retry_after=5, hint="Wait until some of them have ended.")
    else:
        error = QuotaReached(
            text, hint="Delete what you no longer need (what is in the trash counts), or ask an administrator for more."
        )
    info: dict[str, object] = {"quota": name, "limit": limit, "used": used}
    error.details = [ProblemDetail(path="", code="quota", message=text, info=info)]
    return error
