"""The API as a process: what is committed survives its death, and it stops quickly when told to."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import msgspec
import pytest
from temporalio.testing import ActivityEnvironment

from activities.filesystem import Filesystem
from integrations.file_threads import FileThreads
from models.database.sql import row, rows
from models.domain.environment import SettingsInvalid
from models.domain.ids import new_id
from models.domain.settings import Settings
from tests.elsewhere import ELSEWHERE, SAYS_ELSEWHERE
from tests.project import PROJECT
from tests.slow_link import SlowLink
from tests.unit.api.bench import Bench
from tests.unit.api.processes import free_url, running

TEMPLATE = {"name": "lab", "description": "", "type": "user", "applicationType": "jupyterlab", "public": False}


async def test_death_after_the_commit_loses_nothing(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, tmp_path: Path
) -> None:
    key = {"idempotency-key": new_id().hex}
    async with running(environment, url) as process:
        hardware = (await signed_in.get("/volume/hardware")).json()[0]
        made = await signed_in.post("/servers", json={**TEMPLATE, "hardware": hardware})
        assert made.status_code == 200, made.text
        start = f"/servers/{made.json()['_id']}/start"
        (tmp_path / "api.committed").touch()
        with pytest.raises(httpx.TransportError):
            await signed_in.put(start, headers=key)
        assert await process.wait() == 137
    async with running(environment, url):
        again = await signed_in.put(start, headers=key)
        assert (again.status_code, again.json()["kind"], again.json()["status"]) == (202, "server.start", "queued")
        listed = (await signed_in.get("/operations", params={"kind": "server.start"})).json()
        assert [one["_id"] for one in listed] == [again.json()["_id"]]
        assert (await signed_in.get("/servers")).json()[0]["status"] == "starting"


async def test_the_api_starts_while_the_database_is_away_and_works_when_it_comes(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, bench: Bench
) -> None:
    address = urlsplit(bench.settings.database_url)
    async with SlowLink(parse_qs(address.query)["host"][0], 5432) as link:
        link.refuse()
        environment["NBHUB_DATABASE_URL"] = f"postgresql://nbhub@127.0.0.1:{link.port}{address.path}?sslmode=disable"
        async with running(environment, url) as process:
            health = await signed_in.get("/healthcheck")
            assert health.status_code == 503
            assert health.json()["checks"]["database"]["status"] == "failed"
            answer = await signed_in.get("/servers")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
            link.accept()
            assert (await signed_in.get("/servers")).status_code == 200
            link.refuse()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == -signal.SIGTERM


@pytest.fixture
async def operation(bench: Bench) -> UUID:
    """One of alice's that nobody works on."""
    identity = new_id()
    await row(
        "INSERT INTO operation (id, kind, subject, subject_kind, actor) VALUES (:id, 'x', :subject, 'x', :actor)",
        id=identity,
        subject=new_id(),
        actor=bench.callers["alice"].id,
    )
    return identity


async def test_a_stop_waits_for_no_stream(
    operation: UUID, environment: dict[str, str], url: str, signed_in: httpx.AsyncClient
) -> None:
    async with running(environment, url) as process:
        async with signed_in.stream("GET", f"/operations/{operation}/events") as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("id: ")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                assert "event: operation" in [line async for line in lines]
        async with asyncio.timeout(5):
            await process.wait()


async def test_a_person_has_so_many_streams_open_and_no_more(
    operation: UUID, environment: dict[str, str], url: str, signed_in: httpx.AsyncClient
) -> None:
    environment["NBHUB_QUOTAS"] = "event_streams=2"
    path = f"/operations/{operation}/events"

    async def usage() -> int:
        found: int = (await signed_in.get("/me/usage")).json()["event_streams"]["used"]
        return found

    async with running(environment, url):
        async with signed_in.stream("GET", path) as first, signed_in.stream("GET", "/events") as second:
            assert (first.status_code, second.status_code) == (200, 200)
            for another in (path, "/events"):
                refused = await signed_in.get(another)
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "THROTTLED")
            assert await usage() == 2
        async with asyncio.timeout(20):
            while await usage():
                await asyncio.sleep(0.05)
        async with signed_in.stream("GET", path) as third:
            assert third.status_code == 200


async def test_a_quota_of_nothing_is_said_at_the_start(environment: dict[str, str]) -> None:
    environment["NBHUB_QUOTAS"] = "serves=2"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api"), cwd=PROJECT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert (process.returncode, b"there is no serves" in said) == (2, True)


