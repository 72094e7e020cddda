"""The audit as admins read it: by whom, what, to what and when, in three forms; and the chain of its seals."""

import csv
import io
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from models.domain.ids import new_id
from models.domain.values import Caller, Subject
from models.ledger import audit, seals
from tests.unit.api.bench import NOBODY, Api, Client, answered, problems, unique


class Story:
    """What somebody whom no other test knows did to a record of nobody's."""

    def __init__(self, api: Api) -> None:
        self.admin, self.subject = api.admin, new_id()
        self.actor = Caller(
            id=new_id(), email=f"{unique('a')}@example.org", request_id="r-1", client_request_id="=cmd|1!A1"
        )

    async def record(self, action: str = "dataset.update", subject: UUID | None = None, **detail: object) -> None:
        about = Subject("dataset", subject or self.subject)
        await audit.record(action, about, self.actor, detail=detail or None)

    async def told(self, **query: str) -> list[str]:
        """The actions of those rows that are found, newest first."""
        return [one["action"] for one in await self.admin.got("/audit", **query)]


@pytest.fixture
def story(api: Api) -> Story:
    return Story(api)


@pytest.mark.parametrize("path", ["/audit", "/audit/seals", "/audit?limit=1&count=true"])
async def test_admins_alone_read_the_audit(api: Api, path: str) -> None:
    assert answered(await api.nobody.get(path), 401)["error"]["code"] == "UNAUTHENTICATED"
    assert answered(await api.alice.get(path), 403)["error"]["message"] == "Only an admin may do this."
    answered(await api.admin.get(path), 200)


async def test_what_somebody_asks_for_is_told_with_who_what_and_when(api: Api) -> None:
    before = datetime.now(UTC)
    dataset = await api.alice.dataset()
    (entry,) = await api.admin.got("/audit", subject=dataset["_id"])
    (operation,) = await api.alice.got("/operations", subject=dataset["_id"])
    assert before <= datetime.fromisoformat(entry.pop("at")) <= datetime.now(UTC)
    assert entry.pop("_id")
    assert entry.pop("request_id")
    assert entry == {
        "actor": api.alice.email,
        "actor_id": str(api.alice.caller.id),
        "action": "dataset.create",
        "subject_kind": "dataset",
        "subject": dataset["_id"],
        "operation": operation["_id"],
        "sealed": False,
    }
    while await seals.seal():
        pass
    assert [one["sealed"] for one in await api.admin.got("/audit", subject=dataset["_id"])] == [True]


async def test_rows_are_found_by_who_what_which_and_when(story: Story) -> None:
    other = new_id()
    await story.record("dataset.create")
    await story.record("dataset.update")
    between = datetime.now(UTC).isoformat()
    await story.record("dataset.update", other)
    await story.record("dataset.delete", other)
    await audit.record("dataset.purge", Subject("dataset", other), None)
    who = {"actor": story.actor.email}
    update, delete, create = "dataset.update", "dataset.delete", "dataset.create"
    assert await story.told(**who) == [delete, update, update, create]
    assert await story.told(**who, sort="-newest") == [create, update, update, delete]
    assert await story.told(**who, action=update) == [update, update]
    assert await story.told(**who, action=update, subject=str(other)) == [update]
    assert await story.told(subject=str(other)) == ["dataset.purge", delete, update]
    assert await story.told(subject=str(other), actor="system") == ["dataset.purge"]
    assert await story.told(**who, since=between) == [delete, update]
    assert await story.told(**who, until=between, sort="-newest") == [create, update]
    assert await story.told(**who, action=update, since=between) == [update]
    assert await story.told(since=between, until=between) == []
    for nothing in ({"actor": "nobody@example.org"}, {"action": "dataset"}, {"subject": NOBODY}, {"subject": "x"}):
        assert await story.told(**nothing) == []


