"""Starts servers, so many at once, from a process of its own: `put_starts.py PORT`.

A line of JSON on the input has a list of pairs for each connection, a token and the id of a server; each connection
starts its servers one after the other. Answers with a line of JSON: the seconds of each.
"""

import asyncio
import json
import sys
import time


async def main(port: int, wanted: list[list[list[str]]]) -> None:
    """Start all of them."""
    found = await asyncio.gather(*(one_connection(port, pairs) for pairs in wanted))
    print(json.dumps([seconds for each in found for seconds in each]), flush=True)


async def one_connection(port: int, pairs: list[list[str]]) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for token, server in pairs:
        begun = time.perf_counter()
        writer.write(
            f"PUT /servers/{server}/start HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        found.append(time.perf_counter() - begun)
        assert " 202 " in head.partition("\r\n")[0], body
    writer.close()
    return found


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.stdin.readline())))
