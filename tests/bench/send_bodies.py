"""Sends what means no good, from a process of its own: `send_bodies.py API_URL`, a token on the input.

Says `ready`; after a line it sends bodies of every kind without end, until the next; says how many of each, and waits.
"""

import asyncio
import collections
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

MIB = 2**20
HALVES = 20
_FILE = {"root": "notebooks", "path": "hostile"}
_OCTETS = {"content-type": "application/octet-stream"}
_JSON = {"content-type": "application/json"}
# As much as a body may hold, in as many values as it may: the most work that a refusal can cost.
_MANY_VALUES = b'{"tags":[' + b"1," * 199_000 + b"1]}"
_LONG_TEXT = json.dumps({"root": "notebooks", "type": "file", "name": "x/y", "content": "x" * 1_000_000}).encode()


async def zeros(mebibytes: int) -> AsyncIterator[bytes]:
    """A body without an announced length."""
    for _ in range(mebibytes):
        yield bytes(MIB)


async def main(url: str) -> None:
    """Obey the input."""
    go_last()
    headers = {"Authorization": f"Bearer {sys.stdin.readline().strip()}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        kinds: dict[str, Callable[[], Awaitable[object]]] = {
            "upload": lambda: client.put("/volume/file", params=_FILE, content=zeros(64), headers=_OCTETS),
            "too many values": lambda: client.post("/template", content=_MANY_VALUES, headers=_JSON),
            "long text": lambda: client.post("/volume/file", content=_LONG_TEXT, headers=_JSON),
            "too large": lambda: client.post("/template", content=zeros(3), headers=_JSON),
            "nobody's": lambda: client.put(
                "/volume/file", params=_FILE, content=zeros(3), headers=_OCTETS | {"authorization": "Bearer x"}
            ),
        }
        kinds |= {f"half request {number}": lambda: half(url, headers) for number in range(HALVES)}
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            sent: collections.Counter[str] = collections.Counter()
            work = [asyncio.create_task(again_and_again(kind, send, sent)) for kind, send in kinds.items()]
            await asyncio.to_thread(sys.stdin.readline)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            print(json.dumps(sent), flush=True)


def go_last() -> None:
    """Who attacks is on another machine: what it costs to send is not to weigh on those who are measured.

    Linux shares processors among sessions first, where they have groups of their own, and knows niceness within one.
    """
    os.nice(19)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text("19")


async def again_and_again(kind: str, send: Callable[[], Awaitable[object]], sent: collections.Counter[str]) -> None:
    """Send one kind, one after the other."""
    while True:
        with contextlib.suppress(httpx.HTTPError, OSError):
            await send()
        sent[kind.rstrip("0123456789 ")] += 1


async def half(url: str, headers: dict[str, str]) -> None:
    """A request that never ends: a byte of it in a while, until it is ended by the other side."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        text = f"PUT /volume/file?root=notebooks&path=half HTTP/1.1\r\nHost: x\r\nX-Half: {headers['Authorization']}"
        writer.write(text.encode())
        while True:
            await asyncio.sleep(0.5)
            writer.write(b"x")
            await writer.drain()
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