async def test_two_processes_count_together_how_fast_somebody_asks(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient
) -> None:
    other = free_url()
    environment |= {"NBHUB_WRITES_PER_MINUTE": "2", "NBHUB_REFUSED_PER_MINUTE": "2"}
    elsewhere = {**environment, "NBHUB_API_PORT": other.rpartition(":")[2]}
    async with running(environment, url), running(elsewhere, other):
        for path in ("/groups", f"{other}/groups"):
            made = await signed_in.post(path, json={"name": new_id().hex}, headers={"prefer": "wait=0"})
            assert made.status_code == 202, made.text
        for path in ("/groups", f"{other}/groups"):
            refused = await signed_in.post(path, json={"name": new_id().hex})
            assert (refused.status_code, refused.headers["ratelimit-limit"]) == (429, "2")
            assert 0 < int(refused.headers["retry-after"]) <= 31
        for path in ("/groups", f"{other}/groups"):
            assert (await signed_in.get(path)).status_code == 200


@pytest.fixture
async def uncounted(bench: Bench) -> AsyncIterator[None]:
    """All processes of tests are asked from one address."""
    await row("DELETE FROM request_rate")
    yield
    await row("DELETE FROM request_rate")


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize(
    ("trusted", "too_many"),
    [
        # What a client says for whom nobody vouches: all of it is of one address.
        ("", [False, False, True, True, True]),
        ("192.0.2.1,198.51.100.0/24", [False, False, True, True, True]),
        # A proxy says at the end who asked it. What stands before that is the client's own tale.
        ("127.0.0.1", [False, False, True, False, False]),
        ("10.0.0.0/8,127.0.0.0/8", [False, False, True, False, False]),
    ],
)
async def test_who_asks_is_told_by_trusted_proxies_alone(
    environment: dict[str, str], url: str, trusted: str, too_many: list[bool]
) -> None:
    environment |= {"NBHUB_HEALTH_PER_MINUTE": "2", "NBHUB_TRUSTED_PROXIES": trusted}
    here, there = "203.0.113.9", "2001:db8::9"
    told = [here, f"198.51.100.7, {here}", f"{there}, {here}", there, f"{here}, {there}"]
    async with running(environment, url), httpx.AsyncClient(base_url=url, timeout=20) as client:
        answers = [await client.get("/healthcheck", headers={"x-forwarded-for": one}) for one in told]
    assert [one.status_code == 429 for one in answers] == too_many


async def test_where_answers_lead_is_set_whatever_a_request_says_of_its_host(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient
) -> None:
    public = "https://hub.example.org"
    environment |= {"NBHUB_TRUSTED_PROXIES": "127.0.0.1", "NBHUB_PUBLIC_URL": public}
    async with running(environment, url):
        for number, says in enumerate(({}, SAYS_ELSEWHERE, SAYS_ELSEWHERE)):
            made = await signed_in.post(
                "/datasets", json={"name": f"leads-{number}"}, headers={"prefer": "wait=0", **says}
            )
            assert re.fullmatch(r"/operations/[0-9a-f-]{36}", made.headers["location"])
        for says in ({}, SAYS_ELSEWHERE):
            first = await signed_in.get("/datasets", params={"limit": 1}, headers=says)
            assert first.headers["link"].startswith(f"<{public}/datasets?limit=1&cursor=")
            for path in (
                "/datasets/",
                "//datasets",
                f"//{ELSEWHERE}/datasets",
                f"/\\{ELSEWHERE}",
                "/docs/",
                "/healthcheck/",
            ):
                answer = await signed_in.get(f"{url}{path}", headers=says)
                assert "location" not in answer.headers
                assert ELSEWHERE not in answer.headers.get("link", "")


