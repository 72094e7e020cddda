"""Every failure is answered in the envelope, and none tells more than it should."""

import asyncio
from typing import Any

import asyncpg
import pytest
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, InternalServerException
from litestar.params import FromQuery

from api.http.policy import Policy, needs
from api.http.write import Write
from models.database.sql import row
from models.domain import errors
from models.domain.errors import DomainError
from tests.unit.api.bench import Bench

SECRET = "postgresql://user:hunter2@host/db"

FAILURES: dict[str, tuple[Exception, int, str]] = {
    "malformed": (errors.RequestMalformed("m"), 400, "MALFORMED"),
    "identity": (errors.IdentityUnknown("m"), 401, "UNAUTHENTICATED"),
    "forbidden": (errors.ActionForbidden("m"), 403, "FORBIDDEN"),
    "missing": (errors.RecordMissing.of("server", "x"), 404, "ENTITY_NOT_FOUND"),
    "conflict": (errors.StateConflict("m", hint="h"), 409, "CONFLICT"),
    "changed": (errors.RecordChanged("m"), 412, "STALE"),
    "large": (errors.ContentTooLarge("m"), 413, "TOO_LARGE"),
    "media": (errors.MediaTypeUnsupported("m"), 415, "MEDIA_TYPE"),
    "invalid": (errors.RequestInvalid.of("/a", "c", "m", x=1), 422, "VALIDATION_FAILED"),
    "throttled": (errors.RequestThrottled("m", retry_after=2.5), 429, "THROTTLED"),
    "vault": (errors.VaultUnavailable("m", retry_after=0), 503, "VAULT_UNAVAILABLE"),
    "lost": (asyncpg.ConnectionDoesNotExistError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "starting": (asyncpg.CannotConnectNowError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "crowded": (asyncpg.TooManyConnectionsError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "full": (asyncpg.DiskFullError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "slow": (asyncpg.QueryCanceledError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "refused": (ConnectionRefusedError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "timeout": (TimeoutError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "interface": (asyncpg.InterfaceError(SECRET), 503, "DATABASE_UNAVAILABLE"),
    "locked": (asyncpg.LockNotAvailableError(SECRET), 409, "CONFLICT"),
    "deadlock": (asyncpg.DeadlockDetectedError(SECRET), 409, "CONFLICT"),
    "unique": (asyncpg.UniqueViolationError(SECRET), 409, "CONFLICT"),
    "data": (asyncpg.CharacterNotInRepertoireError(SECRET), 422, "VALIDATION_FAILED"),
    "syntax": (asyncpg.PostgresSyntaxError(SECRET), 500, "INTERNAL"),
    "framework": (InternalServerException(SECRET), 500, "INTERNAL"),
    "teapot": (HTTPException(SECRET, status_code=418), 400, "MALFORMED"),
    "defect": (ZeroDivisionError(SECRET), 500, "INTERNAL"),
    "grown": (RecursionError(SECRET), 500, "INTERNAL"),
    "domain": (DomainError("m"), 500, "INTERNAL"),
}


class FailuresController(Controller):
    """Fails as told, and loses its database when asked to."""

    @get("/fail", opt=needs(Policy.PUBLIC))
    async def fail(self, how: FromQuery[str]) -> None:
        """Fail."""
        raise FAILURES[how][0]

    @post("/cut", opt=needs(Policy.SIGNED_IN), status_code=200)
    async def cut(self, write: NamedDependency[Write]) -> Response[Any]:
        """Lose the connection within a write."""
        async with write:
            await row("SELECT pg_terminate_backend(pg_backend_pid())")
            write.done()
        return write.answer

    @post("/hold", opt=needs(Policy.SIGNED_IN), status_code=200)
    async def hold(self, write: NamedDependency[Write]) -> Response[Any]:
        """Hold a connection for a while."""
        async with write:
            await row("SELECT pg_sleep(0.3)")
            write.done({"ok": True})
        return write.answer

    @get("/ok", opt=needs(Policy.SIGNED_IN))
    async def ok(self) -> str:
        """Ask the database."""
        await row("SELECT 1")
        return "ok"


@pytest.mark.parametrize("how", FAILURES)
async def test_envelope(bench: Bench, how: str) -> None:
    _, status, code = FAILURES[how]
    answer = await bench.api([FailuresController]).alice.get("/fail", params={"how": how})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()["error"]
    assert (body["statusCode"], body["code"]) == (status, code)
    assert body["name"]
    assert body["message"]
    assert "hunter2" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    if how == "throttled":
        assert answer.headers["retry-after"] == "3"
    if how == "vault":
        assert answer.headers["retry-after"] == "1"
    if how == "invalid":
        assert body["details"] == [{"path": "/a", "code": "c", "message": "m", "info": {"x": 1}}]
    assert (body.get("hint") == "h") == (how == "conflict")


async def test_lost_connections_do_not_use_up_the_pool(bench: Bench) -> None:
    alice = bench.api([FailuresController]).alice
    for _ in range(bench.settings.database_pool_size + 2):
        assert (await alice.post("/cut")).status_code == 503
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(alice.get("/ok") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


async def test_more_requests_than_connections_wait_their_turn(bench: Bench) -> None:
    alice = bench.api([FailuresController]).alice
    answers = await asyncio.gather(*(alice.post("/hold") for _ in range(bench.settings.database_pool_size * 2)))
    assert {answer.status_code for answer in answers} == {200}
