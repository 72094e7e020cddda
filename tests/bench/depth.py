"""What a page of a list costs wherever it is, in tables of a thousand rows and of a million; the ratio of the two.

Each person has a thousand rows of each kind. `own` are lists of one of them, `all` those of everybody, for an admin;
`nobody` owns nothing.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from models.database.lists import Order
from models.domain.ids import LAST_ID
from models.domain.values import Caller
from models.ledger import operations
from models.records import datasets, groups, servers, templates
from tests.bench import sizes
from tests.bench.sizes import Read
from tests.bench.verdicts import told
from tests.fast_fill import fill
from tests.stacks import Stack

SIZES = (1_000, 1_000_000)
MOST_RATIO = 1.3
PAGE = 51
_EACH = 1_000
_FIRST = 5
"""The number of the first person who has something."""


def identity(number: int) -> UUID:
    """The id of the nth record of any kind: ids grow with it."""
    return UUID(int=number)


_ID = "lpad(to_hex(n), 32, '0')::uuid"
"""SQL: what `identity` is of n."""

OWNER = Caller(id=identity(_FIRST), email=f"p{_FIRST}@example.org")
NOBODY = Caller(id=identity(1), email="p1@example.org")
ADMIN = Caller(id=identity(0), email="p0@example.org", admin=True)

Page = Callable[[UUID], Awaitable[object]]
OWN: dict[str, Page] = {
    "server": lambda before: servers.list_visible(owner=OWNER.id, order=_after(before), limit=PAGE),
    "dataset": lambda before: datasets.list_visible(OWNER, order=_after(before), limit=PAGE),
    "template": lambda before: templates.list_visible(OWNER, order=_after(before), limit=PAGE),
    "operation": lambda before: operations.list_visible(OWNER, order=_after(before), limit=PAGE),
}
ALL: dict[str, Page] = {
    "server": lambda before: servers.list_visible(owner=None, order=_after(before), limit=PAGE),
    "template": lambda before: templates.list_visible(ADMIN, order=_after(before), limit=PAGE),
    "operation": lambda before: operations.list_visible(ADMIN, order=_after(before), limit=PAGE),
    "group": lambda before: groups.list_visible(ADMIN, order=_after(before), limit=PAGE),
}


async def _nothing(before: UUID) -> object:
    return await datasets.list_visible(NOBODY, order=_after(before), limit=PAGE)


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """The ratio of what a page costs among a million rows to what it costs among a thousand, for each list."""
    databases = {size: await _made(stack, size) for size in ((200, 400) if short else SIZES)}
    rounds, times = (1, 5) if short else (4, 150)
    found = await sizes.costs(databases, _reads(), rounds=rounds, times=times)
    return {
        name: told(f"{name}, {PAGE - 1} rows", last / first, MOST_RATIO, beside={"few_ms": first, "many_ms": last})
        for name, (first, last) in found.items()
    }


def _reads() -> dict[str, Callable[[int], Read]]:
    """Each list at its beginning, in its middle and at its end."""

    def at(page: Page, before: Callable[[int], UUID]) -> Callable[[int], Read]:
        return lambda size: lambda: page(before(size))

    reads = {
        "own dataset, nobody": at(
            lambda before: datasets.list_visible(NOBODY, order=_after(before), limit=PAGE), _first
        )
    }
    for whose, lists in (("own", OWN), ("all", ALL)):
        for kind, page in lists.items():
            reads[f"{whose} {kind}, first"] = at(page, _first)
            reads[f"{whose} {kind}, middle"] = at(page, _middle)
            reads[f"{whose} {kind}, last"] = at(page, partial(_last, whose == "own"))
    return reads


def _after(before: UUID) -> Order:
    """Newest first, those that are older than `before`."""
    return Order(after=(str(before),))


def _first(_: int) -> UUID:
    return LAST_ID


def _middle(size: int) -> UUID:
    return identity(size // 2)


def _last(own: bool, size: int) -> UUID:
    """Before a bit more than a page of all, or of each person's."""
    return identity(60 * (_persons(size) if own else 1))


def _persons(size: int) -> int:
    return max(1, size // _EACH)


async def _made(stack: Stack, size: int) -> str:
    """A database with so many rows of each kind."""
    address, persons = await sizes.new_database(stack), _persons(size)
    owner, numbers = f"lpad(to_hex({_FIRST} + n % {persons}), 32, '0')::uuid", f"generate_series(0, {size - 1}) n"
    snapshot = "jsonb_build_object('_id', 't', 'name', 'Template ' || n % 1000, 'applicationType', 'jupyterlab')"
    await fill(
        address,
        {
            "person": f"""
                INSERT INTO person (id, issuer, subject, email, hub_user)
                SELECT {_ID}, 'crowd', n::text, 'p' || n || '@example.org', 'p' || n
                  FROM generate_series(0, {_FIRST + persons - 1}) n""",
            "server": f"""
                INSERT INTO server (id, owner, name, template, template_data)
                SELECT {_ID}, {owner}, 'server-' || n, {_ID}, {snapshot} FROM {numbers}""",
            "dataset": f"""
                INSERT INTO dataset (id, owner, name, observed)
                SELECT {_ID}, {owner}, 'd' || n, 'present' FROM {numbers}""",
            "template": f"""
                INSERT INTO template (id, creator, name, type, application_type, hardware, server_name)
                SELECT {_ID}, {owner}, 'Template ' || n, 'user', 'jupyterlab', 'small', 'template'
                  FROM {numbers}""",
            "operation": f"""
                INSERT INTO operation (id, kind, subject, subject_kind, subject_owner, actor, status, ended_at)
                SELECT {_ID}, 'server.start', {_ID}, 'server', {owner}, {owner},
                       'succeeded', now() FROM {numbers}""",
            "operation_step": f"""
                INSERT INTO operation_step (id, operation, position, name, status, ended_at)
                SELECT gen_random_uuid(), {_ID}, 1, 'Start', 'succeeded', now() FROM {numbers}""",
            "user_group": f"""
                INSERT INTO user_group (id, name, observed, observed_generation)
                SELECT {_ID}, 'g' || n, 'present', 1 FROM {numbers}""",
        },
    )
    return address
