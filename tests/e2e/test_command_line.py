"""The commands of the README, as a newcomer types them, and what a killed stack leaves behind."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from hub import processes
from stack.sign_in import hub_user, sign_in
from stack.state import processes_of as processes_of_stack
from stack.state import read_state, supervisor_of
from tests.e2e.people import Member
from tests.e2e.processes import processes_of
from tests.stacks import Stack
from tests.terminal import Terminal

PROGRAM = Path(sys.executable).with_name("nbhub")


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


async def nbhub(*words: str | Path, environment: Mapping[str, str] = os.environ) -> Ran:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
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
        *("database", "data_root", "log_dir", "pids", "programs", "isolation", "ended"),
    }
    assert set(found["pids"]) == {"postgres", "temporal", "vault", "oidc", "jupyterhub", "api", "worker"}
    async with httpx.AsyncClient(timeout=30) as client:
        for page in (f"{found['api']}/docs", f"{found['jupyterhub']}/hub/api/", f"{found['temporal_ui']}/"):
            assert (await client.get(page)).status_code == 200, page
    told = await nbhub("status", "--dir", detached)
    assert found["api"] in told.out


async def test_tokens_are_printed(detached: Path) -> None:
    found = await status_of(detached)
    token = (await nbhub("token", "bob@example.org", "--dir", detached)).out.strip()
    hub_token = (await nbhub("hub-token", "bob@example.org", "--dir", detached)).out.strip()
    async with httpx.AsyncClient(timeout=30) as client:
        me = await client.get(f"{found['api']}/whoami", headers={"Authorization": f"Bearer {token}"})
        assert me.json() == "bob@example.org"
        user = await client.get(f"{found['jupyterhub']}/hub/api/user", headers={"Authorization": f"token {hub_token}"})
        assert user.json()["name"] == await hub_user(found["api"], token)


class Person:
    """Somebody with a terminal and a browser."""

    def __init__(self, api: str, email: str, home: Path) -> None:
        self.api, self.email = api, email
        self.environment = {**os.environ, "NBHUB_CONFIG_DIR": str(home), "DISPLAY": ":0", "BROWSER": "true"}
        self.environment.pop("SSH_CONNECTION", None)
        self.steps: list[str] = []

    async def nbhub(self, *words: str) -> Ran:
        """Type a command."""
        self.steps.append(" ".join(words))
        return await nbhub(*words, environment=self.environment)

    async def login(self, *, pasted: bool = False) -> Ran:
        """Sign in, in a browser of this machine, or in one of another whose last address is pasted."""
        words = ["login", self.api, *(["--no-browser"] if pasted else [])]
        self.steps.append(" ".join(words))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            PROGRAM, *words, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment
        )
        assert process.stderr is not None
        address = ""
        while not address.startswith("http"):
            address = (await process.stderr.readline()).decode().strip()
            assert not process.stderr.at_eof()
        back = httpx.URL(address).params["redirect_uri"]
        async with httpx.AsyncClient(timeout=30) as browser:
            landed = await sign_in(address, self.email, client=browser, until=back)
            # Some page of the browser asks the port, too.
            assert (await browser.get(back, params={"code": "x", "state": "x"})).status_code == 404
            if not pasted:
                assert "You are signed in" in (await browser.get(landed)).text
        out, err = await process.communicate(f"https://mallory.test/\n{landed}\n".encode() if pasted else None)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def type_code(self, browser: Browser, *, button: str) -> Ran:
        """Sign in by the code that the command prints: typed in a browser, whose question is answered by a button."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "login", self.api, "--device", stdout=pipe, stderr=pipe, env=self.environment
        )
        assert process.stderr is not None
        address, code = [(await process.stderr.readline()).decode() for _ in range(2)]
        async with await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(re.findall(r"http\S+", address)[0])
            await page.get_by_placeholder("Enter code").fill("BCDF-GHJK")
            await page.get_by_role("button", name="Go on").click()
            await expect(page.get_by_role("alert")).to_have_text("There is no such code, or it was used.")
            await page.get_by_placeholder("Enter code").fill(code.strip().lower())
            await page.get_by_role("button", name="Go on").click()
            await expect(page.get_by_text("in a terminal")).to_contain_text(code.strip())
            await page.get_by_role("button", name=button, exact=True).click()
            if button != "No":
                await page.get_by_placeholder("alice@example.org").fill(self.email)
                await page.get_by_placeholder("alice", exact=True).fill(self.email.partition("@")[0])
                await page.get_by_role("button", name="Sign in").click()
            said = "That terminal is not signed in." if button == "No" else "The terminal is signed in."
            await expect(page.get_by_text(said)).to_be_visible()
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


