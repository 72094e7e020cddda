"""Signing in through the real form of a real provider, with opaque and with JWT access tokens."""

import asyncio
import shutil
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from cryptography.fernet import Fernet

from integrations.oidc import OidcClient, TokenAnswer
from models.database.sql import row, rows
from models.domain.errors import ActionForbidden
from models.domain.values import Caller, Subject
from models.ledger import audit
from models.records import persons, sessions
from models.records.persons import Identity
from stack.sign_in import sign_in
from tests.elsewhere import ELSEWHERE, SAYS_ELSEWHERE
from tests.integration.api.running_provider import CALLBACK, HOME, OTHER_CALLBACK, Place, place
from tests.unit.api.bench import RecordedWakes

UI = "https://ui.elsewhere.example"


def error_of(answer: httpx.Response, status: int) -> str:
    """The code of a refusal of this status."""
    assert answer.status_code == status, answer.text
    code: str = answer.json()["error"]["code"]
    return code


async def caller_of(hub: Place, token: str) -> Caller:
    """The caller that the session of a token stands for."""
    found = await sessions.find(sessions.digest(token))
    assert found is not None
    return found.caller(b"")


async def test_the_whole_way(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        assert set(tokens) == {
            *("access_token", "expires_at", "expires_in", "id_token", "scope", "token_type", "refresh_token")
        }
        assert tokens["token_type"] == "Bearer"
        assert abs(tokens["expires_at"] - time.time() - tokens["expires_in"]) < 5
        answer = await browser.whoami(tokens["access_token"])
        assert (answer.status_code, answer.json()) == (200, "alice@example.org")
        assert answer.headers["content-type"].startswith("application/json")
        bearer = {"Authorization": f"bearer {tokens['access_token']}"}
        assert (await browser.api.get("/authenticated", headers=bearer)).status_code == 200
    caller = await caller_of(hub, tokens["access_token"])
    assert (caller.admin, caller.orgs) == (False, ("biology",))
    assert [
        one["org"] for one in await rows("SELECT org FROM person_org WHERE person = :person", person=caller.id)
    ] == ["biology"]


async def test_nothing_that_is_kept_is_a_token(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
    kept = await row("SELECT s::text FROM session s")
    assert kept is not None
    for name in ("access_token", "id_token", "refresh_token"):
        assert tokens[name] not in str(kept)
        assert tokens[name].encode().hex() not in str(kept)


@pytest.mark.parametrize(
    ("email", "admin", "orgs"),
    [
        ("admin@example.org", True, ()),
        ("dave@elsewhere.org", False, ("elsewhere.org",)),
        ("carol@example.org", False, ("chemistry",)),
    ],
)
async def test_admins_and_organisations(hub: Place, email: str, admin: bool, orgs: tuple[str, ...]) -> None:
    async with hub.browser() as browser:
        caller = await caller_of(hub, (await browser.sign_in(email))["access_token"])
    assert (caller.email, caller.admin, caller.orgs) == (email, admin, orgs)


async def test_answers_are_kept_nowhere_and_the_cookie_stays_below_auth(hub: Place) -> None:
    async with hub.browser() as browser:
        begun = await browser.api.post("/auth/authorize")
        cookie = begun.headers["set-cookie"].lower()
        assert cookie.startswith("nbhub_login_")
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/auth" in cookie
        assert "max-age=600" in cookie
        assert "secure" not in cookie
        landed = await browser.land(begun.json()["authorizationUrl"], "alice@example.org")
        done = await browser.exchange(code=landed["code"])
        assert done.headers["cache-control"] == "no-store"
        assert "max-age=0" in done.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("hub_url", "name", "path"),
    [
        # Of a host of the API's own no other can set it: not a server's, though both are below one domain.
        ("https://servers.example.org", "__Host-nbhub_login", "/"),
        # It would be sent to people's servers, whatever port they are on.
        ("https://hub.example.org:8443", "__Secure-nbhub_login", "/auth"),
    ],
)
async def test_the_cookie_on_https(postgres: str, hub: Place, hub_url: str, name: str, path: str) -> None:
    addresses = {"public_url": "https://hub.example.org", "jupyterhub_public_url": hub_url}
    async with place(postgres, hub.provider, **addresses) as secure, secure.browser() as browser:
        begun = await browser.api.post("/auth/authorize")
        ((whole, cookie),) = SimpleCookie(begun.headers["set-cookie"]).items()
        assert whole.startswith(f"{name}_")
        assert (cookie["path"], cookie["domain"], cookie["secure"], cookie["httponly"]) == (path, "", True, True)
        landed = await browser.land(begun.json()["authorizationUrl"], "alice@example.org")
        code = {"code": landed["code"], "state": landed["state"]}
        for other in {"nbhub_login", "__Secure-nbhub_login", "__Host-nbhub_login"} - {name}:
            set_by_another_host = {"Cookie": f"{whole.replace(name, other, 1)}={cookie.value}"}
            refused = await browser.api.post("/auth/token", json=code, headers=set_by_another_host)
            assert error_of(refused, 400) == "SIGN_IN_UNKNOWN"
        done = await browser.api.post("/auth/token", json=code, headers={"Cookie": f"{whole}={cookie.value}"})
        assert done.status_code == 200
        cleared = SimpleCookie(done.headers["set-cookie"])[whole]
        assert (cleared["path"], cleared["max-age"], cleared["secure"]) == (path, "0", True)


async def test_a_sign_in_is_completed_by_the_browser_that_began_it(hub: Place) -> None:
    async with hub.browser() as browser:
        landed = await browser.land(await browser.begin(), "alice@example.org")
        assert (await browser.exchange(code=landed["code"])).status_code == 200
        landed = await browser.land(await browser.begin(), "alice@example.org")
        assert (await browser.exchange(code=landed["code"], state=landed["state"])).status_code == 200


async def test_a_browser_that_began_no_sign_in_is_signed_in_as_nobody(hub: Place) -> None:
    async with hub.browser() as attacker, hub.browser() as victim:
        landed = await attacker.land(await attacker.begin(), "bob@example.org")
        answer = await victim.exchange(code=landed["code"], state=landed["state"])
        assert error_of(answer, 400) == "SIGN_IN_UNKNOWN"
        assert await rows("SELECT 1 FROM session") == []
        # Nor is the sign-in used up for whom it belongs to.
        assert (await attacker.exchange(code=landed["code"], state=landed["state"])).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [(UI, 200), ("https://evil.example", 400), (f"{UI}.evil.example", 400), ("null", 400), (None, 400)],
)
async def test_a_state_alone_is_enough_from_pages_that_check_it(
    postgres: str, hub: Place, origin: str | None, status: int
) -> None:
    async with (
        place(postgres, hub.provider, state_checking_origins=(UI,)) as named,
        named.browser() as browser,
        named.browser() as page,
    ):
        landed = await browser.land(await browser.begin(), "alice@example.org")
        page.api.headers.update({"Origin": origin} if origin else {})
        answer = await page.exchange(code=landed["code"], state=landed["state"])
        assert answer.status_code == status, answer.text
        assert len(await rows("SELECT 1 FROM session")) == (status == 200)


