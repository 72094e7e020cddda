"""What a read costs, counted: statements, whatever else the driver sends, and dependencies of its handler."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from api.events import follow
from api.http.operation_events import OperationEvents
from api.http.policy import Policy, handlers_of, policy_of
from models.access import following
from models.access.following import Told
from models.database import transactions
from models.database.sql import row
from models.domain.values import OperationStatus
from models.ledger import operations
from models.records.sessions import digest
from tests.unit.api.bench import NOBODY, Api, Client, Json, answered, end, unique
from tests.unit.api.http.signed_in import SignedIn, signed_in


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whatever is sent to PostgreSQL, a RESET or BEGIN too."""
    sent: list[str] = []
    with monkeypatch.context() as patched:
        for name in ("_execute", "execute"):
            original = getattr(asyncpg.Connection, name)

            async def noted(self: Any, query: str, *args: Any, _original: Any = original, **options: Any) -> Any:
                sent.append(query)
                return await _original(self, query, *args, **options)

            patched.setattr(asyncpg.Connection, name, noted)
        yield sent


async def made(api: Api) -> list[str]:
    """What alice can read, of each kind."""
    server = await api.alice.server()
    dataset, module, group = await api.alice.dataset(), await api.alice.module(), await api.alice.group()
    secret = await api.alice.secret()
    (operation,) = await api.alice.got("/operations", subject=server["_id"])
    return [
        "/servers?limit=50",
        "/servers?limit=1000",
        f"/servers/{server['_id']}",
        f"/servers/{server['_id']}/share",
        f"/template?templateId={server['templateId']}",
        "/templates",
        "/templates/tags",
        "/applications",
        "/hardware",
        "/datasets",
        f"/datasets/{dataset['_id']}",
        "/modules",
        f"/modules/{module['_id']}",
        "/groups",
        f"/groups/{group['_id']}",
        "/secrets",
        f"/secret/{secret['_id']}",
        "/operations",
        f"/operations/{operation['_id']}",
        "/me/usage",
        "/people?q=ali",
        "/trash",
        *(f"/{kind}?count=true&fields=_id&limit=1" for kind in LISTED),
    ]


LISTED = (
    *("servers", "templates", "datasets", "modules", "groups", "secrets", "operations"),
    *("trash", "servers/shares"),
)
"""What is counted by the statement that reads it."""


AUDIT = ("/audit", "/audit?actor=x&count=true", "/audit?actor=x&action=y&since=2026-01-01T00:00:00Z", "/audit/seals")
"""What admins alone can read."""