async def test_who_has_no_browser_types_a_code_in_one_elsewhere(
    detached: Path, tmp_path: Path, browser: Browser
) -> None:
    api = (await status_of(detached))["api"]
    alice, bob = (Person(api, f"{name}@example.org", tmp_path / name) for name in ("alice", "bob"))
    agreed, refused = await asyncio.gather(
        alice.type_code(browser, button="Sign that terminal in"), bob.type_code(browser, button="No")
    )
    assert (agreed.code, agreed.out) == (0, ""), agreed.err
    assert (await alice.nbhub("whoami")).out == "alice@example.org\n"
    assert (refused.code, refused.out) == (5, "")
    assert "The sign-in was refused" in refused.err
    assert (await bob.nbhub("whoami")).code == 4


async def test_from_a_clone_to_code_in_ones_own_jupyterlab_it_is_three_commands(detached: Path, tmp_path: Path) -> None:
    """The stack is up: `make up`, the first of them."""
    found = await status_of(detached)
    alice = Person(found["api"], "alice@example.org", tmp_path)
    signed_in = await alice.login()
    assert (signed_in.code, signed_in.out) == (0, ""), signed_in.err
    started = await alice.nbhub("servers", "create", "lab", "--open")
    assert started.code == 0, started.err
    url = started.out.strip()
    assert len(alice.steps) + 1 == 3
    # From here on it is the browser's.
    token = (await nbhub("hub-token", alice.email, "--dir", detached)).out.strip()
    async with Terminal(url, token) as terminal:
        assert await terminal.run("python -c 'print(6 * 7)'") == (0, "42\n")

    listed = await alice.nbhub("servers", "list", "--json")
    assert [(one["status"], one["url"]) for one in json.loads(listed.out)] == [("running", url)]
    refused = await alice.nbhub("servers", "delete", "lab")
    assert (refused.code, "--yes" in refused.err) == (2, True), "nobody can be asked here"
    assert (await alice.nbhub("servers", "stop", "lab")).code == 0
    assert (await alice.nbhub("servers", "delete", "lab", "--yes")).code == 0
    assert json.loads((await alice.nbhub("servers", "list", "--json")).out) == []
    assert (await alice.nbhub("servers", "show", "lab")).code == 3