async def test_an_attackers_code_signs_no_victim_in(hub: Place) -> None:
    async with hub.browser() as attacker, hub.browser() as victim:
        landed = await attacker.land(await attacker.begin(), "bob@example.org")
        assert error_of(await victim.exchange(code=landed["code"]), 400) == "SIGN_IN_UNKNOWN"
        mine = httpx.URL(await victim.begin()).params["state"]
        # With the victim's cookie the attacker's state does not fit, and the victim's own has another verifier.
        assert error_of(await victim.exchange(code=landed["code"], state=landed["state"]), 400) == "SIGN_IN_UNKNOWN"
        assert error_of(await victim.exchange(code=landed["code"], state=mine), 400) == "CODE_REJECTED"
    assert await rows("SELECT 1 FROM session") == []


async def test_a_code_cannot_be_replayed(hub: Place) -> None:
    async with hub.browser() as browser:
        landed = await browser.land(await browser.begin(), "alice@example.org")
        assert (await browser.exchange(code=landed["code"], state=landed["state"])).status_code == 200
        assert error_of(await browser.exchange(code=landed["code"], state=landed["state"]), 400) == "SIGN_IN_UNKNOWN"
        await browser.begin()
        assert error_of(await browser.exchange(code=landed["code"]), 400) == "CODE_REJECTED"


