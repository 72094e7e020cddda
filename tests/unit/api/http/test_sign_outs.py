"""A write whose body takes its time is no write of somebody who has been signed out meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from models.database.sql import row
from models.records.sessions import digest
from tests.unit.api.bench import Api, answered, unique
from tests.unit.api.http.signed_in import signed_in

ENDS = {
    "signed out": "UPDATE session SET id_token_hash = NULL WHERE token_hash = :token",
    "released": """UPDATE person p SET released_at = now() FROM session s
                    WHERE s.token_hash = :token AND p.id = s.person""",
    "an admin no more": "UPDATE session SET admin = false WHERE token_hash = :token",
}
# A token may expire while a large file comes.
GOES_ON = {
    "nothing": "SELECT :token::bytea",
    "expired": "UPDATE session SET expires_at = now() - interval '1 s' WHERE token_hash = :token",
}


async def dripping(body: bytes, then: Callable[[], Awaitable[object]]) -> AsyncIterator[bytes]:
    """A body; something happens before its last half."""
    yield body[:9]
    await then()
    yield body[9:]


@pytest.mark.parametrize("what", [*ENDS, *GOES_ON])
@pytest.mark.parametrize("key", [False, True], ids=["", "with a key"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/groups", '{"name": "%s"}'),
        # What looks for an earlier answer before its transaction.
        ("/secrets", '{"secretName": "%s", "type": "raw"}'),
    ],
)
async def test_who_is_signed_out_while_the_body_comes_writes_nothing(
    api: Api, path: str, body: str, key: bool, what: str
) -> None:
    await api.bench.join("leaver", admin=True)
    leaver, token = await signed_in(api, "leaver")
    name = unique("late")
    headers = {"content-type": "application/json"} | ({"idempotency-key": name} if key else {})
    change = (ENDS | GOES_ON)[what]
    answer = await leaver.post(
        path, content=dripping((body % name).encode(), lambda: row(change, token=digest(token))), headers=headers
    )
    if what in ENDS:
        assert answered(answer, 401)["error"]["code"] == "UNAUTHENTICATED"
    else:
        assert answer.is_success, answer.text
    audited = await row("SELECT count(*) AS n FROM audit WHERE actor = :id", id=api.bench.callers["leaver"].id)
    assert audited is not None
    assert (audited["n"] > 0) == (what in GOES_ON)