async def test_a_read_is_one_statement_and_nothing_else_is_sent(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = await made(api)
    alice, _ = await signed_in(api, "alice")
    for path in paths:
        wanted = answered(await api.alice.get(path), 200)
        assert answered(await alice.get(path), 200) == wanted
        with counted(monkeypatch) as sent:
            assert answered(await alice.get(path), 200) == wanted
        assert len(sent) == 1, (path, sent)
    for path in ("/me", "/orgs", "/orgs?count=true"):
        with counted(monkeypatch) as sent:
            # They say what the token does, which is more here than of the bench's caller.
            assert '"org"' in (await alice.get(path)).text
            assert len(sent) == 1, (path, sent)
    admin, _ = await signed_in(api, "admin")
    for path in AUDIT:
        wanted = answered(await api.admin.get(path), 200)
        answered(await admin.get(path), 200)
        with counted(monkeypatch) as sent:
            assert answered(await admin.get(path), 200) == wanted
        assert len(sent) == 1, (path, sent)
    with counted(monkeypatch) as sent:
        # What nobody has: the statement that did not find it has found the session. Another looks whether it is hidden.
        assert (await alice.get(f"/servers/{NOBODY}")).status_code == 404
        assert len(sent) == 2, sent
        await alice.server()
        assert len(sent) > 1


async def with_jwts(api: Api, name: str, count: int) -> tuple[SignedIn, list[str]]:
    """Somebody whom another service signs in, and tokens that nobody has seen."""
    await row(
        "UPDATE person SET issuer = :issuer, subject = email WHERE email = :email",
        issuer=api.bench.settings.oidc_issuer,
        email=api.person(name).email,
    )
    jwts = [unique("jwt") for _ in range(count)]
    return (await signed_in(api, name, dict.fromkeys(jwts, api.person(name).email)))[0], jwts


async def test_a_read_with_a_token_of_another_service_is_one_statement_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = await made(api)
    alice, jwts = await with_jwts(api, "alice", 1 + len(paths))
    alice.bring(jwts.pop())
    answered(await alice.get("/servers"), 200)
    for path, jwt in zip(paths, jwts, strict=True):
        wanted = answered(await alice.get(path), 200)
        alice.bring(jwt)
        with counted(monkeypatch) as sent:
            assert answered(await alice.get(path), 200) == wanted
        assert len(sent) == 1, (path, sent)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("UPDATE person SET released_at = now() WHERE id = :person", 200),
        ("UPDATE person SET email = 'x' || email WHERE id = :person", 403),
        ("UPDATE person SET issuer = 'another', email = 'x' || email WHERE id = :person", 200),
        ("UPDATE person SET seen_at = now() - interval '2 minutes' WHERE id = :person", 200),
        ("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, 'gone')", 200),
        (
            """INSERT INTO session (token_hash, person, admin, orgs, expires_at)
               SELECT :token, :person, false, ARRAY[]::text[], now() + interval '1 hour'""",
            401,
        ),
        (
            """INSERT INTO session (token_hash, person, admin, orgs, expires_at, id_token_hash)
               SELECT :token, :person, true, ARRAY[]::text[], now() + interval '1 hour', :token""",
            200,
        ),
    ],
    ids=["released", "renamed", "another", "not seen", "organisations", "signed out", "an admin's session"],
)
async def test_whom_a_token_of_another_service_names_is_looked_at_by_each_read(
    api: Api, change: str, status: int
) -> None:
    others = await api.bob.server()
    for path in ("/servers", f"/servers/{others['_id']}", "/whoami"):
        person = await api.bench.join("leaver")
        await api.person("leaver").server()
        leaver, (first, second) = await with_jwts(api, "leaver", 2)
        leaver.bring(first)
        for _ in range(2):
            answered(await leaver.get("/servers"), 200)
        given = {"person": person.id} | ({"token": digest(second)} if ":token" in change else {})
        await row(change, **given)
        leaver.bring(second)
        known = await leaver.get(path)
        leaver.forget()
        unknown = await leaver.get(path)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content), path
        if path == "/servers":
            assert known.status_code == status, known.text


# They follow, carry files, count what this process has, or ask others.
_NOT_HOT = {"followEvents", "followOperation", "getServerLog", "readFile", "listFiles", "getUpload"}


def test_what_reads_depends_on_one_thing_alone(api: Api) -> None:
    several = {
        handler.operation_id
        for _, handler in handlers_of(api.app)
        if "GET" in handler.http_methods
        and sum(name in handler.resolve_dependencies() for name in handler.signature_model._fields) > 1
    }
    assert several == _NOT_HOT


async def readable(api: Api) -> list[str]:
    """Whatever alice can ask for that is not open to all: each route once at least."""
    paths = await made(api)
    of_kind = {path.split("/")[1]: path for path in paths if path.count("/") == 2 and "?" not in path}
    for kind in ("datasets", "modules", "secret"):
        paths += [f"{of_kind[kind]}/access", f"{of_kind[kind]}/access/explain?email=bob@example.org"]
    paths += [f"{of_kind['groups']}/members", f"{of_kind['operations']}/results", f"{of_kind['operations']}/events"]
    paths += [
        f"{of_kind['servers']}/log",
        "/servers/shares",
        "/me",
        "/orgs",
        *WITHOUT_A_STATEMENT,
        "/whoami/jupyterhub",
    ]
    # What there is none of is asked for as well.
    paths += ["/volume/file?root=notebooks&path=x", "/volume/files?root=datasets", f"/volume/uploads/{NOBODY}"]
    asked = {path.partition("?")[0].strip("/") for path in paths}
    for route, handler in handlers_of(api.app):
        if "GET" in handler.http_methods and policy_of(handler) is not Policy.PUBLIC and route != _ENDLESS:
            pattern = re.compile(re.sub(r"\{[^}]*\}", "[0-9a-f-]{36}", route.strip("/")))
            assert any(pattern.fullmatch(one) for one in asked), f"{route} is not asked for here"
    return paths