async def test_a_sign_in_that_is_completed_twice_at_once_has_one_winner(hub: Place) -> None:
    async with hub.browser() as browser:
        landed = await browser.land(await browser.begin(), "alice@example.org")
        body = {"code": landed["code"], "state": landed["state"]}
        answers = await asyncio.gather(*(one.exchange(**body) for one in [browser] * 8))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_sign_in_expires(hub: Place) -> None:
    async with hub.browser() as browser:
        landed = await browser.land(await browser.begin(), "alice@example.org")
        await row("UPDATE login_transaction SET expires_at = now() RETURNING 1")
        assert error_of(await browser.exchange(code=landed["code"], state=landed["state"]), 400) == "SIGN_IN_UNKNOWN"


@pytest.mark.parametrize("code", ["x", "a\r\nHost: evil", "&code=other", "é", "x" * 16_000])
async def test_hostile_codes(hub: Place, code: str) -> None:
    async with hub.browser() as browser:
        await browser.begin()
        assert error_of(await browser.exchange(code=code), 400) == "CODE_REJECTED"


@pytest.mark.parametrize(("code", "status"), [("", 422), ("a\0b", 422), ("x" * 20_000, 422), ("x" * 2_000_000, 413)])
async def test_impossible_codes(hub: Place, code: str, status: int) -> None:
    async with hub.browser() as browser:
        await browser.begin()
        assert (await browser.exchange(code=code)).status_code == status


async def test_where_a_browser_may_come_back_to(hub: Place) -> None:
    async with hub.browser() as browser:
        assert httpx.URL(await browser.begin()).params["redirect_uri"] == CALLBACK
        url = await browser.begin(redirect_uri=OTHER_CALLBACK)
        landed = await browser.land(url, "alice@example.org")
        assert (await browser.exchange(code=landed["code"], state=landed["state"])).status_code == 200
        for hostile in (
            CALLBACK + "/",
            CALLBACK + "@evil.example",
            CALLBACK + "?x=y",
            CALLBACK.upper(),
            "https://ui.example.org@evil.example/callback",
            "http://localhost:80@evil.example/cb",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
        ):
            answer = await browser.api.post("/auth/authorize", json={"redirect_uri": hostile})
            assert error_of(answer, 422) == "VALIDATION_FAILED", hostile


async def test_two_pages_of_a_browser_sign_in_at_once_and_the_cookie_of_one_leads_to_no_other(hub: Place) -> None:
    async with hub.browser() as browser:
        begun = [await browser.begin() for _ in range(3)]
        first, second, third = [await browser.land(url, "alice@example.org") for url in begun]
        for landed in (second, first):
            done = await browser.exchange(code=landed["code"], state=landed["state"])
            assert done.status_code == 200, done.text
        # Each is there once, and another's cookie is no key to it.
        for code, state in ((first["code"], first["state"]), (third["code"], second["state"])):
            assert error_of(await browser.exchange(code=code, state=state), 400) == "SIGN_IN_UNKNOWN"
        left = [name for name in browser.api.cookies if name.startswith("nbhub_login_")]
        assert len(left) == 1
        done = await browser.exchange(code=third["code"], state=third["state"])
        assert done.status_code == 200, done.text


async def test_where_a_sign_in_and_a_logout_lead_is_set_whatever_a_request_says_of_its_host(hub: Place) -> None:
    seen = []
    for says in ({}, SAYS_ELSEWHERE):
        async with hub.browser() as browser:
            browser.api.headers.update(says)
            begun = await browser.api.post("/auth/authorize")
            ((_, cookie),) = SimpleCookie(begun.headers["set-cookie"]).items()
            tokens = await browser.sign_in("alice@example.org")
            left = await browser.sign_out(tokens["id_token"])
            to = [httpx.URL(begun.json()["authorizationUrl"]), httpx.URL(left.json()["logoutUrl"])]
            assert [to[0].params["redirect_uri"], to[1].params["post_logout_redirect_uri"]] == [CALLBACK, HOME]
            seen.append(
                ([str(one.copy_with(query=None)) for one in to], *map(cookie.get, ("path", "domain", "secure")))
            )
    assert seen[0] == seen[1]


