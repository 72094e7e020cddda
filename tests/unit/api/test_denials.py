"""Who is refused what is in the audit: of which record, by which request, and not more often than is of use."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from api.http import denials
from models.database.sql import row
from models.domain.errors import ActionForbidden
from models.ledger import audit, seals
from tests.unit.api.bench import NOBODY, Api, Client, Json, answered, unique
from tests.unit.api.http.signed_in import SignedIn


async def denied(api: Api, who: Client) -> list[Json]:
    """What somebody was refused, the newest first."""
    return [*await api.admin.got("/audit", action="request.denied", actor=who.email)]


async def test_who_may_not_do_something_is_in_the_audit_with_the_record_and_who_may_is_not(api: Api) -> None:
    dataset = await api.alice.dataset()
    path = f"/datasets/{dataset['_id']}"
    await api.alice.made(f"{path}/share", relation="viewer", userArray=api.bob.email)
    answered(await api.bob.get(path), 200)
    refused = await api.bob.delete(path, headers={"x-request-id": "mine-1234"})
    answered(refused, 403)
    (entry,) = await denied(api, api.bob)
    assert entry["actor_id"] == str(api.bob.caller.id)
    assert (entry["subject_kind"], entry["subject"]) == ("dataset", dataset["_id"])
    assert entry["detail"] == {"asked": "deleteDataset", "code": "FORBIDDEN"}
    assert (entry["client_request_id"], "operation" in entry) == ("mine-1234", False)
    assert await denied(api, api.alice) == []


async def test_what_one_may_not_see_is_a_denial_and_what_is_not_there_is_none(api: Api) -> None:
    """Each kind, by somebody else and by its owner, there and gone."""
    there = {
        "dataset": (f"/datasets/{(await api.alice.dataset())['_id']}", "getDataset"),
        "module": (f"/modules/{(await api.alice.module())['_id']}", "getModule"),
        "secret": (f"/secret/{(await api.alice.secret())['_id']}", "getSecret"),
        "server": (f"/servers/{(await api.alice.server())['_id']}", "getServer"),
        "template": (f"/template?templateId={(await api.alice.template(public=False))['_id']}", "getTemplate"),
    }
    (operation,) = await api.alice.got("/operations", limit="1")
    there["operation"] = (f"/operations/{operation['_id']}", "getOperation")
    for kind, (path, asked) in there.items():
        for nothing in (NOBODY, "no-id"):
            assert (await api.bob.get(path.replace(path[-36:], nothing))).status_code == 404, kind
        answered(await api.bob.get(path), 404)
        entry, *_ = await denied(api, api.bob)
        assert (entry["subject_kind"], entry["subject"]) == (kind, path[-36:])
        assert entry["detail"] == {"asked": asked, "code": "ENTITY_NOT_FOUND"}
        answered(await api.alice.get(path), 200)
    assert len(await denied(api, api.bob)) == len(there)
    await row("UPDATE dataset SET wish = 'trashed' WHERE owner = :owner", owner=api.alice.caller.id)
    for who in (api.alice, api.bob):
        assert (await who.get(there["dataset"][0] + "/access")).status_code == 404
        assert (await who.get("/volume/files", params={"path": f"/datasets/{NOBODY}"})).is_error
    assert len(await denied(api, api.bob)) == len(there)
    assert await denied(api, api.alice) == []


async def test_what_is_about_no_record_is_about_who_asks(api: Api) -> None:
    answered(await api.alice.get("/audit"), 403)
    (entry,) = await denied(api, api.alice)
    assert (entry["subject_kind"], entry["subject"]) == ("person", str(api.alice.caller.id))
    assert entry["detail"] == {"asked": "listAudit", "code": "FORBIDDEN"}
    answered(await api.nobody.get("/audit"), 401)
    answered(await api.admin.get(f"/datasets/{NOBODY}"), 404)
    assert await denied(api, api.admin) == []


async def test_denials_are_sealed_as_everything_is(api: Api) -> None:
    answered(await api.alice.get("/audit"), 403)
    while await seals.seal():
        pass
    assert [one["sealed"] for one in await denied(api, api.alice)] == [True]


async def test_a_flood_is_counted_and_does_not_fill_the_audit(api: Api) -> None:
    group = await api.alice.group()
    for name in range(5):
        answered(await api.bob.patch(f"/groups/{group['_id']}", json={"name": unique(f"x{name}")}), 403)
    assert len(await denied(api, api.bob)) == 1
    many = [(await api.alice.dataset())["_id"] for _ in range(denials.MOST_OF_PERSON + 3)]
    for one in many:
        answered(await api.bob.get(f"/datasets/{one}"), 404)
    told = await denied(api, api.bob)
    assert len(told) == denials.MOST_OF_PERSON
    assert [one["detail"].get("left_out") for one in told[-2:]] == [4, None]
    # Others have minutes of their own.
    answered(await api.alice.get("/audit"), 403)
    assert len(await denied(api, api.alice)) == 1
    minute = api.bench.services.denials._minutes[api.bob.caller.id]
    left_out = len(many) - (denials.MOST_OF_PERSON - 1)
    assert minute.left_out == left_out
    minute.since -= denials.WINDOW_SECONDS
    answered(await api.bob.get(f"/datasets/{many[-1]}"), 404)
    answered(await api.bob.get(f"/datasets/{many[-2]}"), 404)
    second, first, *_ = await denied(api, api.bob)
    assert first["detail"]["left_out"] == left_out
    assert "left_out" not in second["detail"]


async def test_the_same_at_once_is_one_row(api: Api) -> None:
    dataset = await api.alice.dataset()
    found = await asyncio.gather(*(api.bob.get(f"/datasets/{dataset['_id']}") for _ in range(6)))
    assert {one.status_code for one in found} == {404}
    assert len(await denied(api, api.bob)) == 1


async def test_looking_for_what_is_not_there_hides_no_denial(api: Api) -> None:
    for number in range(denials.MOST_OF_PERSON + 5):
        answered(await api.bob.get(f"/datasets/{NOBODY[:-2]}{number:02}"), 404)
    dataset = await api.alice.dataset()
    answered(await api.bob.get(f"/datasets/{dataset['_id']}"), 404)
    assert [one["subject"] for one in await denied(api, api.bob)] == [dataset["_id"]]


@pytest.mark.parametrize("fault", [asyncpg.ConnectionDoesNotExistError("gone"), OSError("gone"), None])
async def test_a_database_that_takes_no_denial_fails_no_request_and_keeps_it_no_longer_than_half_a_second(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    tried = []

    async def away(*_: Any, **__: Any) -> bool:
        tried.append(1)
        if fault is None:
            await asyncio.Event().wait()
            return False
        raise fault

    monkeypatch.setattr(denials, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(denials, "AWAY_SECONDS", 3600)
    dataset = await api.alice.dataset()
    with monkeypatch.context() as gone:
        gone.setattr(audit, "record_denial", away)
        assert answered(await api.bob.get("/audit"), 403)["error"]["message"] == "Only an admin may do this."
        answered(await api.bob.get(f"/datasets/{dataset['_id']}"), 404)
    assert len(tried) == 1
    api.bench.services.denials._away_until = 0
    answered(await api.bob.get("/audit"), 403)
    (entry,) = await denied(api, api.bob)
    assert entry["detail"] == {"asked": "listAudit", "code": "FORBIDDEN", "left_out": 2}


async def test_who_is_signed_out_by_now_is_refused_nothing(api: Api) -> None:
    """A token that was somebody's last time is looked at before anything is written in that name."""
    async with SignedIn(api, api.alice.caller, {}) as alice:
        await alice.sign_in()
        answered(await alice.get("/me"), 200)
        await row("UPDATE session SET id_token_hash = NULL WHERE person = :person", person=api.alice.caller.id)
        answered(await alice.get("/audit"), 401)
        assert await denied(api, api.alice) == []
        await alice.sign_in()
        answered(await alice.get("/me"), 200)
        answered(await alice.get("/audit"), 403)
        assert [one["detail"]["asked"] for one in await denied(api, api.alice)] == ["listAudit"]


