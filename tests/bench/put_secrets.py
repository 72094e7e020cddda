"""Puts values of secrets all at once, from a process of its own: `put_secrets.py API_URL COUNT`, a token on the input.

Says `ready`, waits for a line, puts, and says how many were kept and in how many seconds.
"""

import asyncio
import sys
import time

import httpx


async def main(url: str, count: int) -> None:
    """Put `count` values at once."""
    headers = {"Authorization": f"Bearer {sys.stdin.readline().strip()}"}
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=120) as client:
        await client.get("/authenticated")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begun = time.perf_counter()
        answers = await asyncio.gather(*(put(client, number) for number in range(count)))
        kept = sum(answer.status_code == 200 for answer in answers)
        print(kept, time.perf_counter() - begun, flush=True)


async def put(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = {"secretName": f"BENCH_{number}", "type": "env_var", "value": f"value {number}"}
    return await client.post("/secrets", json=body)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