async def test_nobody_has_a_logout_or_the_provider_lead_a_browser_elsewhere(hub: Place) -> None:
    url = f"https://{ELSEWHERE}/"
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        asked = {"id_token": tokens["id_token"], "post_logout_redirect_uri": url, "redirect_uri": url, "next": url}
        refused = await browser.api.post("/auth/logout", json=asked)
        assert ELSEWHERE not in refused.json().get("logoutUrl", "")
        left = httpx.URL((await browser.sign_out(tokens["id_token"])).json()["logoutUrl"])
        begun = httpx.URL(await browser.begin())
        for led, name in ((left, "post_logout_redirect_uri"), (begun, "redirect_uri")):
            for target in (
                url,
                f"{led.params[name]}@{ELSEWHERE}/",
                f"{led.params[name]}.{ELSEWHERE}",
                f"//{ELSEWHERE}",
            ):
                answer = await browser.web.get(led.copy_set_param(name, target))
                assert (answer.status_code, answer.headers.get("location")) == (400, None), (name, target)
            assert (await browser.web.get(led)).status_code in (200, 303)


@pytest.mark.parametrize("origin", [UI, f"http://{ELSEWHERE}", f"https://{ELSEWHERE}", f"{UI}.{ELSEWHERE}", "null"])
async def test_whose_pages_read_answers_is_set_whatever_a_request_says_of_its_host(
    postgres: str, hub: Place, origin: str
) -> None:
    allowed = UI if origin == UI else None
    async with place(postgres, hub.provider, cors_origins=(UI,)) as named, named.browser() as browser:
        for says in ({}, SAYS_ELSEWHERE):
            browser.api.headers.update({"Origin": origin, **says})
            asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            for answer in (
                await browser.api.post("/auth/authorize"),
                await browser.api.options("/auth/token", headers=asks),
            ):
                assert answer.headers.get("access-control-allow-origin") == allowed, answer.headers


