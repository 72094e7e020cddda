"""What pages are told of servers, on the whole stack: since when each runs, when it was used, and why it stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.people import Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack

NAME = "voila.py"

CANARY = "c4nary-of-a-log-0123456789"
CRASHES = f"""\
import sys
print("about to fail")
print("password={CANARY}", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
async def crashing(bob: Member, stack: Stack) -> AsyncIterator[Json]:
    """A server whose program ends at once, with the exit code 3, because of settings in its owner's home."""
    await bob.call("PUT", "/initialize", expect=(200, 202), headers={"Prefer": "wait=30"})
    made = {"root": "notebooks", "name": ".jupyter", "type": "directory"}
    await bob.call("POST", "/volume/file", json=made, expect=(200, 201, 409))
    file = {"root": "notebooks", "path": ".jupyter", "name": NAME, "type": "file", "content": CRASHES}
    await bob.call("POST", "/volume/file", json=file, expect=(200, 201))
    file = {"root": "notebooks", "name": "crash.ipynb", "type": "file", "content": "{}"}
    await bob.call("POST", "/volume/file", json=file, expect=(200, 201))
    server = await bob.make_server(name="A crash", applicationType="voila", filePath="crash.ipynb")
    yield server
    await bob.succeeded(await bob.delete(server))
    for home in (stack.data_root / "notebooks").iterdir():
        (home / ".jupyter" / NAME).unlink(missing_ok=True)


async def test_a_program_that_fails_at_once_is_told_with_its_exit_code_and_last_words(
    bob: Member, crashing: Json
) -> None:
    assert (await bob.ended(await bob.wish(crashing, "start")))["status"] == "failed"
    seen = await bob.see(crashing)
    reason = seen["stopped_reason"]
    assert (reason["by"], reason["reason"], reason["exit_code"]) == ("system", "crash", 3)
    assert "exit code 3" in reason["message"]
    assert "about to fail" in reason["log_tail"]
    assert CANARY not in str(seen), "what looks like a password"
    assert "started_at" not in seen


async def test_a_running_server_says_since_when_and_a_killed_one_how_it_ended(alice: Member) -> None:
    before = datetime.now(UTC)
    server = await alice.started()
    assert before < datetime.fromisoformat(server["started_at"]) < datetime.now(UTC)
    assert "stopped_reason" not in server
    # As JupyterHub has it by the next look of the reconciler, without anybody's asking.
    used = await until(
        lambda: alice.see(server), lambda seen: "last_activity" in seen, within=40, what="when it was last used"
    )
    assert abs(datetime.fromisoformat(used["last_activity"]) - before) < timedelta(minutes=2)
    (process,) = processes_of(server)
    process.kill()
    reason = (await alice.becomes(server, "stopped", within=30))["stopped_reason"]
    assert (reason["by"], reason["reason"], reason["exit_code"]) == ("system", "crash", 137)
    assert "exit code 137" in reason["message"]
    # It is no answer to the next start.
    await alice.succeeded(await alice.wish(server, "start"))
    assert "stopped_reason" not in await alice.see(server)
    await alice.succeeded(await alice.wish(server, "stop"))
    reason = (await alice.see(server))["stopped_reason"]
    assert (reason["by"], reason["reason"], reason["who"]) == ("person", "person", alice.email)
    await alice.succeeded(await alice.delete(server))
