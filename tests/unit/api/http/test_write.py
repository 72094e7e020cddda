"""The unit of work: one transaction, one answer, and the same answer to the same request."""

import asyncio
from uuid import UUID

import httpx
import pytest
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.http.fields import AnswerBody, Name, RequestBody
from api.http.operation_view import OperationView
from api.http.policy import Policy, needs
from api.http.write import Write
from models.database.sql import Row, row, rows
from models.domain.errors import RecordMissing, StateConflict
from models.domain.ids import new_id
from models.domain.values import OperationStatus, Subject
from models.ledger import operations
from models.ledger.operations import OperationError
from tests.unit.api.bench import Api, Bench, end


class NoteBody(RequestBody, frozen=True, kw_only=True):
    """What is sent."""

    name: Name


class NoteView(AnswerBody, frozen=True, kw_only=True):
    """What is answered."""

    id: str
    name: str


# A template row serves as the record: its name is what the test changes.
MAKE = """INSERT INTO template (id, creator, name, type, application_type, hardware, server_name)
          VALUES (:id, :creator, :name, 'user', 'jupyterlab', 'small', 'x')"""


class NotesController(Controller):
    """A sample resource."""

    @post("/notes", opt=needs(Policy.SIGNED_IN), status_code=200)
    async def create(self, data: JSONBody[NoteBody], write: NamedDependency[Write]) -> Response[NoteView]:
        """Make a note."""
        async with write:
            identity = new_id()
            await row(MAKE, id=identity, creator=write.caller.id, name=data.name)
            if data.name == "slow":
                await asyncio.sleep(0.5)
            if data.name == "very slow":
                await asyncio.sleep(3)
            if data.name == "conflict":
                raise StateConflict("no")
            if data.name == "defect":
                raise KeyError("no")
            write.done(NoteView(id=str(identity), name=data.name), version=1)
        return write.answer

    @patch("/notes/{id:str}", opt=needs(Policy.RECORD))
    async def change(
        self, id: FromPath[UUID], data: JSONBody[NoteBody], write: NamedDependency[Write]
    ) -> Response[NoteView]:
        """Rename a note."""
        async with write:
            found = await row("SELECT version FROM template WHERE id = :id FOR UPDATE", id=id)
            if found is None:
                raise RecordMissing.of("note", id)
            write.require_match(found["version"])
            await row("UPDATE template SET name = :name, version = version + 1 WHERE id = :id", name=data.name, id=id)
            write.done(NoteView(id=str(id), name=data.name), version=found["version"] + 1)
        return write.answer

    @delete("/notes/{id:str}", opt=needs(Policy.RECORD), status_code=204)
    async def remove(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[None]:
        """Delete a note."""
        async with write:
            if await row("DELETE FROM template WHERE id = :id RETURNING id", id=id) is None:
                raise RecordMissing.of("note", id)
            write.done()
        return write.answer

    @post("/work", opt=needs(Policy.SIGNED_IN), status_code=202)
    async def work(self, write: NamedDependency[Write]) -> Response[OperationView]:
        """Ask for work of which the answer is the operation."""
        async with write:
            operation = await open_for(write)
            write.accepts(operation, wakes=Subject("server", operation))
        return write.answer

    @post("/work/done", opt=needs(Policy.SIGNED_IN), status_code=202)
    async def work_done(self, write: NamedDependency[Write]) -> Response[OperationView]:
        """Ask for what is so already."""
        async with write:
            operation = await open_for(write, OperationStatus.SUCCEEDED)
            write.accepts(operation, wakes=Subject("server", operation))
        return write.answer

    @post("/work/body", opt=needs(Policy.SIGNED_IN), status_code=202)
    async def work_body(self, write: NamedDependency[Write]) -> Response[NoteView]:
        """Ask for work that ends in a record."""
        async with write:
            operation = await open_for(write)

            async def final() -> NoteView:
                return NoteView(id=str(operation), name="final")

            write.accepts(
                operation,
                wakes=Subject("server", operation),
                body=NoteView(id=str(operation), name="first"),
                final=final,
                wait=10,
            )
        return write.answer

    @delete("/work", opt=needs(Policy.SIGNED_IN), status_code=202)
    async def work_delete(self, write: NamedDependency[Write]) -> Response[OperationView]:
        """Ask for a deletion."""
        async with write:
            operation = await open_for(write)
            write.accepts(operation, wakes=Subject("server", operation), deletes=True)
        return write.answer

    @get("/notes", opt=needs(Policy.SIGNED_IN))
    async def index(self) -> list[NoteView]:
        """Nothing."""
        return []


async def open_for(write: Write, status: OperationStatus = OperationStatus.QUEUED) -> UUID:
    return await operations.open_operation(
        "server.start",
        Subject("server", new_id()),
        owner=write.caller.id,
        actor=write.caller,
        status=status,
    )


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.api([NotesController])


async def notes(name: str) -> int:
    return len(await rows("SELECT id FROM template WHERE name = :name", name=name))


def keyed(key: str, **more: str) -> dict[str, str]:
    return {"idempotency-key": key, **more}


async def test_a_repeated_request_gets_the_first_answer(api: Api) -> None:
    name, key = new_id().hex, new_id().hex
    first = await api.alice.post("/notes", json={"name": name}, headers=keyed(key))
    again = await api.alice.post("/notes", json={"name": name}, headers=keyed(key))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["etag"].startswith('"1-')
    assert again.headers["content-type"] == "application/json"
    assert await notes(name) == 1


async def test_without_a_key_each_request_is_a_write(api: Api) -> None:
    name = new_id().hex
    for _ in range(2):
        assert (await api.alice.post("/notes", json={"name": name})).status_code == 200
    assert await notes(name) == 2


async def test_a_key_used_for_another_request_is_refused(api: Api) -> None:
    key = new_id().hex
    assert (await api.alice.post("/notes", json={"name": "one"}, headers=keyed(key))).status_code == 200
    for body in (b'{"name": "two"}', b'{"name":  "one"}'):
        refused = await api.alice.post(
            "/notes", content=body, headers=keyed(key, **{"content-type": "application/json"})
        )
        assert refused.status_code == 422
        assert refused.json()["error"]["details"][0]["path"] == "Idempotency-Key"
    # The key is somebody else's, or for something else: another key.
    assert (await api.bob.post("/notes", json={"name": "two"}, headers=keyed(key))).status_code == 200
    assert (await api.alice.post("/work", headers=keyed(key))).status_code == 202


async def test_a_refused_write_leaves_nothing_and_may_be_repeated(api: Api) -> None:
    for name, status in (("conflict", 409), ("defect", 500)):
        before, key = await notes(name), new_id().hex
        for _ in range(2):
            assert (await api.alice.post("/notes", json={"name": name}, headers=keyed(key))).status_code == status
        assert await notes(name) == before
        assert await rows("SELECT id FROM idempotency WHERE key = :key", key=key) == []


async def test_two_at_once_are_one_write(api: Api) -> None:
    key, before = new_id().hex, await notes("slow")
    answers = await asyncio.gather(
        *(api.alice.post("/notes", json={"name": "slow"}, headers=keyed(key)) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await notes("slow") == before + 1


async def test_who_waits_too_long_for_the_same_key_is_told_so(api: Api) -> None:
    key = new_id().hex
    answers = await asyncio.gather(
        *(api.alice.post("/notes", json={"name": "very slow"}, headers=keyed(key)) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_repeated_delete_does_not_become_a_404(api: Api) -> None:
    made = (await api.alice.post("/notes", json={"name": "short"})).json()
    key = new_id().hex
    for _ in range(2):
        gone = await api.alice.delete(f"/notes/{made['id']}", headers=keyed(key))
        assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.alice.delete(f"/notes/{made['id']}")).status_code == 404


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\u00e4", "x\ty"])
async def test_bad_keys(api: Api, key: str) -> None:
    answer = await api.alice.post("/notes", json={"name": "n"}, headers={b"idempotency-key": key.encode()})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["path"] == "Idempotency-Key"


async def test_two_keys_are_none(api: Api) -> None:
    headers = [("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await api.alice.post("/notes", json={"name": "n"}, headers=headers)).status_code == 422


async def test_a_key_is_forgotten_after_its_time(api: Api) -> None:
    name, key = new_id().hex, new_id().hex
    await api.alice.post("/notes", json={"name": name}, headers=keyed(key))
    await row("UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE key = :key", key=key)
    assert (await api.alice.post("/notes", json={"name": name}, headers=keyed(key))).status_code == 200
    assert await notes(name) == 2


async def test_no_request_content_is_kept(api: Api) -> None:
    key = new_id().hex
    await api.alice.post("/work?", headers=keyed(key), content=b"")
    await api.alice.patch(f"/notes/{new_id()}", json={"name": "canary-7f3a"}, headers=keyed(key))
    kept = await rows("SELECT i::text AS text FROM idempotency i WHERE key = :key", key=key)
    assert kept
    assert "canary-7f3a" not in str(kept)


async def test_if_match(api: Api) -> None:
    made = (await api.alice.post("/notes", json={"name": "one"})).json()
    url = f"/notes/{made['id']}"
    for stale in ('"7"', 'W/"1"', "1", '"1', "garbage", ""):
        answer = await api.alice.patch(url, json={"name": "two"}, headers={"if-match": stale})
        assert (answer.status_code, answer.json()["error"]["statusCode"]) == (412, 412)
    second = await api.alice.patch(url, json={"name": "two"}, headers={"if-match": '"3", "1"'})
    assert second.headers["etag"].startswith('"2-')
    third = await api.alice.patch(url, json={"name": "three"}, headers={"if-match": second.headers["etag"]})
    assert third.status_code == 200, third.text
    assert (await api.alice.patch(url, json={"name": "two"}, headers={"if-match": "*"})).status_code == 200
    assert (await api.alice.patch(url, json={"name": "two"})).status_code == 200


async def test_the_order_of_refusals(bench: Bench, api: Api) -> None:
    missing = f"/notes/{new_id()}"
    large = b"x" * (bench.settings.max_body_bytes + 1)
    stale = {"if-match": '"9"'}
    assert (await api.nobody.patch("/notes/not-an-id", content=large)).status_code == 401
    assert (await api.alice.patch("/notes/not-an-id", content=large)).status_code == 413
    assert (await api.alice.patch("/notes/not-an-id", content=b"{")).status_code == 415
    assert (await api.alice.patch("/notes/not-an-id", json={})).status_code == 422
    assert (await api.alice.patch("/notes/not-an-id", json={"name": "n"})).status_code == 404
    assert (await api.alice.patch(missing, json={"name": 1}, headers=stale)).status_code == 422
    assert (await api.alice.patch(missing, json={"name": "n"}, headers=stale)).status_code == 404
    for spelling in (str(new_id()).upper(), f"{{{new_id()}}}", f"urn:uuid:{new_id()}", new_id().hex, "%00", "%ff", "1"):
        assert (await api.alice.patch(f"/notes/{spelling}", json={"name": "n"})).status_code == 404


async def test_work_is_accepted_and_woken(bench: Bench, api: Api) -> None:
    answer = await api.alice.post("/work")
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/operations/{body['_id']}"
    assert (body["kind"], body["status"], body["actor"]) == ("server.start", "queued", api.alice.email)
    assert bench.wakes.subjects == [Subject("server", UUID(body["_id"]))]
    assert await audited(answer) == {"request_id": answer.headers["x-request-id"], "client_request_id": None}


async def audited(answer: httpx.Response) -> Row:
    """What the audit says of the requests of an operation."""
    found = await row(
        "SELECT request_id, client_request_id FROM audit WHERE operation = :id", id=UUID(answer.json()["_id"])
    )
    assert found is not None
    return found


async def test_no_request_passes_for_another_by_what_its_client_calls_it(api: Api) -> None:
    asked = await api.alice.post("/work")
    theirs = {"x-request-id": asked.headers["x-request-id"]}
    forged = [await audited(await api.bob.post("/work", headers=theirs)) for _ in range(2)]
    assert len({one["request_id"] for one in (await audited(asked), *forged)}) == 3
    newline = await api.bob.post("/work", headers=[(b"x-request-id", b"asked-by\nalice")])
    assert (await audited(newline))["client_request_id"] is None


async def test_what_a_client_calls_its_request_is_found_again(api: Api) -> None:
    answer = await api.alice.post("/work", headers={"x-request-id": "from-a-proxy.1"})
    assert answer.headers["x-request-id"] == "from-a-proxy.1"
    assert (await audited(answer))["client_request_id"] == "from-a-proxy.1"


async def test_what_is_so_already_is_200_and_wakes_nobody(bench: Bench, api: Api) -> None:
    answer = await api.alice.post("/work/done")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert bench.wakes.subjects == []


async def ends(bench: Bench, how: OperationStatus, after: float = 0.3) -> None:
    """Let the work end some time after it was asked for."""
    await bench.wakes.woken.wait()
    await asyncio.sleep(after)
    broken = None if how is OperationStatus.SUCCEEDED else OperationError(code="X", message="broken", hint="mend it")
    await end(bench.wakes.subjects[-1].id, how, broken)


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "sign"),
    [
        ("POST", "/work", OperationStatus.SUCCEEDED, 200, '"status":"succeeded"'),
        ("POST", "/work", OperationStatus.FAILED, 200, '"message":"broken"'),
        ("POST", "/work/body", OperationStatus.SUCCEEDED, 200, '"name":"final"'),
        ("POST", "/work/body", OperationStatus.FAILED, 202, '"name":"first"'),
        ("DELETE", "/work", OperationStatus.SUCCEEDED, 204, ""),
        ("DELETE", "/work", OperationStatus.FAILED, 202, '"status":"failed"'),
    ],
)
async def test_waiting_for_the_end(
    bench: Bench, api: Api, method: str, path: str, how: OperationStatus, status: int, sign: str
) -> None:
    key = new_id().hex
    request = api.alice.request(method, path, headers=keyed(key, prefer="respond-async, wait=20"))
    answer, _ = await asyncio.gather(request, ends(bench, how))
    assert (answer.status_code, sign in answer.text) == (status, True), answer.text
    again = await api.alice.request(method, path, headers=keyed(key, prefer="wait=0"))
    assert (again.status_code, again.content) == (answer.status_code, answer.content)


async def test_waiting_ends_with_the_preferred_time(api: Api) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await api.alice.post("/work", headers={"prefer": "wait=1"})).status_code == 202
    assert 0.9 < loop.time() - started < 3
    for ignored in ("wait=-1", "wait=soon", "wait", "nonsense;;", "wait=0", "wait=1e3"):
        started = loop.time()
        assert (await api.alice.post("/work", headers={"prefer": ignored})).status_code == 202
        assert loop.time() - started < 0.9


async def test_nobody_waits_for_an_end_that_nobody_was_told_to_bring(bench: Bench, api: Api) -> None:
    bench.wakes.away = True
    async with asyncio.timeout(10):
        assert (await api.alice.post("/work", headers={"prefer": "wait=30"})).status_code == 202


async def test_a_request_that_is_cut_off_does_all_or_nothing(api: Api) -> None:
    before = await notes("slow")
    for delay in (0.02, 0.1, 0.3, 0.49, 0.52):
        task = asyncio.create_task(api.alice.post("/notes", json={"name": "slow"}, headers=keyed(new_id().hex)))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    made = await notes("slow") - before
    kept = await rows("SELECT id FROM idempotency i WHERE convert_from(body, 'UTF8') LIKE '%\"slow\"%'")
    assert made <= len(kept)
    # The connections are back in the pool and fit for use.
    answers = await asyncio.gather(*(api.alice.post("/notes", json={"name": "after"}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