async def test_a_code_alone_needs_the_setting(postgres: str, hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as bare:
        landed = await browser.land(await browser.begin(), "alice@example.org")
        assert error_of(await bare.exchange(code=landed["code"]), 400) == "SIGN_IN_UNKNOWN"
    async with place(postgres, hub.provider, allow_code_only_login=True) as old, old.browser() as bare:
        # What a code that PKCE protects is worth without its verifier.
        assert error_of(await bare.exchange(code=landed["code"]), 400) == "CODE_REJECTED"
        # A state that is given has to fit all the same.
        assert error_of(await bare.exchange(code="x", state="unknown"), 400) == "SIGN_IN_UNKNOWN"


async def test_refresh_tokens_rotate(hub: Place) -> None:
    async with hub.browser() as browser:
        first = await browser.sign_in("alice@example.org")
        second = (await browser.refresh(first["refresh_token"])).json()
        assert set(second) == set(first)
        assert second["refresh_token"] != first["refresh_token"]
        assert (await browser.whoami(second["access_token"])).json() == "alice@example.org"
        # Whoever uses the old one again has stolen it, or was robbed: nobody goes on with either.
        assert error_of(await browser.refresh(first["refresh_token"]), 401) == "UNAUTHENTICATED"
        assert error_of(await browser.refresh(second["refresh_token"]), 401) == "UNAUTHENTICATED"
        assert error_of(await browser.refresh("nonsense"), 401) == "UNAUTHENTICATED"


async def test_a_refresh_token_that_is_used_again_ends_its_session_and_no_other(hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as elsewhere:
        other = await elsewhere.sign_in("alice@example.org")
        first = await browser.sign_in("alice@example.org")
        second = (await browser.refresh(first["refresh_token"])).json()
        assert error_of(await browser.refresh(first["refresh_token"]), 401) == "UNAUTHENTICATED"
        for one in (first, second):
            assert error_of(await browser.whoami(one["access_token"]), 401) == "UNAUTHENTICATED"
            assert error_of(await browser.refresh(one["refresh_token"]), 401) == "UNAUTHENTICATED"
        assert (await elsewhere.whoami(other["access_token"])).status_code == 200
        assert (await elsewhere.refresh(other["refresh_token"])).status_code == 200


async def test_a_refresh_token_of_an_ended_session_ends_no_later_one(hub: Place) -> None:
    async with hub.browser() as browser:
        first = await browser.sign_in("alice@example.org")
        await browser.sign_out(first["id_token"])
        second = await browser.sign_in("alice@example.org")
        # As another tab does, which does not know of the logout.
        assert error_of(await browser.refresh(first["refresh_token"]), 401) == "UNAUTHENTICATED"
        assert (await browser.whoami(second["access_token"])).status_code == 200
        assert (await browser.refresh(second["refresh_token"])).status_code == 200


async def to_be_revoked(hub: Place, caller: Caller) -> set[str]:
    """The refresh tokens of a person that the provider is to forget; the workflow that sees to it was woken."""
    assert Subject(Subject.SIGN_OUT, caller.id) in cast(RecordedWakes, hub.services.workflows).subjects
    key = Fernet(hub.settings.session_key)
    return {key.decrypt(encrypted).decode() for _, encrypted in await sessions.unrevoked(caller.id, 9)}


@pytest.mark.parametrize("how", ["logout", "replay"])
async def test_what_ends_here_is_to_end_at_the_provider_whatever_that_does_now(
    hub: Place, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_client: OidcClient, _token: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(OidcClient, "revoke", hang)
    async with hub.browser() as browser, hub.browser() as elsewhere:
        await elsewhere.sign_in("alice@example.org")
        first = await browser.sign_in("alice@example.org")
        caller = await caller_of(hub, first["access_token"])
        second = (await browser.refresh(first["refresh_token"])).json()
        if how == "logout":
            assert (await browser.sign_out(second["id_token"])).status_code == 200
        else:
            assert error_of(await browser.refresh(first["refresh_token"]), 401) == "UNAUTHENTICATED"
        assert await to_be_revoked(hub, caller) == {second["refresh_token"]}
        # Once, however often it is asked for.
        assert (await browser.sign_out(second["id_token"])).status_code == 200
        wished = await rows("SELECT 1 FROM operation WHERE kind = 'person.sign_out' AND subject = :id", id=caller.id)
        assert len(wished) == 1


async def test_a_logout_while_the_provider_is_asked_ends_what_is_refreshed(
    hub: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        refresh = OidcClient.refresh

        caller = await caller_of(hub, tokens["access_token"])
        given_out = []

        async def slow(client: OidcClient, refresh_token: str, **more: Any) -> TokenAnswer:
            given = await refresh(client, refresh_token, **more)
            given_out.append(given.refresh_token)
            assert (await browser.sign_out(tokens["id_token"])).status_code == 200
            return given

        monkeypatch.setattr(OidcClient, "refresh", slow)
        assert error_of(await browser.refresh(tokens["refresh_token"]), 401) == "UNAUTHENTICATED"
    assert await rows("SELECT 1 FROM session WHERE id_token_hash IS NOT NULL") == []
    assert await to_be_revoked(hub, caller) == {tokens["refresh_token"], *given_out}


@pytest.mark.parametrize("by", ["first", "second", "third"])
async def test_a_logout_ends_all_of_its_login_at_once(hub: Place, by: str) -> None:
    async with hub.browser() as browser, hub.browser() as elsewhere:
        other = await elsewhere.sign_in("alice@example.org")
        tokens = {"first": await browser.sign_in("alice@example.org")}
        tokens["second"] = (await browser.refresh(tokens["first"]["refresh_token"])).json()
        tokens["third"] = (await browser.refresh(tokens["second"]["refresh_token"])).json()
        for one in tokens.values():
            assert (await browser.whoami(one["access_token"])).status_code == 200
        done = await browser.sign_out(tokens[by]["id_token"])
        assert done.status_code == 200
        [audited] = await rows("SELECT request_id FROM audit WHERE action = 'person.sign_out' ORDER BY id DESC LIMIT 1")
        assert audited["request_id"] == done.headers["x-request-id"]
        url = httpx.URL(done.json()["logoutUrl"])
        assert str(url).startswith(hub.provider.issuer)
        assert (url.params["id_token_hint"], url.params["post_logout_redirect_uri"]) == (tokens[by]["id_token"], HOME)
        for one in tokens.values():
            assert error_of(await browser.whoami(one["access_token"]), 401) == "UNAUTHENTICATED"
            assert error_of(await browser.refresh(one["refresh_token"]), 401) == "UNAUTHENTICATED"
        # Signing out here signs nobody out elsewhere.
        assert (await elsewhere.whoami(other["access_token"])).status_code == 200
        assert (await browser.sign_out(tokens[by]["id_token"])).status_code == 200


@pytest.mark.parametrize("known_as", ["first", "second"])
async def test_a_logout_is_true_at_a_process_that_never_saw_the_provider(
    postgres: str, hub: Place, known_as: str
) -> None:
    async with hub.browser() as browser:
        tokens = {"first": await browser.sign_in("alice@example.org")}
        tokens["second"] = (await browser.refresh(tokens["first"]["refresh_token"])).json()
    caller = await caller_of(hub, tokens["second"]["access_token"])
    hub.provider.stop()
    try:
        async with place(postgres, hub.provider) as later, later.browser() as browser:
            head, body, signature = tokens[known_as]["id_token"].split(".")
            forged = await browser.sign_out(f"{head}.{body}.{signature[::-1]}")
            assert error_of(forged, 503) == "PROVIDER_UNAVAILABLE"
            assert (await browser.whoami(tokens["second"]["access_token"])).status_code == 200
            done = await browser.sign_out(tokens[known_as]["id_token"])
            # Where the provider's own session ends is not known.
            assert (done.status_code, done.json()) == (200, {"logoutUrl": HOME})
            assert Subject(Subject.SIGN_OUT, caller.id) in cast(RecordedWakes, later.services.workflows).subjects
            for one in tokens.values():
                assert error_of(await browser.whoami(one["access_token"]), 401) == "UNAUTHENTICATED"
    finally:
        await hub.provider.start()


async def test_a_session_whose_key_the_provider_has_dropped_is_ended_by_its_id_token(
    postgres: str, hub: Place, tmp_path: Path
) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
    kept = hub.provider.directory / "data" / "jwks.json"
    hub.provider.stop()
    shutil.move(kept, tmp_path)
    await hub.provider.start()
    try:
        async with place(postgres, hub.provider) as later, later.browser() as browser:
            assert (await browser.sign_out(tokens["id_token"])).status_code == 200
            assert error_of(await browser.whoami(tokens["access_token"]), 401) == "UNAUTHENTICATED"
    finally:
        hub.provider.stop()
        shutil.move(tmp_path / kept.name, kept)
        await hub.provider.start()


async def test_one_comes_back_after_a_logout_by_the_session_at_the_provider(hub: Place) -> None:
    async with hub.browser() as browser:
        first = await browser.sign_in("alice@example.org")
        await browser.sign_out(first["id_token"])
        second = await browser.sign_in("alice@example.org")
        assert (await browser.whoami(second["access_token"])).status_code == 200


async def test_the_provider_ends_its_own_session_at_the_logout_address(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        page = await browser.web.get((await browser.sign_out(tokens["id_token"])).json()["logoutUrl"])
        assert page.status_code == 200
        assert "form" in page.text


async def test_only_a_real_id_token_signs_out(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        head, body, signature = tokens["id_token"].split(".")
        for forged in ("x", f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", tokens["access_token"]):
            assert error_of(await browser.sign_out(forged), 401) == "UNAUTHENTICATED"
        assert (await browser.whoami(tokens["access_token"])).status_code == 200


async def test_what_is_no_access_token(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        for wrong in (tokens["id_token"], tokens["refresh_token"], tokens["access_token"] + "x", "x", "a.b.c"):
            assert error_of(await browser.whoami(wrong), 401) == "UNAUTHENTICATED"


async def test_a_token_of_a_trusted_client_binds_its_person(hub: Place) -> None:
    tokens = await hub.provider.tokens_of("jupyterhub", "bob@example.org")
    answer = await hub.whoami(tokens["access_token"])
    assert (answer.status_code, answer.json()) == (200, "bob@example.org")
    person = await persons.find_by_email("bob@example.org")
    assert [one["org"] for one in await rows("SELECT org FROM person_org WHERE person = :person", person=person)] == [
        "biology"
    ]
    assert error_of(await hub.whoami(str(tokens["id_token"])), 401) == "UNAUTHENTICATED"
    # The same person by the other way.
    async with hub.browser() as browser:
        mine = await browser.sign_in("bob@example.org")
        assert (await caller_of(hub, mine["access_token"])).id == person


async def test_a_token_of_another_client_is_nobodys(hub: Place) -> None:
    tokens = await hub.provider.tokens_of("stranger", "bob@example.org")
    assert error_of(await hub.whoami(tokens["access_token"]), 401) == "UNAUTHENTICATED"
    assert await persons.find_by_email("bob@example.org") is None


async def test_an_expired_session_is_none(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
    await row("UPDATE session SET expires_at = now() RETURNING 1")
    assert await sessions.find(sessions.digest(tokens["access_token"])) is None


async def hold(email: str, issuer: str = "https://old.example.org") -> UUID:
    """A person of another account, who has this e-mail."""
    return await persons.bind(Identity(issuer=issuer, subject=f"old-{email}", email=email, orgs=("history",)))


async def test_an_email_belongs_to_one_account_until_it_is_released(hub: Place) -> None:
    former = await hold("alice@example.org")
    async with hub.browser() as browser, hub.browser() as chief, hub.browser() as bobs:
        admin = {"Authorization": f"Bearer {(await chief.sign_in('admin@example.org'))['access_token']}"}
        bob = {"Authorization": f"Bearer {(await bobs.sign_in('bob@example.org'))['access_token']}"}
        landed = await browser.land(await browser.begin(), "alice@example.org")
        assert error_of(await browser.exchange(code=landed["code"], state=landed["state"]), 403) == "EMAIL_TAKEN"
        denied, *_ = await audit.list_rows(action=audit.DENIED, limit=2)
        assert (denied.actor, denied.actor_name, denied.subject_kind) == (None, audit.UNKNOWN, "account")
        assert denied.detail == {"code": "EMAIL_TAKEN", "email": "alice@example.org"}

        async def release(headers: dict[str, str], email: str = "Alice@example.org") -> httpx.Response:
            return await chief.api.post("/persons/release", params={"email": email}, headers=headers)

        assert error_of(await release({}), 401) == "UNAUTHENTICATED"
        assert error_of(await release(bob), 403) == "FORBIDDEN"
        assert error_of(await release(admin, "nobody@example.org"), 404) == "ENTITY_NOT_FOUND"
        assert (await release(admin)).status_code == 202
        assert await row("SELECT 1 FROM audit WHERE action = 'person.release' AND subject = :subject", subject=former)

        caller = await caller_of(hub, (await browser.sign_in("alice@example.org"))["access_token"])
        assert caller.id != former
        assert caller.orgs == ("biology",)
        with pytest.raises(ActionForbidden):
            await hold("alice@example.org")


async def test_a_release_ends_the_sessions_of_the_person(hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as chief:
        tokens = await browser.sign_in("alice@example.org")
        caller = await caller_of(hub, tokens["access_token"])
        admin = {"Authorization": f"Bearer {(await chief.sign_in('admin@example.org'))['access_token']}"}
        released = await chief.api.post("/persons/release", params={"email": "alice@example.org"}, headers=admin)
        assert released.status_code == 202
        assert error_of(await browser.whoami(tokens["access_token"]), 401) == "UNAUTHENTICATED"
        assert await persons.find_by_email("alice@example.org") is None
        wished = await row("SELECT actor <> subject AS by_admin FROM operation WHERE kind = 'person.sign_out'")
        assert wished is not None
        assert wished["by_admin"]
        assert len(await sessions.unrevoked(caller.id, 9)) == 1


async def test_a_token_from_before_a_release_does_not_undo_it(hub: Place) -> None:
    """One that another service was given: of those that we gave out the sessions have ended."""

    async def token() -> str:
        return str((await hub.provider.tokens_of("jupyterhub", "alice@example.org"))["access_token"])

    async with hub.browser() as chief:
        old = await token()
        assert (await hub.whoami(old)).status_code == 200
        admin = {"Authorization": f"Bearer {(await chief.sign_in('admin@example.org'))['access_token']}"}
        released = await chief.api.post("/persons/release", params={"email": "alice@example.org"}, headers=admin)
        assert released.status_code == 202
        for _ in range(2):
            assert error_of(await hub.whoami(old), 401) == "UNAUTHENTICATED"
        assert await persons.find_by_email("alice@example.org") is None
        # Tokens tell the second in which they were issued.
        await row("UPDATE person SET released_at = released_at - interval '2 s' WHERE email = 'alice@example.org'")
        assert (await hub.whoami(await token())).json() == "alice@example.org"


async def test_who_signs_in_for_the_first_time_twice_at_once_is_one_person(hub: Place) -> None:
    identity = Identity(issuer="https://new.example.org", subject="s", email="new@example.org", orgs=("a", "b"))
    found = await asyncio.gather(*(persons.bind(identity) for _ in range(16)))
    assert len(set(found)) == 1
    assert len(await rows("SELECT 1 FROM person_org WHERE person = :person", person=found[0])) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email_verified": False}, "FORBIDDEN"),
        ({"email": ""}, "FORBIDDEN"),
        ({"email": "al ice@example.org"}, "FORBIDDEN"),
        ({"email": "alice@example.org\n"}, None),
        ({"email": "../x@example.org"}, "FORBIDDEN"),
        ({"email": "a" * 300 + "@example.org"}, "FORBIDDEN"),
        ({"email": "ALICE@Example.org", "email_verified": True}, None),
    ],
)
async def test_which_emails_can_be_user_names(hub: Place, changes: dict[str, Any], code: str | None) -> None:
    values: dict[str, Any] = {"issuer": "i", "subject": "s", "email": "alice@example.org", **changes}
    if code is None:
        assert await persons.bind(Identity(**values)) == await persons.find_by_email("alice@example.org")
        return
    with pytest.raises(ActionForbidden) as refused:
        await persons.bind(Identity(**values))
    assert refused.value.code == code


async def test_an_address_that_only_looks_alike_is_another_person(hub: Place) -> None:
    alice = Identity(issuer="i", subject="s", email="alice@example.org")
    alike = Identity(issuer="i", subject="alike", email="al\u0131ce@example.org")
    assert await persons.bind(alike) != await persons.bind(alice)


async def test_an_account_that_changes_its_email_is_told_so(hub: Place) -> None:
    await hold("old@example.org", "i")
    with pytest.raises(ActionForbidden) as refused:
        await persons.bind(Identity(issuer="i", subject="old-old@example.org", email="new@example.org"))
    assert refused.value.code == "EMAIL_CHANGED"


async def test_organisations_are_kept_as_they_change(hub: Place) -> None:
    identity = Identity(issuer="i", subject="s", email="a@example.org", orgs=("a", "b"))
    person = await persons.bind(identity)
    for orgs in (("b", "c"), ("b", "c"), ()):
        await persons.bind(Identity(issuer="i", subject="s", email="a@example.org", orgs=orgs))
        kept = await rows("SELECT org FROM person_org WHERE person = :person ORDER BY org", person=person)
        assert tuple(one["org"] for one in kept) == orgs


async def test_the_form_refuses_a_wrong_password(hub: Place) -> None:
    async with hub.browser() as browser:
        with pytest.raises(Exception, match=r"no alice@example\.org who signs in with this password"):
            await sign_in(
                await browser.begin(), "alice@example.org", "wrong", client=browser.web, until="https://ui.example.org"
            )


async def test_a_provider_that_is_restarted_remembers_and_its_absence_is_503(hub: Place) -> None:
    async with hub.browser() as browser:
        tokens = await browser.sign_in("alice@example.org")
        hub.provider.stop()
        try:
            # Who is signed in works on; whoever wants in has to wait.
            assert (await browser.whoami(tokens["access_token"])).status_code == 200
            absent = await browser.refresh(tokens["refresh_token"])
            assert error_of(absent, 503) == "PROVIDER_UNAVAILABLE"
            assert absent.headers["retry-after"]
            # A logout is true at once, even so.
            assert (await browser.sign_out(tokens["id_token"])).status_code == 200
            assert (await browser.whoami(tokens["access_token"])).status_code == 401
        finally:
            await hub.provider.start()
        # And it stays true, though the provider was told nothing.
        assert error_of(await browser.refresh(tokens["refresh_token"]), 401) == "UNAUTHENTICATED"
        async with hub.browser() as other:
            again = await other.sign_in("alice@example.org")
        hub.provider.stop()
        await hub.provider.start()
        assert (await browser.refresh(again["refresh_token"])).status_code == 200