def refusing(api: Api, subject: str, email: str) -> AbstractAsyncContextManager[None]:
    """What lets an account of a provider's in."""
    return api.bench.services.denials.letting_in("https://id.example", {"sub": subject, "email": email})


async def refuse(api: Api, subject: str, email: str = "") -> None:
    """Refuse an account."""
    with pytest.raises(ActionForbidden):
        async with refusing(api, subject, email):
            raise ActionForbidden("No.", code="EMAIL_TAKEN")


async def test_an_account_that_is_not_let_in_is_in_the_audit_and_one_that_is_is_not(api: Api) -> None:
    stranger = unique("stranger")
    async with refusing(api, unique("friend"), f"{stranger}@example.org"):
        pass
    await refuse(api, stranger, f"{stranger}@example.org\n" + "x" * 500)
    await refuse(api, stranger, f"{stranger}@example.org")
    found = await api.admin.got("/audit", action="request.denied", actor="unknown")
    (entry,) = [one for one in found if str(one["detail"].get("email")).startswith(stranger)]
    assert (entry["subject_kind"], entry["detail"]["code"], "actor_id" in entry) == ("account", "EMAIL_TAKEN", False)
    assert len(entry["detail"]["email"]) < 80
    assert "\n" not in entry["detail"]["email"]
    assert UUID(entry["subject"]).version == 5


async def test_of_somebody_known_it_is_about_the_person(api: Api) -> None:
    account = await row("SELECT issuer, subject FROM person WHERE id = :id", id=api.bob.caller.id)
    assert account is not None
    with pytest.raises(ActionForbidden):
        async with api.bench.services.denials.letting_in(account["issuer"], {"sub": account["subject"]}):
            raise ActionForbidden("No.", code="CLAIM_UNREADABLE")
    (entry,) = await denied(api, api.bob)
    assert (entry["subject_kind"], entry["subject"]) == ("person", str(api.bob.caller.id))
    assert entry["detail"] == {"code": "CLAIM_UNREADABLE"}


async def test_strangers_share_their_rows_and_take_none_of_those_who_are_known(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "MOST_OF_STRANGERS", 3)
    for _ in range(5):
        await refuse(api, unique("stranger"))
    minute = api.bench.services.denials._minutes[denials._STRANGERS]
    assert (len(minute.written), minute.left_out) == (3, 2)
    answered(await api.alice.get("/audit"), 403)
    assert len(await denied(api, api.alice)) == 1