async def test_a_dataset_is_shared_and_filled_from_a_terminal(detached: Path, tmp_path: Path) -> None:
    found = await status_of(detached)
    alice, bob = (Person(found["api"], f"{name}@example.org", tmp_path / name) for name in ("alice", "bob"))
    pasted = await alice.login(pasted=True)
    assert pasted.code == 0, pasted.err
    assert "that is no address of this sign-in" in pasted.err
    kept = tmp_path / "alice" / "tokens" / "default.json"
    if kept.exists():
        assert kept.stat().st_mode & 0o077 == 0
    assert (await bob.login()).code == 0
    assert (await alice.nbhub("whoami")).out == "alice@example.org\n"
    assert (await alice.nbhub("datasets", "create", "cores")).code == 0
    shared = await alice.nbhub("datasets", "share", "cores", "--with", bob.email, "--json")
    assert [(one["entity"], one["type"]) for one in json.loads(shared.out)] == [(bob.email, "user")]
    content = os.urandom(300_000)
    (tmp_path / "ice.bin").write_bytes(content)
    assert (await alice.nbhub("files", "cp", str(tmp_path / "ice.bin"), "datasets:cores/")).code == 0
    assert (await bob.nbhub("files", "cp", "datasets:cores/ice.bin", str(tmp_path / "back.bin"))).code == 0
    assert (tmp_path / "back.bin").read_bytes() == content
    assert (await bob.nbhub("files", "cp", str(tmp_path / "ice.bin"), "datasets:cores/")).code == 5, "he may read"
    assert (await alice.nbhub("datasets", "unshare", "cores", "--with", bob.email)).code == 0
    assert (await bob.nbhub("datasets", "show", "cores")).code == 3
    assert (await alice.nbhub("datasets", "delete", "cores", "--yes")).code == 0
    assert (await bob.nbhub("logout")).code == 0
    assert (await bob.nbhub("whoami")).code == 4


async def test_nobody_gets_a_token_for_a_stranger(detached: Path) -> None:
    for command in ("token", "hub-token"):
        ran = await nbhub(command, "mallory@example.org", "--dir", detached)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("nbhub: there is no mallory@example.org here; there are alice, bob")


async def test_two_stacks_run_side_by_side(stack: Stack, detached: Path) -> None:
    other = await status_of(detached)
    assert other["api"] != stack.info.api
    assert not set(other["pids"].values()) & set(stack.info.pids.values())


async def test_a_second_start_in_the_same_place_changes_nothing(detached: Path) -> None:
    before = await status_of(detached)
    again = await nbhub("up", "--detach", "--dir", detached)
    assert again.code == 0
    assert "already" in again.err
    assert await status_of(detached) == before


@pytest.mark.parametrize("command", [("up",), ("demo", "--exit")])
async def test_a_second_start_in_the_foreground_is_refused_and_touches_nothing(
    detached: Path, command: tuple[str, ...]
) -> None:
    """Neither parts nor the servers of people, nor what says where everything is."""
    before = await status_of(detached)
    token = (await nbhub("token", "dave@elsewhere.org", "--dir", detached)).out.strip()
    async with Member.signed_in(before["api"], "dave@elsewhere.org", token) as dave:
        server = await dave.started()
        serving = processes_of(server)
        refused = await nbhub(*command, "--dir", detached)
        assert refused.code == 1
        supervisor = supervisor_of(detached)
        assert supervisor is not None
        assert f"already (pid {supervisor.pid})" in refused.err
        assert "Traceback" not in refused.err
        assert processes_of(server) == serving
        assert await status_of(detached) == before
        await dave.succeeded(await dave.delete(server))


async def until_all_runs(directory: Path) -> None:
    async with asyncio.timeout(300):
        while (await nbhub("status", "--dir", directory)).code != 0:
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("part", ["postgres", "temporal", "vault", "oidc", "jupyterhub", "api", "worker"])
async def test_a_part_that_is_killed_comes_back_and_servers_live_on(detached: Path, part: str) -> None:
    before = await status_of(detached)
    token = (await nbhub("token", "carol@example.org", "--dir", detached)).out.strip()
    async with Member.signed_in(before["api"], "carol@example.org", token) as carol:
        server = await carol.started()
        serving = processes_of(server)
        # That process alone, as an out-of-memory killer would.
        os.kill(before["pids"][part], signal.SIGKILL)
        status = await nbhub("status", "--dir", detached)
        if status.code == 1:
            assert f"not running: {part}" in status.out
        log = detached / "supervisor.log"
        async with asyncio.timeout(300):
            while f"{part}: ready again" not in log.read_text():
                await asyncio.sleep(0.1)
        assert f"{part} ended with -9: it is started again in 0.5 s" in log.read_text()
        await until_all_runs(detached)
        after = await status_of(detached)
        assert {name for name in after["pids"] if after["pids"][name] != before["pids"][name]} == {part}
        assert processes_of(server) == serving
        # All of it works: a stop goes through the API, the database, Temporal, a worker and JupyterHub.
        await carol.succeeded(await carol.delete(server), within=150)
    assert (await nbhub("token", "carol@example.org", "--dir", detached)).code == 0


