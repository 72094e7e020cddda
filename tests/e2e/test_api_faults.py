"""The API dies at every crash point of what it makes outside of PostgreSQL; a repeated request mends it."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from models.domain.ids import new_id
from tests.e2e.people import Json, Member
from tests.stacks import Stack

POINTS = ("api.claimed", "api.made", "api.committed")


async def sent_twice(member: Member, stack: Stack, point: str, method: str, path: str, body: Json) -> Json:
    """The answer to a request during which the API dies, and which is sent again."""
    key = {"Idempotency-Key": new_id().hex}
    stack.arm(point)
    with pytest.raises(httpx.TransportError):
        await member.api.request(method, path, json=body, headers=key)
    await stack.died("api")
    await stack.start_part("api")
    answer: Json = await member.call(method, path, json=body, headers=key)
    assert await member.call(method, path, json=body, headers=key) == answer
    return answer


async def values(stack: Stack) -> set[str]:
    """The ids of all secrets of which Vault has a value."""
    keys: Any = msgspec.json.decode((stack.directory / "vault" / "keys.json").read_bytes())
    async with httpx.AsyncClient(
        base_url=stack.info.vault, headers={"X-Vault-Token": keys["root_token"]}, timeout=30
    ) as root:
        answer = await root.request("LIST", "/v1/secret/metadata/secrets")
    return set(answer.json()["data"]["keys"]) if answer.status_code == 200 else set()


@pytest.mark.parametrize("point", POINTS)
async def test_kill_9_of_the_api_while_it_makes_a_secret(alice: Member, stack: Stack, point: str) -> None:
    before = await values(stack)
    body = {"secretName": f"cut-off-{point}", "type": "raw", "value": "a value"}
    made = await sent_twice(alice, stack, point, "POST", "/secrets", body)
    assert await values(stack) - before == {made["_id"]}
    named = [one for one in await alice.call("GET", "/secrets") if one["secretName"] == body["secretName"]]
    assert named == [made]
    changed = await sent_twice(alice, stack, point, "PATCH", f"/secret/{made['_id']}", {"value": "another value"})
    assert changed["version"] > made["version"]
    await alice.call("DELETE", f"/secret/{made['_id']}", expect=(202, 204))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("type", ["file", "directory"])
async def test_kill_9_of_the_api_while_it_makes_a_file(alice: Member, stack: Stack, point: str, type: str) -> None:
    await alice.call("PUT", "/initialize", expect=(200, 202), headers={"Prefer": "wait=60"})
    name = f"cut-off-{point}-{type}"
    body = {"root": "notebooks", "path": "", "name": name, "type": type}
    assert await sent_twice(alice, stack, point, "POST", "/volume/file", body) == body
    found = await alice.call("GET", "/volume/files", params={"root": "notebooks", "limit": "100"})
    assert [one["type"] for one in found if one["name"] == name] == [type]
    assert unfinished(stack) == []


def unfinished(stack: Stack) -> list[Path]:
    """What is left of files that did not get their name."""
    return list(Path(stack.data_root, "notebooks").glob("*/.nbhub-unfinished-*"))
