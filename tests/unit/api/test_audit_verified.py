"""`nbhub admin audit verify` finds whatever somebody with all rights in the database did to the audit."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

import nbhub.cli.options
from api.http import logging as api_logging
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import Caller, Subject
from models.ledger import audit, seals
from nbhub import AsyncHub, Hub
from nbhub.cli.exits import Exit
from nbhub.cli.program import main
from nbhub.seals import canonical, digest_of
from tests.unit.api.bench import Api, Bench, bench_settings, open_bench

Said = tuple[int, str, str]
PER_SEAL, SEALS = 3, 5


@pytest.fixture(scope="module")
async def bench(new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Bench]:
    """On a database of its own: nobody else's tests are to find what these do to it."""
    async with open_bench(bench_settings(await new_database())) as bench:
        await bench.join("admin", admin=True)
        await bench.join("alice")
        yield bench


@pytest.fixture(scope="module")
def api(bench: Bench) -> Api:
    return bench.api()


async def by_superuser(*statements: str, **values: Any) -> None:
    """Do something to the tables that no trigger hinders or notices."""
    async with Transaction():
        await row("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await rows(statement, **{name: value for name, value in values.items() if f":{name}" in statement})


async def record(number: int) -> None:
    actor = Caller(id=new_id(), email="alice@example.org", request_id=f"r-{number}", client_request_id="client-1")
    await audit.record(
        "dataset.update", Subject("dataset", new_id()), actor, detail={"number": number, "é": [1.5, None]}
    )


@pytest.fixture(autouse=True)
async def ids(bench: Bench) -> list[UUID]:
    """The audit has these rows, by age, and nothing else: some of each seal."""
    await by_superuser("TRUNCATE audit, audit_seal, audit_unsealed")
    for number in range(PER_SEAL * SEALS):
        await record(number)
        if number % PER_SEAL == PER_SEAL - 1:
            assert await seals.seal()
    return [one["id"] for one in await rows("SELECT id FROM audit ORDER BY id")]


class Console:
    """What an admin types and reads, where the API is the one of this process."""

    def __init__(self, api: Api, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self._api, self._capsys, self.heads = api, capsys, directory / "heads"
        self.who, self.most = "admin", 4

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.path.startswith("/audit") and "limit" not in url.params:
            # So that pages end everywhere.
            url = url.copy_merge_params({"limit": str(self.most)})
        headers = {"accept": request.headers["accept"]}
        found = await self._api.person(self.who).get(url.raw_path.decode(), headers=headers)
        return httpx2.Response(found.status_code, headers=dict(found.headers), content=found.content)

    async def typed(self, *words: str) -> Said:
        """How a command ended, and what it said."""
        code = await asyncio.to_thread(main, ["admin", "audit", *words])
        return code, *self._capsys.readouterr()

    async def verified(self, *words: str) -> Said:
        return await self.typed("verify", *words)

    async def keep_head(self) -> str:
        """Keep the head as it is now; it."""
        code, head, _ = await self.typed("head")
        assert code == Exit.DONE
        with self.heads.open("a") as file:
            file.write(head)
        return head.strip()


@pytest.fixture
async def console(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Console:
    console, loop = Console(api, capsys, tmp_path), asyncio.get_running_loop()

    def answer(request: httpx2.Request) -> httpx2.Response:
        return asyncio.run_coroutine_threadsafe(console.answer(request), loop).result()

    def made(**more: Any) -> Hub:
        return Hub("http://api.test", "token", transport=httpx2.MockTransport(answer), max_retries=0)

    monkeypatch.setenv("NBHUB_TOKEN", "token")
    monkeypatch.setattr(nbhub.cli.options, "Hub", made)
    # The log of this process is on stdout, too.
    monkeypatch.setattr(api_logging, "tell", lambda *_, **__: None)
    return console


async def test_what_nobody_has_touched_is_as_it_was(console: Console) -> None:
    head = await console.keep_head()
    await record(100)
    code, out, err = await console.verified("--head", str(console.heads))
    assert (code, out.strip()) == (Exit.DONE, head), err
    assert err == "nbhub: 15 rows of 5 seals are as they were; 1 wait\n"
    assert await seals.seal()
    await console.keep_head()
    code, out, err = await console.verified("--head", str(console.heads), "--json")
    found = json.loads(out)
    assert (code, found["seals"], found["rows"], found["waiting"], found["problems"]) == (Exit.DONE, 6, 16, 0, [])


async def test_an_audit_of_nothing_is_as_it_was(console: Console) -> None:
    await by_superuser("TRUNCATE audit, audit_seal, audit_unsealed")
    assert await console.verified() == (
        Exit.DONE,
        "",
        "nbhub: 0 rows of 0 seals are as they were; 0 wait\nnothing here\n",
    )
    assert (await console.typed("head"))[:2] == (Exit.DONE, "")


async def test_rows_that_were_committed_late_are_no_manipulation(console: Console) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with Transaction():
            await record(200)
            written.set()
            await go_on.wait()

    task = asyncio.create_task(late())
    await written.wait()
    for number in range(10):
        await record(number)
    assert await seals.seal()
    go_on.set()
    await task
    assert await seals.seal()
    assert (await console.verified())[0] == Exit.DONE


@pytest.mark.parametrize(
    "change",
    [
        "actor_name = 'bob@example.org'",
        "actor = gen_random_uuid()",
        "at = at - interval '1 microsecond'",
        "action = 'dataset.read'",
        "subject = gen_random_uuid()",
        "subject_kind = 'module'",
        "operation = gen_random_uuid()",
        "request_id = NULL",
        "client_request_id = 'client-2'",
        "detail = detail || '{\"number\": 999}'",
        "detail = NULL",
    ],
)
async def test_a_changed_row_is_found_whatever_was_changed(console: Console, ids: list[UUID], change: str) -> None:
    await by_superuser(f"UPDATE audit SET {change} WHERE id = :id", id=ids[7])  # noqa: S608 - one of those above
    code, out, err = await console.verified()
    assert (code, out) == (Exit.FAILED, "")
    assert err == f"nbhub: row {ids[7]} is not what seal 3 has of it\n"


@pytest.mark.parametrize("index", [0, 7, 14])
async def test_a_removed_row_is_found(console: Console, ids: list[UUID], index: int) -> None:
    await by_superuser("DELETE FROM audit WHERE id = :id", id=ids[index])
    code, _, err = await console.verified()
    assert (code, err) == (Exit.FAILED, f"nbhub: row {ids[index]}, which seal {index // 3 + 1} has, is gone\n")


async def test_a_row_that_was_removed_before_its_seal_is_found(console: Console) -> None:
    await record(100)
    newest = await row("SELECT max(id::text)::uuid AS id FROM audit")
    assert newest is not None
    await by_superuser("DELETE FROM audit WHERE id = :id", **newest)
    assert await seals.seal()
    code, _, err = await console.verified()
    assert (code, err) == (Exit.FAILED, f"nbhub: row {newest['id']} was removed before it was sealed\n")


async def test_rows_that_have_changed_places_are_found(console: Console, ids: list[UUID]) -> None:
    await by_superuser(
        "UPDATE audit SET id = '00000000-0000-0000-0000-000000000000' WHERE id = :one",
        "UPDATE audit SET id = :one WHERE id = :other",
        "UPDATE audit SET id = :other WHERE id = '00000000-0000-0000-0000-000000000000'",
        one=ids[4],
        other=ids[10],
    )
    code, _, err = await console.verified()
    assert code == Exit.FAILED
    assert err.splitlines() == [
        f"nbhub: row {ids[4]} is not what seal 2 has of it",
        f"nbhub: row {ids[10]} is not what seal 4 has of it",
    ]


async def test_rows_that_have_changed_places_in_their_seals_are_found(console: Console) -> None:
    await by_superuser(
        "UPDATE audit_seal SET ids = ids[2:2] || ids[1:1] || ids[3:], digests = "
        "substr(digests, 33, 32) || substr(digests, 1, 32) || substr(digests, 65) WHERE number = 2"
    )
    code, _, err = await console.verified()
    assert (code, err) == (Exit.FAILED, "nbhub: seal 2 is not what its hash says\n")


async def test_seals_that_have_changed_places_are_found(console: Console) -> None:
    await by_superuser(
        "UPDATE audit_seal SET number = 0 WHERE number = 2",
        "UPDATE audit_seal SET number = 2 WHERE number = 3",
        "UPDATE audit_seal SET number = 3 WHERE number = 0",
    )
    code, _, err = await console.verified()
    assert code == Exit.FAILED
    assert "nbhub: seal 2 does not follow on the one before" in err
    assert "nbhub: seal 3 is not what its hash says" in err


async def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept(console: Console, ids: list[UUID]) -> None:
    await console.keep_head()
    # Of the rows alone it is found in any case.
    await by_superuser("DELETE FROM audit WHERE id >= :id", id=ids[9])
    code, _, err = await console.verified()
    assert (code, len(err.splitlines())) == (Exit.FAILED, 6)
    await by_superuser("DELETE FROM audit_seal WHERE number >= 4")
    assert (await console.verified())[0] == Exit.DONE, "what is left fits together"
    code, _, err = await console.verified("--head", str(console.heads))
    assert code == Exit.FAILED
    assert err == "nbhub: the chain ends at seal 3: seal 5, whose head was kept, is cut off\n"
    for number in range(3):
        await record(number)
        assert await seals.seal()
    code, _, err = await console.verified("--head", str(console.heads))
    assert (code, err) == (Exit.FAILED, "nbhub: seal 5 is not the one whose head was kept\n")


async def test_a_beginning_that_was_cut_off_is_found(console: Console, ids: list[UUID]) -> None:
    await by_superuser("DELETE FROM audit WHERE id < :id", "DELETE FROM audit_seal WHERE number <= 2", id=ids[6])
    code, _, err = await console.verified()
    assert (code, err) == (Exit.FAILED, "nbhub: seals 1 to 2 are missing\n")


async def test_a_seal_that_was_removed_is_found(console: Console) -> None:
    await by_superuser("DELETE FROM audit_seal WHERE number = 3")
    code, _, err = await console.verified()
    assert (code, err.splitlines()[0], len(err.splitlines())) == (Exit.FAILED, "nbhub: seal 3 is missing", 4)


async def test_rows_that_were_removed_as_they_should_be_may_be_gone(console: Console, ids: list[UUID]) -> None:
    await by_superuser("DELETE FROM audit WHERE id < :id", id=ids[6])
    assert (await console.verified("--purged", "1"))[0] == Exit.FAILED
    code, _, err = await console.verified("--purged", "2")
    assert (code, err) == (Exit.DONE, "nbhub: 9 rows of 5 seals are as they were; 0 wait\n")


async def test_a_row_that_was_added_past_the_seals_is_found(console: Console) -> None:
    forged = new_id()
    await by_superuser(
        """INSERT INTO audit (id, at, actor_name, action, subject_kind, subject)
           VALUES (:id, now(), 'bob@example.org', 'dataset.delete', 'dataset', gen_random_uuid())""",
        id=forged,
    )
    code, _, err = await console.verified()
    assert (code, err) == (Exit.FAILED, f"nbhub: row {forged} is in no seal, and waits for none\n")


async def test_a_chain_that_was_made_anew_fits_together_and_is_not_the_one_whose_head_was_kept(
    console: Console, ids: list[UUID]
) -> None:
    await console.keep_head()
    await by_superuser("UPDATE audit SET actor_name = 'bob@example.org' WHERE id = :id", id=ids[7])
    async with AsyncHub("http://api.test", "token", transport=httpx2.MockTransport(console.answer)) as hub:
        entries = {one.id: digest_of(one) async for one in hub.audit.list()}
        previous = "0" * 64
        for seal in reversed(await hub.audit.seals().all()):
            pairs = [[one.id, entries[one.id]] for one in seal.rows]
            made = hashlib.sha256(canonical(seal.number, seal.at, previous, pairs)).hexdigest()
            await by_superuser(
                "UPDATE audit_seal SET previous = :previous, digests = :digests, hash = :hash WHERE number = :number",
                previous=bytes.fromhex(previous),
                digests=bytes.fromhex("".join(digest for _, digest in pairs)),
                hash=bytes.fromhex(made),
                number=seal.number,
            )
            previous = made
        assert (await hub.audit.verify()).found == 0
        found = await hub.audit.verify(heads=console.heads.read_text().split())
    assert [(one.kind, one.seal) for one in found.problems] == [("head", 5)]
    code, _, err = await console.verified("--head", str(console.heads))
    assert (code, err) == (Exit.FAILED, "nbhub: seal 5 is not the one whose head was kept\n")


async def test_the_audit_is_exported_page_by_page_as_one_file(console: Console, ids: list[UUID]) -> None:
    code, out, _ = await console.typed("export", "--form", "jsonl", "--oldest")
    assert (code, [json.loads(one)["_id"] for one in out.splitlines()]) == (Exit.DONE, [str(one) for one in ids])
    code, out, _ = await console.typed("export", "--actor", "alice@example.org", "--since", "2026-01-01")
    assert (code, [one.partition(",")[0] for one in out.splitlines()]) == (Exit.DONE, ["_id", *map(str, ids[::-1])])
    code, out, _ = await console.typed("list", "--limit", "2", "--json")
    assert [one["_id"] for one in json.loads(out)] == [str(one) for one in ids[:-3:-1]]


@pytest.mark.parametrize("words", [["list"], ["export"], ["head"], ["verify"]])
async def test_who_is_no_admin_is_told_so(console: Console, words: list[str]) -> None:
    console.who = "alice"
    code, out, err = await console.typed(*words)
    assert (code, out, err) == (Exit.FORBIDDEN, "", "nbhub: Only an admin may do this.\n")


@pytest.mark.parametrize("text", ["", "12", "5:xyz", "-1:" + "0" * 64])
async def test_what_is_no_head_is_refused(console: Console, text: str) -> None:
    console.heads.write_text(text)
    code, _, err = await console.verified("--head", str(console.heads))
    assert (code, "has no head" in err) == (Exit.USAGE, True)
