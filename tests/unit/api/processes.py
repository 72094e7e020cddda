"""The API as a process of its own."""

import asyncio
import contextlib
import hashlib
import socket
import sys
from collections.abc import AsyncIterator

import httpx

from models.database.sql import row
from models.domain.ids import new_id
from models.domain.values import Caller
from tests.project import PROJECT


def free_url() -> str:
    """Where nobody listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def free_neighbours() -> tuple[str, str]:
    """An address and port where nobody listens yet, nor at the next port."""
    while True:
        url = free_url()
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.bind((host, int(port) + 1))
            return f"{host}:{port}", f"{host}:{int(port) + 1}"


async def answers(url: str) -> None:
    """Return once a process answers there."""
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=60) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def running(environment: dict[str, str], url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the API that answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=PROJECT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await answers(f"{url}/version")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def client_of(person: Caller, url: str) -> httpx.AsyncClient:
    """What a person asks the process with who has just signed in."""
    token = new_id().hex
    await row(
        """INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash, sid)
           VALUES (:token_hash, :person, ARRAY[]::text[], now() + interval '1 hour', :id_token_hash, 's')""",
        token_hash=hashlib.sha256(token.encode()).digest(),
        person=person.id,
        id_token_hash=b"x",
    )
    return httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=20)