async def test_a_part_is_restarted_when_somebody_asks(detached: Path) -> None:
    before = await status_of(detached)
    ran = await nbhub("restart", "vault", "--dir", detached)
    assert (ran.code, ran.out) == (0, "vault: ready again\n"), ran.err
    after = await status_of(detached)
    assert after["pids"]["vault"] != before["pids"]["vault"]
    refused = await nbhub("restart", "mysql", "--dir", detached)
    assert refused.code == 1
    assert "there is no part 'mysql': there are " in refused.err
    assert await status_of(detached) == after


async def test_who_starts_it_is_told_what_ends_it(detached: Path) -> None:
    log = (detached / "supervisor.log").read_text()
    assert "`nbhub down` ends it." in log
    assert "Ctrl-C" not in log


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
    left = [*state.processes.values(), processes.identify(process.pid)]
    assert all(one is not None and processes.is_alive(one) for one in left)
    try:
        lost = await nbhub("status", "--dir", tmp_path)
        assert lost.code == 1
        assert "left behind" in lost.err
        # Found without what the supervisor wrote down.
        (tmp_path / "state.json").write_text('{"supervisor": {"pi')
        again = await nbhub("up", "--detach", "--dir", tmp_path)
        assert again.code == 0, again.err
        assert "left behind" in again.err
        assert not [one for one in left if one is not None and processes.is_alive(one)]
    finally:
        down = await nbhub("down", "--dir", tmp_path)
    assert down.code == 0
    assert (await nbhub("status", "--dir", tmp_path)).code == 1


async def test_a_stack_that_starts_is_seen_and_can_be_ended(tmp_path: Path) -> None:
    """Two starts at once are one; what a start was cut off in the middle of is no obstacle to the next."""
    starts = [asyncio.create_task(nbhub("up", "--detach", "--dir", tmp_path)) for _ in range(2)]
    while supervisor_of(tmp_path) is None or not processes_of_stack(tmp_path):
        await asyncio.sleep(0.01)
    status = await nbhub("status", "--dir", tmp_path)
    assert (status.code, "still starting" in status.err) == (1, True), status.err
    assert (await nbhub("down", "--dir", tmp_path)).code == 0
    assert [(await one).code for one in starts] == [1, 1]
    assert processes_of_stack(tmp_path) == []
    try:
        codes = [one.code for one in await asyncio.gather(*(nbhub("up", "--detach", "--dir", tmp_path) for _ in "ab"))]
        assert 0 in codes
        assert len({identity.pid for identity in (supervisor_of(tmp_path),) if identity}) == 1
        assert set((await status_of(tmp_path))["pids"]) >= {"api", "worker"}
    finally:
        assert (await nbhub("down", "--dir", tmp_path)).code == 0
    assert processes_of_stack(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "closed terminal"])
async def test_a_start_in_the_foreground_is_ended_in_order(tmp_path: Path, number: signal.Signals) -> None:
    started = await asyncio.create_subprocess_exec(PROGRAM, "up", "--dir", tmp_path, stderr=asyncio.subprocess.PIPE)
    while len(processes_of_stack(tmp_path)) < 3:
        await asyncio.sleep(0.01)
    started.send_signal(number)
    # Whoever is impatient changes nothing.
    started.send_signal(number)
    _, err = await started.communicate()
    assert (started.returncode, "ending" in err.decode(), "Traceback" in err.decode()) == (130, True, False)
    assert processes_of_stack(tmp_path) == []
    assert supervisor_of(tmp_path) is None


async def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    assert (await nbhub("down", "--dir", tmp_path)).code == 0
