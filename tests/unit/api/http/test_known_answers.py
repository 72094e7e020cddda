"""Whoever asks again and again: an answer that the client has already is not sent again, and one that changed is."""

import msgspec
import pytest

from api.document import DOCUMENT
from tests.unit.api.bench import Api, unique

PATHS = msgspec.json.decode(DOCUMENT.read_bytes())["paths"]
# What one reads without naming anything.
READ_AS_THEY_ARE = [
    path
    for path, methods in PATHS.items()
    if "304" in methods.get("get", {}).get("responses", ())
    and methods["get"].get("security") != []
    and not any(given.get("required") for given in methods["get"].get("parameters", ()))
]


def test_only_texts_and_streams_are_sent_anew_each_time() -> None:
    anew = {path for path, methods in PATHS.items() if "304" not in methods.get("get", {}).get("responses", "304")}
    assert anew == {"/authenticated", "/whoami", "/whoami/jupyterhub", "/events", "/operations/{id}/events"}


@pytest.mark.parametrize("path", READ_AS_THEY_ARE)
async def test_what_can_be_read_is_sent_once(api: Api, path: str) -> None:
    first = await api.admin.get(path)
    again = await api.admin.get(path, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_list_that_the_client_has_is_not_sent_again_until_something_in_it_changes(api: Api) -> None:
    first = await api.alice.get("/groups", params={"limit": 1})
    tag = first.headers["etag"]
    assert tag.startswith("W/")
    again = await api.alice.get("/groups", params={"limit": 1}, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "no-store"
    made = await api.alice.post("/groups", json={"name": unique("known")})
    assert made.is_success, made.text
    changed = await api.alice.get("/groups", params={"limit": 1}, headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_a_record_that_the_client_has_is_sent_again_when_others_may_do_more_or_less_with_it(api: Api) -> None:
    """Which is no new version of it."""
    made = await api.alice.dataset()
    path, bob = f"/datasets/{made['_id']}", {"userArray": api.bob.email}
    await api.alice.made(f"{path}/share", relation="viewer", **bob)
    tag = (await api.bob.get(path)).headers["etag"]
    known = {"if-none-match": tag}
    assert (await api.bob.get(path, headers=known)).status_code == 304
    await api.alice.made(f"{path}/share", relation="write", **bob)
    more = await api.bob.get(path, headers=known)
    assert (more.status_code, more.json()["write_access"]) == (200, True)
    # It is of the version that a change is about all the same.
    assert (await api.bob.patch(path, json={"description": "ice"}, headers={"if-match": tag})).status_code == 200
    tag = (await api.bob.get(path)).headers["etag"]
    await api.alice.made(f"{path}/revoke", relation="read", **bob)
    assert (await api.bob.get(path, headers={"if-none-match": f"{tag}, *"})).status_code == 404
