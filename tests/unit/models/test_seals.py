"""What is in the audit is sealed once, in a chain, however and whenever it is committed; nothing takes it back."""

import asyncio
import hashlib
import itertools
import json
from uuid import UUID

import asyncpg
import pytest

from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import Caller, Subject
from models.ledger import audit, seals
from models.ledger.seals import Seal


@pytest.fixture(autouse=True)
async def sealed(database: None) -> None:
    """Whatever other tests wrote is sealed."""
    await seal_all()
    return


async def seal_all() -> list[Seal]:
    found = []
    while (made := await seals.seal()) is not None:
        found.append(made)
    return found


async def record(name: str = "alice") -> UUID:
    """Something that somebody did; the id of its subject."""
    subject = new_id()
    actor = Caller(id=new_id(), email=f"{name}@example.org", request_id="r-1")
    await audit.record("dataset.update", Subject("dataset", subject), actor, detail={"b": 1, "a": "\u00e9\u2028"})
    return subject


async def ids_of(*subjects: UUID) -> list[UUID]:
    found = await rows("SELECT id FROM audit WHERE subject = ANY(:subjects::uuid[]) ORDER BY id", subjects=subjects)
    return [one["id"] for one in found]


async def test_what_waits_is_sealed_once_and_the_seals_are_a_chain() -> None:
    subjects = [await record(), await record()]
    assert (await seals.waiting()).number == 2
    (first,) = await seal_all()
    later = await record()
    (second,) = await seal_all()
    assert (first.ids, second.ids) == (await ids_of(*subjects), await ids_of(later))
    assert (second.number, second.previous) == (first.number + 1, first.hash)
    assert await seal_all() == []
    assert (await seals.waiting()).oldest_seconds == 0


async def test_a_hash_can_be_made_again_of_what_anybody_can_read() -> None:
    subject = await record()
    (seal,) = await seal_all()
    found = await row("SELECT * FROM audit WHERE subject = :subject", subject=subject)
    assert found is not None
    at = f"{found['at']:%Y-%m-%dT%H:%M:%S.%f}Z"
    text = (
        f'["{found["id"]}","{at}","{found["actor"]}","alice@example.org","dataset.update","dataset","{subject}",'
        'null,"r-1",null,{"a":"\u00e9\u2028","b":1}]'
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert seal.digests.hex() == digest
    text = json.dumps(
        [seal.number, f"{seal.at:%Y-%m-%dT%H:%M:%S.%f}Z", seal.previous.hex(), [[str(found["id"]), digest]]]
    )
    assert seal.hash == hashlib.sha256(text.replace(" ", "").encode()).digest()
    assert seal.head == f"{seal.number}:{seal.hash.hex()}"


async def test_what_is_committed_late_is_in_a_later_seal() -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def late() -> UUID:
        async with Transaction():
            subject = await record("late")
            written.set()
            await go_on.wait()
        return subject

    task = asyncio.create_task(late())
    await written.wait()
    sooner = await record()
    (first,) = await seal_all()
    assert first.ids == await ids_of(sooner)
    go_on.set()
    late_one = await ids_of(await task)
    (second,) = await seal_all()
    assert second.ids == late_one
    assert late_one[0] < first.ids[0], "its number is lower, all the same"


async def test_what_is_taken_back_waits_for_nothing() -> None:
    async def written_and_taken_back() -> None:
        async with Transaction():
            await record()
            raise KeyError

    with pytest.raises(KeyError):
        await written_and_taken_back()
    assert await seal_all() == []


async def test_of_two_at_once_one_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "MOST_ROWS", 2)
    wanted = await ids_of(*[await record() for _ in range(12)])
    made = [one for some in await asyncio.gather(*(seal_all() for _ in range(4))) for one in some]
    made += await seal_all()
    made.sort(key=lambda one: one.number)
    assert [identity for one in made for identity in one.ids] == wanted
    assert [len(one.ids) for one in made] == [2] * 6
    assert all(later.previous == sooner.hash for sooner, later in itertools.pairwise(made))


async def test_what_is_removed_before_it_is_sealed_is_missed() -> None:
    (gone,) = await ids_of(await record())
    async with Transaction():
        await row("ALTER TABLE audit DISABLE TRIGGER audit_is_append_only")
        await row("DELETE FROM audit WHERE id = :id", id=gone)
        await row("ALTER TABLE audit ENABLE TRIGGER audit_is_append_only")
    (seal,) = await seal_all()
    assert (seal.ids, seal.digests) == ([gone], seals.MISSING)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor_name = 'bob@example.org'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit_seal SET hash = ''",
        "DELETE FROM audit_seal",
        "TRUNCATE audit_seal",
    ],
)
async def test_nothing_is_changed_removed_or_emptied(statement: str) -> None:
    await record()
    await seal_all()
    with pytest.raises(asyncpg.RaiseError, match="never changed or removed"):
        await row(statement)


async def test_seals_are_read_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    before = await row("SELECT coalesce(max(number), 0) AS number FROM audit_seal")
    assert before is not None
    made = []
    for number in (3, 1, 1):
        for _ in range(number):
            await record()
        made += await seal_all()
    monkeypatch.setattr(seals, "MOST_READ", 2)
    for newest, sizes in ((False, [[3], [1, 1]]), (True, [[1, 1], [3]])):
        read, beyond, more = [], None, True
        while more:
            found, more = await seals.list_seals(after=before["number"], beyond=beyond, newest=newest, limit=10)
            read.append([len(one.ids) for one in found])
            beyond = found[-1].number
        assert read == sizes
    assert await seals.list_seals(after=before["number"], limit=1) == (made[:1], True)
    assert await seals.list_seals(after=made[1].number, limit=1) == (made[2:], False)
    assert await seals.list_seals(after=made[2].number, limit=1) == ([], False)