_ENDLESS = "/events"
"""It ends with the session, and is asked for by a test of that."""
WITHOUT_A_STATEMENT = (
    *("/authenticated", "/whoami", "/volume/lua", "/volume/hardware", "/volume/files?root=notebooks"),
    # To who is no admin.
    *("/audit", "/audit/seals"),
    *("/servers?limit=0", "/servers?nonsense=1", "/servers/nonsense"),
)
"""What is answered, or refused, without one."""


async def test_whose_session_is_known_is_answered_as_anybody_else(api: Api) -> None:
    alice, _ = await signed_in(api, "alice")
    for path in await readable(api):
        alice.forget()
        unknown, known = await alice.get(path), await alice.get(path)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content), path
        assert known.status_code != 500, path


@pytest.mark.parametrize(
    ("change", "all_routes"),
    [
        ("UPDATE session SET id_token_hash = NULL WHERE token_hash = :token", True),
        ("UPDATE session SET expires_at = now() - interval '1 s' WHERE token_hash = :token", False),
        ("DELETE FROM session WHERE token_hash = :token", False),
        ("UPDATE person p SET released_at = now() FROM session s WHERE token_hash = :token AND s.person = p.id", False),
    ],
    ids=["signed out", "expired", "removed", "released"],
)
async def test_who_has_signed_out_reads_nothing_more(api: Api, change: str, all_routes: bool) -> None:
    leaver = await api.bench.join("leaver")
    paths = await readable(api) if all_routes else ["/servers", "/whoami", "/servers?limit=0"]
    alice, token = await signed_in(api, "leaver")
    for path in [*paths, f"/servers?owner={api.bob.email}"]:
        assert (await alice.get(path)).status_code != 401
        await row(change, token=digest(token))
        known = await alice.get(path)
        # Once more as somebody of whom nothing is known.
        alice.forget()
        unknown = await alice.get(path)
        assert known.status_code == 401, (path, known.text)
        assert (known.json(), known.headers["www-authenticate"]) == (unknown.json(), "Bearer")
        await row("UPDATE person SET released_at = NULL WHERE id = :id", id=leaver.id)
        token = await alice.sign_in()


async def test_a_read_while_the_database_is_away_is_refused_once_it_was_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await signed_in(api, "alice")
    asked = []

    async def away(statement: str, *_: object) -> None:
        asked.append(statement)
        raise TimeoutError

    for path in (*WITHOUT_A_STATEMENT, "/servers", f"/servers/{NOBODY}", f"/datasets/{NOBODY}/access"):
        answered(await alice.get("/servers"), 200)
        with monkeypatch.context() as patched:
            patched.setattr(transactions, "fetch", away)
            answer = await alice.get(path)
        assert answered(answer, 503)["error"]["code"] == "DATABASE_UNAVAILABLE", path
        assert answer.headers["retry-after"]
        assert len(asked) == 1, (path, asked)
        asked.clear()


async def test_who_has_become_an_admin_or_another_reads_as_that_at_once(api: Api) -> None:
    server = await api.bob.server()
    alice, token = await signed_in(api, "alice")
    path = f"/servers/{server['_id']}"
    assert (await alice.get(path)).status_code == 404
    await row("UPDATE session SET admin = true WHERE token_hash = :token", token=digest(token))
    assert (await alice.get(path)).json() == server
    await row("UPDATE session SET admin = false WHERE token_hash = :token", token=digest(token))
    assert (await alice.get(path)).status_code == 404
    bob = api.bench.callers["bob"]
    await row("UPDATE session SET person = :bob WHERE token_hash = :token", token=digest(token), bob=bob.id)
    assert (await alice.get(path)).json() == server