def test_only_addresses_are_trusted() -> None:
    for trusted in ("*", "proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "unix:"):
        with pytest.raises(SettingsInvalid, match="NBHUB_TRUSTED_PROXIES"):
            Settings.from_environment({"NBHUB_DATABASE_URL": "x", "NBHUB_TRUSTED_PROXIES": trusted})


async def test_a_server_that_dies_during_an_upload_leaves_the_old_file_or_the_new_one(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, bench: Bench, tmp_path: Path
) -> None:
    homes, person = tmp_path / "homes", bench.callers["alice"].id
    home = homes / str(person)
    home.mkdir(parents=True)
    (home / "file").write_text("old")
    environment |= {"NBHUB_NOTEBOOK_LOCATION": str(homes)}

    async def put(content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        headers = {"content-type": "application/octet-stream", "idempotency-key": key}
        path = {"root": "notebooks", "path": "file"}
        return await signed_in.put("/volume/file", params=path, content=content, headers=headers)

    async def half() -> AsyncIterator[bytes]:
        yield b"x" * 2**20
        while not any((home / name).stat().st_size for name in os.listdir(home) if name != "file"):
            await asyncio.sleep(0.05)
        process.kill()
        await process.wait()
        yield b"x"

    key = new_id().hex
    async with running(environment, url) as process:
        with pytest.raises(httpx.TransportError):
            await put(half())
    assert (home / "file").read_text() == "old"
    assert len(os.listdir(home)) == 2
    await row("UPDATE write_claim SET claimed_at = now() - interval '1 hour' WHERE person = :person", person=person)
    settings = msgspec.structs.replace(bench.settings, notebook_location=str(homes))
    await ActivityEnvironment().run(Filesystem(settings, FileThreads()).settle_files)
    assert (os.listdir(home), (home / "file").read_text()) == (["file"], "old")

    (tmp_path / "api.made").touch()
    async with running(environment, url) as process:
        with pytest.raises(httpx.TransportError):
            await put(b"new")
        assert await process.wait() == 137
    assert (os.listdir(home), (home / "file").read_text()) == (["file"], "new")
    async with running(environment, url):
        assert (await put(b"new")).json()["size"] == 3
    found = await rows("SELECT action FROM audit WHERE subject = :person", person=person)
    assert [one["action"] for one in found] == ["volume.write_file"]


def others_of(process: asyncio.subprocess.Process) -> set[int]:
    """The processes that one keeps."""
    return {int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


async def replaced(process: asyncio.subprocess.Process, one: int) -> set[int]:
    """Those that a process keeps once it has another in the place of this one."""
    async with asyncio.timeout(60):
        while one in (now := others_of(process)) or len(now) < 2:
            await asyncio.sleep(0.05)
    return now


@contextlib.asynccontextmanager
async def asked_on_and_on(url: str) -> AsyncIterator[list[int]]:
    """The statuses of what is asked all the time: on connections that last, and on some for a request each."""
    statuses: list[int] = []
    ends = asyncio.Event()

    async def ask(*, lasting: bool) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            while not ends.is_set():
                answer = await client.get("/version", headers={} if lasting else {"connection": "close"})
                statuses.append(answer.status_code)

    async with asyncio.TaskGroup() as group:
        for lasting in (True, True, False, False):
            group.create_task(ask(lasting=lasting))
        yield statuses
        ends.set()


async def test_processes_on_one_port_are_replaced_one_after_another_and_no_request_is_lost(
    environment: dict[str, str], url: str
) -> None:
    environment["NBHUB_API_PROCESSES"] = "2"
    async with running(environment, url) as process:
        begun = others_of(process)
        assert len(begun) == 2
        async with asked_on_and_on(url) as statuses:
            for one in begun:
                before = len(statuses)
                os.kill(one, signal.SIGTERM)
                await replaced(process, one)
                async with asyncio.timeout(60):
                    while len(statuses) < before + 50:
                        await asyncio.sleep(0.05)
        assert {*statuses} == {200}
        assert not others_of(process) & begun
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/version")


async def test_a_process_that_dies_is_replaced_and_all_end_with_the_one_that_keeps_them(
    environment: dict[str, str], url: str
) -> None:
    environment["NBHUB_API_PROCESSES"] = "2"
    async with running(environment, url) as process:
        one = min(others_of(process))
        os.kill(one, signal.SIGKILL)
        left = await replaced(process, one)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/version")).status_code == 200
        process.kill()
        await process.wait()
        async with asyncio.timeout(60):
            while left & {int(one) for one in os.listdir("/proc") if one.isdigit()}:
                await asyncio.sleep(0.05)


async def test_processes_of_which_none_can_serve_are_not_tried_again(environment: dict[str, str], url: str) -> None:
    nowhere, elsewhere = {"NBHUB_PROFILES_FILE": "/nowhere"}, {"NBHUB_API_HOST": "192.0.2.1"}
    for wrong, code in (({"NBHUB_QUOTAS": "serves=2"}, 2), (nowhere, 3), (elsewhere, 3)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api"),
            cwd=PROJECT,
            env={**environment, "NBHUB_API_PROCESSES": "2", **wrong},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            assert await process.wait() == code, wrong
