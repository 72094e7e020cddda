"""Clients that take their time, mean no good, or bring a lot: the others are answered all the same."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.api.bench import Bench
from tests.unit.api.processes import client_of, running

PATIENCE = 4
MIB = 2**20
PART = 16_384
OCTETS = {"content-type": "application/octet-stream"}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def environment(bench: Bench, environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    for name in ("alice", "bob"):
        (tmp_path / str(bench.callers[name].id)).mkdir()
    return environment | {"NBHUB_NOTEBOOK_LOCATION": str(tmp_path), "NBHUB_CLIENT_PATIENCE": str(PATIENCE)}


@pytest.fixture
def home(bench: Bench, tmp_path: Path) -> Path:
    return tmp_path / str(bench.callers["alice"].id)


class Attacker:
    """Whoever opens connections and sends what was thought out."""

    def __init__(self, url: str, token: str) -> None:
        self._port, self._token = int(url.rpartition(":")[2]), token
        self._open: list[Streams] = []

    async def sends(self, text: str) -> Streams:
        """A connection on which something was sent."""
        reader, writer = streams = await asyncio.open_connection("127.0.0.1", self._port)
        self._open.append(streams)
        writer.write(text.replace("\n", "\r\n").encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return reader, writer

    def put(self, length: int, path: str = "half") -> str:
        """The head of an upload, of one who may."""
        return (
            f"PUT /volume/file?root=notebooks&path={path} HTTP/1.1\nHost: x\nAuthorization: {self._token}\n"
            f"Content-Type: application/octet-stream\nContent-Length: {length}\n\n"
        )

    def close(self) -> None:
        for _, writer in self._open:
            writer.close()


@pytest.fixture
def attacker(url: str, signed_in: httpx.AsyncClient) -> Iterator[Attacker]:
    attacker = Attacker(url, signed_in.headers["authorization"])
    yield attacker
    attacker.close()


async def ended(streams: Streams) -> bytes:
    """What comes until the other side ends the connection."""
    reader, _ = streams
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(PART):
            found += part
    return found


async def drip(streams: Streams, drop: bytes) -> None:
    """Send a little, again and again, until the other side has enough of it."""
    _, writer = streams
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.3)


async def test_half_requests_are_ended_while_a_slow_upload_that_moves_goes_on(
    environment: dict[str, str], url: str, attacker: Attacker, bench: Bench, tmp_path: Path
) -> None:
    home, path = tmp_path / str(bench.callers["bob"].id), {"root": "notebooks", "path": "honest"}

    async def slowly() -> AsyncIterator[bytes]:
        begun = asyncio.get_running_loop().time()
        while not halves.done() or asyncio.get_running_loop().time() - begun < 2 * PATIENCE:
            yield b"x" * PART
            await asyncio.sleep(0.2)

    async with running(environment, url):
        made = [
            *[await attacker.sends("") for _ in range(3)],
            *[await attacker.sends("GET /version HT") for _ in range(3)],
            *[await attacker.sends("GET /version HTTP/1.1\nHost: x\nX-A: ") for _ in range(3)],
            *[await attacker.sends(attacker.put(MIB)) for _ in range(3)],
            *[await attacker.sends(attacker.put(MIB) + "half of it") for _ in range(3)],
        ]
        drips = [
            *[(await attacker.sends("GET /version HTTP/1.1\nHost: x\nX-A: "), b"a") for _ in range(3)],
            *[(await attacker.sends(attacker.put(MIB)), b"x") for _ in range(2)],
        ]
        halves = asyncio.gather(*map(ended, [*made, *(streams for streams, _ in drips)]))
        dripping = [asyncio.create_task(drip(*one)) for one in drips]
        bob = await client_of(bench.callers["bob"], url)
        honest = asyncio.create_task(bob.put("/volume/file", params=path, content=slowly(), headers=OCTETS))
        async with asyncio.timeout(60), bob:
            assert len(await halves) == 20
            written = await honest
            assert written.status_code == 200, written.text
            for task in dripping:
                task.cancel()
            assert len((await bob.get("/volume/file", params=path)).content) == written.json()["size"]
            # Nothing is left of the others.
            while [*os.listdir(home), *os.listdir(tmp_path / str(bench.callers["alice"].id))] != ["honest"]:
                await asyncio.sleep(0.1)


async def test_idle_connections_keep_nobody_out(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, attacker: Attacker
) -> None:
    async with running(environment | {"NBHUB_MAX_CONNECTIONS": "10", "NBHUB_CLIENT_PATIENCE": "600"}, url):
        made = [await attacker.sends("GET /version HT") for _ in range(40)]
        for _ in range(3):
            async with httpx.AsyncClient(base_url=url) as client:
                assert (await client.get("/version")).status_code == 200
        async with asyncio.timeout(30):
            # The oldest have gone for the newer ones.
            await asyncio.gather(*map(ended, made[:30]))


async def test_who_reads_no_answer_is_ended_and_who_reads_slowly_is_not(
    environment: dict[str, str], url: str, attacker: Attacker, home: Path
) -> None:
    with (home / "large").open("wb") as file:
        file.truncate(256 * MIB)
    get = attacker.put(0, "large").replace("PUT", "GET")
    async with running(environment, url):
        stuck, slow = await attacker.sends(get), await attacker.sends(get)
        assert await stuck[0].read(12) == b"HTTP/1.1 200"
        begun, read = asyncio.get_running_loop().time(), 0
        while asyncio.get_running_loop().time() - begun < 3 * PATIENCE:
            part = await slow[0].read(PART)
            assert part, "the slow reader was ended"
            read += len(part)
            await asyncio.sleep(0.1)
        assert read < 256 * MIB
        async with asyncio.timeout(60):
            assert len(await ended(stuck)) < 256 * MIB


async def test_a_body_that_nobody_wants_is_not_waited_for(
    environment: dict[str, str], url: str, attacker: Attacker
) -> None:
    async with running(environment, url):
        refused = await attacker.sends(attacker.put(MIB).replace("Bearer", "Nobody") + "x")
        task = asyncio.create_task(drip(refused, b"x" * PART))
        async with asyncio.timeout(60):
            assert (await ended(refused)).startswith(b"HTTP/1.1 401")
            await task


async def test_heads_have_a_size(environment: dict[str, str], url: str, attacker: Attacker) -> None:
    async with running(environment, url):
        async with asyncio.timeout(60):
            answer = await ended(await attacker.sends("GET /version HTTP/1.1\nX: " + "a" * MIB))
        assert answer.startswith(b"HTTP/1.1 400")


async def test_memory_is_flat_while_a_large_file_comes_and_goes(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, home: Path
) -> None:
    size, query = 192 * MIB, {"root": "notebooks", "path": "large"}

    async def content() -> AsyncIterator[bytes]:
        part = os.urandom(MIB)
        for _ in range(size // MIB):
            yield part

    async with running(environment, url) as process:
        small = await signed_in.put("/volume/file", params=query, content=b"x", headers=OCTETS)
        assert small.status_code == 200, small.text
        before = peak_kib(process.pid)
        signed_in.timeout = httpx.Timeout(120)
        made = await signed_in.put("/volume/file", params=query, content=content(), headers=OCTETS)
        assert made.json()["size"] == (home / "large").stat().st_size == size
        read = 0
        async with signed_in.stream("GET", "/volume/file", params=query) as answer:
            async for part in answer.aiter_raw():
                read += len(part)
        assert read == size
        assert peak_kib(process.pid) - before < 32 * 1024


async def test_threads_that_work_on_bodies_let_the_event_loop_go_first(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient, home: Path
) -> None:
    text = {"root": "notebooks", "type": "file", "name": "text", "content": "x" * 100_000}
    async with running(environment, url) as process:
        before = niceness(process.pid)
        assert (await signed_in.post("/volume/file", json=text)).status_code == 200
        after = niceness(process.pid)
        assert after[process.pid] == before[process.pid]
        # One has read the body, and one has written the file.
        assert sum(after[thread] > after[process.pid] for thread in after.keys() - before.keys()) >= 2


def niceness(process: int) -> dict[int, int]:
    """Of each thread, by its number; the event loop's is that of the process."""
    threads = [int(name) for name in os.listdir(f"/proc/{process}/task")]
    return {thread: os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}


def peak_kib(process: int) -> int:
    """The most memory that a process has had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1])
