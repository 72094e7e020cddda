"""`make audit` asks about every version that is pinned, and says what nobody has looked at."""

import json
from datetime import date
from typing import Any

import httpx
import pytest

from tests import audit
from tests.audit import Accepted, Pin, Review, Reviewed

TODAY = date(2026, 11, 26)
JINJA, CHALK, SDK = Pin("PyPI", "jinja2", "3.0.0"), Pin("npm", "chalk", "1.0.0"), Pin("Go", "example.org/sdk", "1.2.3")


def osv(request: httpx.Request) -> httpx.Response:
    """OSV, as its documentation has it: in the order of the queries, two advisories about Jinja on two pages."""
    assert request.url.path == "/v1/querybatch"
    results: list[dict[str, Any]] = []
    for query in json.loads(request.content)["queries"]:
        if query["package"] != {"name": "jinja2", "ecosystem": "PyPI"}:
            results.append({})
        elif query["page_token"]:
            results.append({"vulns": [{"id": "GHSA-2", "modified": "2026-01-01T00:00:00Z"}]})
        else:
            results.append({"vulns": [{"id": "GHSA-1"}], "next_page_token": "more"})
    return httpx.Response(200, json={"results": results})


async def test_what_is_known_is_asked_to_its_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_BATCH", 2)
    async with httpx.AsyncClient(base_url="http://osv", transport=httpx.MockTransport(osv)) as client:
        assert await audit.known_against({JINJA, CHALK, SDK}, client) == {JINJA: ["GHSA-1", "GHSA-2"]}


def test_every_lock_file_is_read() -> None:
    found = audit.pins()
    versions = {one.name: {pin.version for pin in found if pin.name == one.name} for one in found}
    # Two of JupyterHub: the newest, and the one before, which the tests run too.
    assert {version.partition(".")[0] for version in versions["jupyterhub"]} == {"5", "6"}
    assert {"oidc-provider", "koa", "github.com/hashicorp/vault", "github.com/hashicorp/vault/sdk"} <= set(versions)
    assert not any(one.version.startswith("v") for one in found)


def test_what_is_in_no_lock_file_is_reviewed_in_its_version() -> None:
    reviews = audit.read_reviews().reviews
    assert {name: one.version for name, one in reviews.items()} == audit.reviewed_by_hand()


def reviewed(*, on: date | None = TODAY, version: str = "18.6", until: date = TODAY) -> Reviewed:
    return Reviewed(
        accepted={"GHSA-1": Accepted(why="nothing here renders what people write", until=until)},
        reviews={"images/postgres": Review(version=version, advisories="https://example.org", on=on)},
    )


@pytest.mark.parametrize(
    ("known", "what", "said"),
    [
        ({JINJA: ["GHSA-1"]}, reviewed(), ""),
        ({JINJA: ["GHSA-1", "GHSA-2"]}, reviewed(), "jinja2 3.0.0 (PyPI): https://osv.dev/GHSA-2"),
        ({JINJA: ["GHSA-1"]}, reviewed(until=date(2026, 11, 25)), "accepted until 2026-11-25 only"),
        ({}, reviewed(on=None), "nobody has read https://example.org"),
        ({}, reviewed(on=date(2026, 8, 27)), "again, last done on 2026-08-27"),
        ({}, reviewed(on=date(2026, 8, 28)), ""),
        ({}, reviewed(version="18.5"), "images/postgres 18.6: not in"),
    ],
    ids=["accepted", "new", "accepted no longer", "never read", "read long ago", "read lately", "another version"],
)
def test_what_there_is_to_do_is_named(known: dict[Pin, list[str]], what: Reviewed, said: str) -> None:
    lines = audit.to_do(known, {"images/postgres": "18.6"}, what, TODAY)
    assert len(lines) == (1 if said else 0)
    assert said in "".join(lines)