async def _followed(client: Client, path: str, events: OperationEvents) -> asyncio.Task[httpx.Response]:
    """A stream that is open; it is told of once it has ended."""
    before = len(events.streams)
    following = asyncio.create_task(client.get(path))
    while len(events.streams) == before or not events._watchers:
        await asyncio.sleep(0.01)
    return following


@pytest.mark.parametrize("token_of", ["a session", "a session that is known", "another service"])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_stream_ends_with_a_logout_before_it_tells_anything_more(api: Api, token_of: str, ends: bool) -> None:
    server = await api.alice.server()
    answered(await api.alice.put(f"/servers/{server['_id']}/start"), 202)
    (operation, *_) = await api.alice.got("/operations", subject=server["_id"], status="queued")
    path = f"/operations/{operation['_id']}/events"
    jwt = unique("jwt")
    alice, token = await signed_in(api, "alice", {jwt: api.alice.email})
    if token_of == "another service":
        alice.bring(token := jwt)
        await row(
            "UPDATE person SET issuer = :issuer, subject = email WHERE email = :email",
            issuer=api.bench.settings.oidc_issuer,
            email=api.alice.email,
        )
    if token_of == "a session that is known":
        answered(await alice.get("/servers"), 200)
    async with asyncio.timeout(30):
        following = await _followed(alice, path, api.bench.services.operation_events)
        if ends:
            await row(
                """INSERT INTO session (token_hash, person, admin, orgs, expires_at)
                   VALUES (:token, :person, false, ARRAY['org'], now())
                   ON CONFLICT (token_hash) DO UPDATE SET id_token_hash = NULL""",
                token=digest(token),
                person=api.alice.caller.id,
            )
        await operations.step(UUID(operation["_id"]), "told afterwards", OperationStatus.RUNNING)
        if not ends:
            await end(UUID(operation["_id"]), OperationStatus.SUCCEEDED)
        answer = await following
    assert ("told afterwards" in answer.text, "event: expired" in answer.text) == (not ends, ends)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ends", [True, False])
async def test_following_everything_ends_with_a_logout_before_it_tells_anything_more(
    api: Api, monkeypatch: pytest.MonkeyPatch, known: bool, ends: bool
) -> None:
    alice, token = await signed_in(api, "alice")
    if known:
        answered(await alice.get("/servers"), 200)
    events, looks, read = api.bench.services.operation_events, list[Told](), following.read

    async def noted(*given: Any) -> Told:
        looks.append(await read(*given))
        return looks[-1]

    async def looked(server: Json | None) -> None:
        """Once the stream has begun, or has read of a server."""
        while not any(
            look.gap if server is None else server["_id"] in {str(one.subject) for one in look.events} for look in looks
        ):
            await asyncio.sleep(0.01)

    monkeypatch.setattr(following, "read", noted)
    async with asyncio.timeout(30):
        stream = asyncio.create_task(alice.get("/events"))
        await looked(None)
        before = await api.alice.server()
        await looked(before)
        if ends:
            await row("UPDATE session SET id_token_hash = NULL WHERE token_hash = :token", token=digest(token))
        after = await api.alice.server()
        if not ends:
            await looked(after)
            events.close()
        answer = await stream
    assert before["_id"] in answer.text
    assert (after["_id"] in answer.text, "event: expired" in answer.text) == (not ends, ends)
    assert not len(events.streams)


async def test_each_look_of_a_stream_is_one_statement(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    events, server = api.bench.services.operation_events, await api.alice.server()
    messages = follow(api.alice.caller, events)
    try:
        first = await anext(messages)
        assert first.event == "reset"
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.5)
        with counted(monkeypatch) as sent:
            await asyncio.sleep(0.5)
            await api.bob.server()
            # Nobody looks because of what concerns others alone.
            assert not [one for one in sent if "all_known" in one]
            answered(await api.alice.put(f"/servers/{server['_id']}/start"), 202)
            await waiting
            assert len([one for one in sent if "all_known" in one]) == 1, sent
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await messages.aclose()
