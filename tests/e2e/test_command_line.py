"""The commands of the README, as a newcomer types them, and what a killed stack leaves behind."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.process import ProcessIdentity
from stack.supervisor import Stack, read_state
from tests.e2e.people import Member
from tests.e2e.processes import processes_of

PROGRAM = Path(sys.executable).with_name("nbhub")


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


async def nbhub(*words: str | Path) -> Ran:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
async def detached(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A stack of its own, started from the command line beside the one of the other tests."""
    directory = tmp_path_factory.mktemp("detached")
    started = await nbhub("up", "--detach", "--dir", directory)
    assert started.code == 0, started.err
    yield directory
    ended = await nbhub("down", "--dir", directory)
    assert ended.code == 0, ended.err


async def status_of(directory: Path) -> dict[str, Any]:
    ran = await nbhub("status", "--json", "--dir", directory)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


async def test_without_a_stack_status_says_what_to_do(tmp_path: Path) -> None:
    ran = await nbhub("status", "--json", "--dir", tmp_path)
    assert ran.code == 1
    assert ran.out == ""
    assert "nbhub up" in ran.err


async def test_status_tells_where_everything_is(detached: Path) -> None:
    found = await status_of(detached)
    assert set(found) == {
        *("api", "jupyterhub", "temporal", "temporal_ui", "vault", "issuer"),
        *("database", "data_root", "log_dir", "pids"),
    }
    assert set(found["pids"]) == {"postgres", "temporal", "vault", "oidc", "jupyterhub", "api", "worker"}
    async with httpx.AsyncClient() as client:
        for page in (f"{found['api']}/docs", f"{found['jupyterhub']}/hub/api/", f"{found['temporal_ui']}/"):
            assert (await client.get(page)).status_code == 200, page
    told = await nbhub("status", "--dir", detached)
    assert found["api"] in told.out


async def test_tokens_are_printed(detached: Path) -> None:
    found = await status_of(detached)
    token = (await nbhub("token", "bob@example.org", "--dir", detached)).out.strip()
    hub_token = (await nbhub("hub-token", "bob@example.org", "--dir", detached)).out.strip()
    async with httpx.AsyncClient() as client:
        me = await client.get(f"{found['api']}/whoami", headers={"Authorization": f"Bearer {token}"})
        assert me.json() == "bob@example.org"
        user = await client.get(f"{found['jupyterhub']}/hub/api/user", headers={"Authorization": f"token {hub_token}"})
        assert user.json()["name"] == "bob@example.org"


async def test_nobody_gets_a_token_for_a_stranger(detached: Path) -> None:
    ran = await nbhub("token", "mallory@example.org", "--dir", detached)
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith("nbhub: ")


async def test_two_stacks_run_side_by_side(stack: Stack, detached: Path) -> None:
    other = await status_of(detached)
    assert other["api"] != stack.info.api
    assert not set(other["pids"].values()) & set(stack.info.pids.values())


async def test_a_second_start_in_the_same_place_changes_nothing(detached: Path) -> None:
    before = await status_of(detached)
    assert (await nbhub("up", "--detach", "--dir", detached)).code == 0
    assert await status_of(detached) == before


async def test_what_a_killed_stack_left_behind_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """Also servers, which outlive JupyterHub."""
    assert (await nbhub("up", "--detach", "--dir", tmp_path)).code == 0
    found = await status_of(tmp_path)
    token = (await nbhub("token", "carol@example.org", "--dir", tmp_path)).out.strip()
    async with Member.signed_in(found["api"], "carol@example.org", token) as carol:
        server = await carol.started()
    (process,) = processes_of(server)
    state = read_state(tmp_path)
    assert state is not None
    os.kill(state.supervisor.pid, signal.SIGKILL)
    left = [*state.processes.values(), ProcessIdentity.of(process.pid)]
    assert all(one is not None and one.alive() for one in left)
    try:
        assert (await nbhub("status", "--dir", tmp_path)).code == 1
        again = await nbhub("up", "--detach", "--dir", tmp_path)
        assert again.code == 0, again.err
        assert "left behind" in again.err
        assert not [one for one in left if one is not None and one.alive()]
    finally:
        down = await nbhub("down", "--dir", tmp_path)
    assert down.code == 0
    assert (await nbhub("status", "--dir", tmp_path)).code == 1


async def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    assert (await nbhub("down", "--dir", tmp_path)).code == 0