async def test_a_time_is_that_of_the_row_though_its_id_was_made_a_moment_before(story: Story) -> None:
    await story.record()
    (entry,) = await story.admin.got("/audit", actor=story.actor.email)
    at = datetime.fromisoformat(entry["at"])
    later = (at + timedelta(microseconds=1)).isoformat()
    who = {"actor": story.actor.email}
    for found, query in (
        (1, {"since": entry["at"]}),
        (0, {"since": later}),
        (0, {"until": entry["at"]}),
        (1, {"until": later}),
        (1, {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59.999999Z"}),
        (1, {"since": entry["at"], "until": later}),
    ):
        for more in ({}, {"action": "dataset.update"}):
            assert len(await story.told(**who, **query, **more)) == found, (query, more)
    assert problems(await story.admin.get("/audit", params={"since": "2026-01-01T00:00:00"})) == {"since"}
    assert problems(await story.admin.get("/audit", params={"until": "yesterday", "actor": "x" * 400})) == {
        "until",
        "actor",
    }


async def pages(client: Client, query: dict[str, str], form: str = "application/json") -> list[httpx.Response]:
    """A list from its first page to its last, as the links lead."""
    path, found = str(httpx.URL("/audit", params=query)), []
    while path:
        found.append(await client.get(path, headers={"accept": form}))
        assert found[-1].status_code == 200, found[-1].text
        path = httpx.URL(found[-1].links["next"]["url"]).raw_path.decode() if "next" in found[-1].links else ""
    return found


@pytest.mark.parametrize("sort", ["newest", "-newest"])
@pytest.mark.parametrize("narrowed", [{}, {"action": "dataset.update"}])
async def test_pages_of_any_form_are_the_same_list_and_put_together_one_file(
    story: Story, sort: str, narrowed: dict[str, str]
) -> None:
    for number in range(7):
        await story.record(subject=new_id(), number=number, text='a "quoted", é\n')
    query = {"actor": story.actor.email, "sort": sort, "limit": "3", **narrowed}
    answers = await pages(story.admin, query)
    rows = [one for answer in answers for one in answer.json()]
    assert [len(answer.json()) for answer in answers] == [3, 3, 1]
    numbers = [*range(7)]
    assert [one["detail"]["number"] for one in rows] == (numbers if sort == "-newest" else numbers[::-1])
    lines = await pages(story.admin, query, "application/x-ndjson")
    assert [json.loads(one) for one in b"".join(answer.content for answer in lines).splitlines()] == rows
    tables = await pages(story.admin, query, "text/csv")
    table = [*csv.DictReader(io.StringIO(b"".join(answer.content for answer in tables).decode(), newline=""))]
    assert [json.loads(one.pop("detail")) for one in table] == [one.pop("detail") for one in rows]
    for one, shown in zip(rows, table, strict=True):
        assert shown == {
            **dict.fromkeys(shown, ""),
            **one,
            "sealed": "true" if one["sealed"] else "false",
            "client_request_id": "'=cmd|1!A1",
        }
    for form, answer in (("application/x-ndjson", lines[0]), ("text/csv; charset=utf-8", tables[0])):
        assert answer.headers["content-type"] == form
        assert answer.headers["vary"] == "Accept"
        known = {"accept": form, "if-none-match": answer.headers["etag"]}
        assert (await story.admin.get("/audit", params=query, headers=known)).status_code == 304
        assert (await story.admin.get("/audit", params=query, headers={**known, "accept": "*/*"})).status_code == 200


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "application/json"),
        ("text/html, text/*;q=0.5", "text/csv"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("image/png", "application/json"),
        ("", "application/json"),
        (";;;=,", "application/json"),
    ],
)
async def test_the_form_is_the_one_that_is_accepted_or_json(story: Story, accept: str, form: str) -> None:
    answer = await story.admin.get("/audit", params={"limit": 1}, headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == form


async def test_of_each_form_fields_can_be_asked_for_and_rows_be_counted(story: Story) -> None:
    await story.record()
    await story.record("dataset.delete")
    query = {"actor": story.actor.email, "fields": "action,at", "count": "true", "limit": "1"}
    answer = await story.admin.get("/audit", params=query)
    assert (answer.headers["total-count"], [sorted(one) for one in answer.json()]) == ("2", [["_id", "action", "at"]])
    table = await story.admin.get("/audit", params=query, headers={"accept": "text/csv"})
    assert table.headers["total-count"] == "2"
    assert table.text.splitlines()[0] == "_id,at,action"


async def test_no_value_of_a_secret_is_in_the_audit(api: Api) -> None:
    secret = await api.alice.secret()
    answered(
        await api.alice.patch(f"/secret/{secret['_id']}", json={"description": "words-that-nobody-else-says"}), 200
    )
    for form in ("application/json", "application/x-ndjson", "text/csv"):
        told = await api.admin.get("/audit", params={"subject": secret["_id"]}, headers={"accept": form})
        assert told.text.count("secret.update") == 1, told.text
        assert "description" in told.text
        assert "words-that-nobody-else-says" not in told.text


async def test_the_chain_is_read_in_pages_from_either_end(api: Api, story: Story) -> None:
    before = [one["number"] for one in await api.admin.got("/audit/seals", limit="1")]
    after = str(before[0] if before else 0)
    while await seals.seal():
        pass
    for _ in range(5):
        await story.record()
        await seals.seal()
    listed: list[Any] = await api.admin.got("/audit/seals", after=after, sort="-newest")
    for previous, one in itertools.pairwise(listed):
        assert (one["number"], one["previous"]) == (previous["number"] + 1, previous["hash"])
    rows = {one["_id"] for one in await api.admin.got("/audit", actor=story.actor.email)}
    assert rows == {one["_id"] for seal in listed[-5:] for one in seal["rows"]}
    for sort, wanted in (("newest", listed[::-1]), ("-newest", listed)):
        found, path = [], str(httpx.URL("/audit/seals", params={"after": after, "sort": sort, "limit": "2"}))
        while path:
            answer = await api.admin.get(path)
            assert 1 <= len(answer.json()) <= 2
            found += answer.json()
            path = httpx.URL(answer.links["next"]["url"]).raw_path.decode() if "next" in answer.links else ""
        assert found == wanted
    assert await api.admin.got("/audit/seals", after=str(listed[-1]["number"])) == []
    assert problems(await api.admin.get("/audit/seals", params={"after": -1})) == {"after"}
