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


@contextlib.asynccontextmanager
async def running(environment: dict[str, str], url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the API that answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=PROJECT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{url}/version")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
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
