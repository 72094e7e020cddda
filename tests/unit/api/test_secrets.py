"""Secrets over the API, where there is no Vault: what is recorded without a value, and that no answer tells one."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable
from typing import cast
from uuid import UUID

import httpx
import msgspec
import pytest
import structlog

from api.secret_body import SecretCreate, SecretUpdate
from integrations.vault import Vault
from models.database.sql import row
from models.domain.values import Subject
from models.records.secrets import SecretType
from tests.unit.api.bench import NOBODY, Api, Bench, Client, Json, problems, unique

CANARY = "canary-2f7c91"
JSON_TYPE = {"content-type": "application/json"}
TYPES = ("env_var", "raw", "file")


def path_of(secret: Json) -> str:
    return f"/secret/{secret['_id']}"


async def sent(api: Api, method: str, path: str, body: object) -> httpx.Response:
    """Also a lone surrogate is sent: escaped, as JSON can."""
    return await api.alice.request(method, path, content=json.dumps(body), headers=JSON_TYPE)


async def recorded(api: Api, who: str = "alice") -> dict[str, int]:
    """How much there is of somebody's doing."""
    person = api.person(who).caller.id
    found = await row(
        """SELECT (SELECT count(*) FROM secret WHERE owner = :person) AS secrets,
                  (SELECT count(*) FROM operation WHERE actor = :person) AS operations,
                  (SELECT count(*) FROM audit WHERE actor = :person) AS audit,
                  (SELECT count(*) FROM idempotency WHERE person = :person) AS answers""",
        person=person,
    )
    assert found is not None
    return dict(found)


NOTHING = {"secrets": 0, "operations": 0, "audit": 0, "answers": 0}


def tells_nothing(answer: httpx.Response) -> None:
    assert CANARY not in answer.text
    assert CANARY not in str(answer.headers)


@pytest.mark.parametrize("type", TYPES)
async def test_a_secret_without_a_value_is_made_with_every_field(api: Api, type: str) -> None:
    name = unique("S_")
    body = {"secretName": name, "type": type, "description": "of\n\tmice", "owner": api.alice.email}
    answer = await api.alice.post("/secrets", json=body)
    made = answer.json()
    assert answer.status_code == 200, answer.text
    # A variable has no place in the file system.
    place = {"mount_path": f"/opt/secret/{made['_id']}"}
    assert made == {
        "_id": made["_id"],
        "secretName": name,
        "type": type,
        "description": "of\n\tmice",
        "engine": "secret",
        "secret_path": f"secrets/{made['_id']}",
        "owner": api.alice.email,
        "write_access": True,
        **place,
    }
    read = await api.alice.get(path_of(made))
    assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
    assert await api.alice.got("/secrets") == [made]
    assert await api.bob.got("/secrets") == []
    assert (await api.bob.get(path_of(made))).status_code == 404
    (operation,) = await api.alice.got("/operations", subject=made["_id"])
    assert (operation["kind"], operation["subject_kind"]) == ("secret.create", "secret")
    assert operation["status"] == "succeeded"
    assert operation["ended_at"]
    assert api.bench.wakes.subjects == []


async def test_what_is_null_counts_as_absent_and_is_not_answered(api: Api) -> None:
    made = await api.alice.secret(description=None, owner=None)
    assert ("description" in made, made["owner"]) == (False, api.alice.email)
    assert None not in made.values()
    variable = await api.alice.secret(type="env_var", secretName="A", mount_path="/run/secrets/a")
    assert variable["mount_path"] == "/run/secrets/a"


async def test_the_engine_is_the_configured_one(bench: Bench) -> None:
    api = bench.api(vault_engine="kv-2")
    assert (await api.alice.secret())["engine"] == "kv-2"


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("env_var", CANARY),
        ("raw", f"  {CANARY}\n"),
        ("file", CANARY),
        ("file", {f"{number:02} \u00e9": CANARY for number in range(32)}),
        ("file", {".hidden": CANARY, "\u00e4" * 127: CANARY}),
        ("env_var", "\u00e9" * 32_768),
        ("raw", "x" * 262_144),
        ("file", {"a": "\u00e9" * 65_536, "b": "x" * 131_072}),
    ],
    ids=lambda given: ascii(given)[:40],
)
async def test_without_vault_a_value_is_refused_and_nothing_recorded(api: Api, type: str, value: object) -> None:
    body = {"secretName": "A", "type": type, "value": value}
    key = {"idempotency-key": unique("k")}
    answer = await api.alice.post("/secrets", json=body, headers=key)
    tells_nothing(answer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "VAULT_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert await api.alice.got("/secrets") == []
    assert await api.alice.got("/operations") == []
    assert await recorded(api) == NOTHING
    # What failed is not remembered as the answer of the key.
    del body["value"]
    made = (await api.alice.post("/secrets", json=body, headers=key)).json()
    before, etag = await recorded(api), (await api.alice.get(path_of(made))).headers["etag"]
    change = {"description": "changed", "value": value}
    answer = await api.alice.patch(path_of(made), json=change)
    tells_nothing(answer)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    again = await api.alice.get(path_of(made))
    assert (again.json(), again.headers["etag"]) == (made, etag)
    assert await recorded(api) == before


NO_TEXTS: list[tuple[object, set[str]]] = [
    (None, {"/value"}),
    ("", {"/value"}),
    (7, {"/value"}),
    (True, {"/value"}),
    ([CANARY], {"/value"}),
    ({}, {"/value"}),
    (f"{CANARY}\0", {"/value"}),
    (f"{CANARY}\ud800", {"/value"}),
    (CANARY.ljust(262_145, "x"), {"/value"}),
    ("\u00e9" * 131_073, {"/value"}),
]
NO_VALUES: dict[str, list[tuple[object, set[str]]]] = {
    "env_var": [
        *NO_TEXTS,
        ({"a": CANARY}, {"/value"}),
        (CANARY.ljust(65_537, "x"), {"/value"}),
        ("\u00e9" * 32_769, {"/value"}),
    ],
    "raw": [*NO_TEXTS, ({"a": CANARY}, {"/value"})],
    "file": [
        *NO_TEXTS,
        *(({"a": value}, {"/value/a"}) for value in ("", None, 7, [CANARY], {"b": CANARY}, CANARY.ljust(262_145, "x"))),
        ({"a": f"{CANARY}\0", "b": f"{CANARY}\udfff"}, {"/value/a", "/value/b"}),
        ({"a": CANARY.ljust(131_072, "x"), "b": CANARY.ljust(131_073, "x")}, {"/value"}),
        ({f"f{number}": CANARY for number in range(33)}, {"/value"}),
        *(({name: CANARY}, {f"/value/{name}"}) for name in ("", ".", "..")),
        ({"a/b": CANARY, "ok": CANARY, "../x": CANARY}, {"/value/a/b", "/value/../x"}),
        ({"a\nb": CANARY}, {"/value/a\\nb"}),
        ({"a\0b": CANARY}, {"/value/a\\x00b"}),
        ({"a\ud800": CANARY}, {"/value/a\\ud800"}),
        ({"\u00e4" * 128: CANARY}, {f"/value/{chr(0xE4) * 64}\u2026"}),
    ],
}


@pytest.mark.parametrize("type", TYPES)
async def test_a_value_that_cannot_be_is_refused_and_not_told(api: Api, type: str) -> None:
    with structlog.testing.capture_logs() as logged:
        for value, paths in NO_VALUES[type]:
            answer = await sent(api, "POST", "/secrets", {"secretName": "A", "type": type, "value": value})
            assert problems(answer) == paths, ascii(value)[:80]
            tells_nothing(answer)
        assert await recorded(api) == NOTHING
        made = await api.alice.secret(secretName="A", type=type)
        for value, paths in NO_VALUES[type]:
            answer = await sent(api, "PATCH", path_of(made), {"description": "changed", "value": value})
            assert problems(answer) == paths, ascii(value)[:80]
            tells_nothing(answer)
    number = len(NO_VALUES[type])
    assert [one["status"] for one in logged if one["event"] == "request"] == [422] * number + [200] + [422] * number
    assert CANARY not in repr(logged)
    assert await api.alice.got("/secrets") == [made]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"secretName": "LD_PRELOAD"}, {"/secretName"}),
        ({"secretName": None}, {"/secretName"}),
        ({"type": "token"}, {"/type"}),
        ({"mount_path": "/etc/passwd"}, {"/mount_path"}),
        ({"description": "a\0"}, {"/description"}),
        ({"owner": "no@one.org"}, {"/owner"}),
        ({"owner": 7}, {"/owner"}),
        ({"password": CANARY}, {"/password"}),
        ({"secretName": "a-b", "mount_path": "x", "value": {"a": CANARY}}, {"/secretName", "/mount_path", "/value"}),
    ],
)
async def test_a_value_beside_something_wrong_is_not_told(api: Api, change: Json, paths: set[str]) -> None:
    body = {"secretName": "A", "type": "env_var", "value": CANARY, **change}
    answer = await api.alice.post("/secrets", json=body)
    assert problems(answer) == paths
    tells_nothing(answer)
    assert await recorded(api) == NOTHING


WHOLE = f'{{"secretName": "A", "type": "raw", "value": "{CANARY}"}}'


@pytest.mark.parametrize(
    ("text", "headers", "status"),
    [
        (WHOLE[:-1], {}, 400),
        (WHOLE.replace(f'"{CANARY}"', CANARY), {}, 400),
        (WHOLE.replace("}", f', "value": "{CANARY}"}}'), {}, 422),
        (f'["{CANARY}"]', {}, 422),
        (f'"{CANARY}"', {}, 422),
        (WHOLE, {"content-type": "text/plain"}, 415),
        (WHOLE, {"content-encoding": "gzip"}, 415),
        (WHOLE.replace("}", f', "description": "{"x" * 2000}"}}'), {}, 413),
        (WHOLE, {"idempotency-key": "a b"}, 422),
        (WHOLE, {}, 401),
    ],
    ids=lambda given: ascii(given)[:60],
)
async def test_a_body_that_is_not_read_is_not_told(
    bench: Bench, text: str, headers: dict[str, str], status: int
) -> None:
    api = bench.api(max_body_bytes=1024)
    made = await api.alice.secret()
    who = api.nobody if status == 401 else api.alice
    with structlog.testing.capture_logs() as logged:
        for method, path in (("POST", "/secrets"), ("PATCH", path_of(made))):
            answer = await who.request(method, path, content=text, headers=JSON_TYPE | headers)
            assert answer.status_code == status, answer.text
            tells_nothing(answer)
    assert [one["status"] for one in logged if one["event"] == "request"] == [status] * 2
    assert CANARY not in repr(logged)
    assert await api.alice.got("/secrets") == [made]


async def test_a_value_is_not_told_to_who_may_not_write_it(api: Api) -> None:
    made = await api.alice.secret()
    path, change, bob = path_of(made), {"value": CANARY}, {"userArray": api.bob.email}

    async def refused(who: str, at: str = path, **headers: str) -> int:
        answer = await api.person(who).patch(at, json=change, headers=headers)
        tells_nothing(answer)
        return answer.status_code

    assert await refused("bob") == 404
    assert await refused("alice", f"/secret/{NOBODY}") == 404
    await api.alice.made(f"{path}/share", relation="read", **bob)
    assert await refused("bob") == 403
    await api.alice.made(f"{path}/share", relation="write", **bob)
    assert await refused("bob", **{"if-match": '"999"'}) == 412
    assert await refused("bob") == 503
    answer = await api.alice.post("/secrets", params={"value": CANARY}, json={"secretName": "A"})
    assert problems(answer) == {"value", "/type"}
    tells_nothing(answer)


def test_a_body_does_not_show_its_value() -> None:
    """Whatever logs or raises with it in its hands."""
    for value in (CANARY, {"a": CANARY}):
        made = SecretCreate(name="A", type=SecretType.FILE, description="d", value=value)
        assert CANARY not in f"{made!r} {made!s} {[made]}"
        changed = SecretUpdate(name="A", value=value)
        assert CANARY not in f"{changed!r} {changed!s} {[changed]}"


async def test_what_is_missing_or_unknown_is_named_at_once(api: Api) -> None:
    assert problems(await api.alice.post("/secrets", json={})) == {"/secretName", "/type"}
    nulls = {"secretName": None, "type": None, "mount_path": None, "value": None}
    refused = {"/secretName", "/type", "/mount_path", "/value"}
    assert problems(await api.alice.post("/secrets", json=nulls)) == refused
    answered = {"_id": NOBODY, "engine": "e", "secret_path": "p", "version": 1, "write_access": True, "name": "A"}
    body = {"secretName": "A", "type": "raw", **answered}
    assert problems(await api.alice.post("/secrets", json=body)) == {f"/{field}" for field in answered}
    path = path_of(await api.alice.secret())
    nulls = dict.fromkeys(("secretName", "mount_path", "value"))
    assert problems(await api.alice.patch(path, json=nulls)) == {f"/{field}" for field in nulls}
    fixed = answered | {"type": "raw", "owner": api.alice.email}
    assert problems(await api.alice.patch(path, json=fixed)) == {f"/{field}" for field in fixed}


@pytest.mark.parametrize("type", ["", "ENV_VAR", "token", 7, ["raw"]], ids=ascii)
async def test_a_type_that_is_none_is_refused(api: Api, type: object) -> None:
    assert problems(await api.alice.post("/secrets", json={"secretName": "A", "type": type})) == {"/type"}


async def test_only_an_admin_makes_a_secret_for_somebody_else(api: Api) -> None:
    body = {"secretName": "A", "type": "raw", "owner": api.bob.email}
    assert problems(await api.alice.post("/secrets", json=body)) == {"/owner"}
    made = await api.admin.secret(owner=api.bob.email)
    assert (made["owner"], await api.bob.got("/secrets")) == (api.bob.email, [made])
    assert problems(await api.admin.post("/secrets", json=body | {"owner": "no@one.org"})) == {"/owner"}


NO_NAMES: list[object] = ["", " ", "A\0", "A\nB", "A\x1b", "A\u202eB", "A\ud800", "x" * 129, 7, None, ["A"]]
OBEYED = [
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "OPENSSL_CONF", "PATH", "HOME", "IFS", "ENV", "BASH_ENV", "PS1"),
    *("PROMPT_COMMAND", "PYTHONPATH", "PYTHONSTARTUP", "SSL_CERT_FILE", "NODE_OPTIONS", "LUA_PATH", "LMOD_CMD"),
    *("MODULEPATH", "JUPYTER_PATH", "JUPYTERHUB_API_TOKEN", "NBHUB_A"),
]


NO_VARIABLES = ["1x", "a-b", "a b", "a.b", "a/b", "a=b", "$A", "A()", "BASH_FUNC_a%%", "\u00e9", *OBEYED]
NO_FILES = ["a/b", "/", "/a", "a/", ".", "..", "../x", "\u00e4" * 128]


@pytest.mark.parametrize(("type", "names"), [("env_var", NO_VARIABLES), ("file", NO_FILES), ("raw", [])])
async def test_a_name_that_can_be_no_variable_or_file_is_refused(api: Api, type: str, names: list[object]) -> None:
    made = await api.alice.secret(secretName="A", type=type)
    for name in NO_NAMES + names:
        answer = await sent(api, "POST", "/secrets", {"secretName": name, "type": type})
        assert problems(answer) == {"/secretName"}, ascii(name)
        answer = await sent(api, "PATCH", path_of(made), {"secretName": name})
        assert problems(answer) == {"/secretName"}, ascii(name)
    assert await api.alice.got("/secrets") == [made]


@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("env_var", "_x1"),
        ("env_var", "A" * 128),
        *[("env_var", name) for name in ("MY_PATH", "USERNAME", "USER_ID", "LD_SDK_KEY", "PYTHON_ROOT", "HTTPS_PROXY")],
        ("raw", "../a b/%\u00e9"),
        ("raw", "LD_PRELOAD"),
        ("file", ".netrc"),
        ("file", "..a"),
        ("file", "a b \u4e2d"),
        ("file", "\u00e4" * 127),
    ],
    ids=ascii,
)
async def test_a_name_may_be_all_else(api: Api, type: str, name: str) -> None:
    first, second = (
        await api.alice.secret(secretName=name, type=type),
        await api.alice.secret(secretName=name, type=type),
    )
    assert [first["secretName"], second["secretName"]] == [name] * 2
    third = await api.alice.secret(secretName="A", type=type)
    answer = await api.alice.patch(path_of(third), json={"secretName": f" {name} "})
    assert (answer.status_code, answer.json()) == (200, third | {"secretName": name})


NO_PLACES: list[object] = [
    *("", " ", "a", "opt/secret/a", "./a", "~/a", "/", "/opt", "/opt/secret", "/run/secrets", "/opt/secret/"),
    *("/opt/secret/a/", "/opt/secret//a", "//opt/secret/a", "/opt//secret/a", "/opt/secret/./a", "/opt/secret/."),
    *("/opt/secret/..", "/opt/secret/../a", "/opt/secret/a/../../../etc", "/opt/secret/a/..", "/opt/secrets/a"),
    *("/opt/secret.d/a", "/run/a", "/var/run/secrets/a", "/etc/passwd", "/usr/lib/a", "/proc/self/environ", "/dev/shm"),
    *("/home/a", "/tmp/a", "/opt/secret/a b", "/opt/secret/a:b", "/opt/secret/a,b", "/opt/secret/$HOME"),
    *("/opt/secret/a\\b", "/opt/secret/\u00e9", "/opt/secret/a\0", "/opt/secret/a\n", " /opt/secret/a"),
    *("/opt/secret/a\ud800", f"/opt/secret/{'a' * 256}", "/opt/secret" + "/aa" * 167 + "/", 7, None, ["/opt/secret/a"]),
]


@pytest.mark.parametrize("type", TYPES)
async def test_a_place_that_is_not_for_secrets_is_refused(api: Api, type: str) -> None:
    made = await api.alice.secret(secretName="A", type=type, mount_path="/opt/secret/a")
    for place in NO_PLACES:
        answer = await sent(api, "POST", "/secrets", {"secretName": "A", "type": type, "mount_path": place})
        assert problems(answer) == {"/mount_path"}, ascii(place)
        answer = await sent(api, "PATCH", path_of(made), {"mount_path": place})
        assert problems(answer) == {"/mount_path"}, ascii(place)
    assert await api.alice.got("/secrets") == [made]


@pytest.mark.parametrize(
    "place",
    [
        "/opt/secret/a",
        "/run/secrets/a/b.c/_d@e+f-g",
        "/opt/secret/..a/...",
        f"/opt/secret/{'a' * 255}",
        "/opt/secret" + "/aa" * 167,
    ],
    ids=lambda place: place[:40],
)
async def test_a_place_may_be_any_other_path(api: Api, place: str) -> None:
    assert (await api.alice.secret(mount_path=place))["mount_path"] == place
    made = await api.alice.secret()
    answer = await api.alice.patch(path_of(made), json={"mount_path": place})
    assert (answer.status_code, answer.json()) == (200, made | {"mount_path": place})


async def test_where_secrets_may_be_is_a_setting(bench: Bench) -> None:
    api = bench.api(secret_mount_prefixes=("/srv/keys/",))
    assert (await api.alice.secret(mount_path="/srv/keys/a"))["mount_path"] == "/srv/keys/a"
    for place in ("/opt/secret/a", "/srv/keys", "/srv/keysa"):
        body = {"secretName": "A", "type": "raw", "mount_path": place}
        assert problems(await api.alice.post("/secrets", json=body)) == {"/mount_path"}


async def test_a_repeated_request_is_answered_as_the_first_was(api: Api) -> None:
    key, body = {"idempotency-key": unique("k")}, {"secretName": "A", "type": "raw"}
    first, again = [await api.alice.post("/secrets", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert await recorded(api) == {"secrets": 1, "operations": 1, "audit": 1, "answers": 1}


async def test_lists_are_narrowed_by_owner_type_and_name(api: Api) -> None:
    alpha = await api.alice.secret(secretName="ALPHA_key", type="env_var")
    beta = await api.alice.secret(secretName="Beta Key", type="file")
    gamma = await api.alice.secret(secretName="50%_off\\", type="raw")
    hers = await api.bob.secret(secretName="alpha key", type="raw")
    await api.bob.made(f"{path_of(hers)}/share", relation="read", userArray=api.alice.email)
    hers["write_access"] = False
    hidden = await api.bob.secret(secretName="alpha key", type="raw")

    async def listed(who: str = "alice", **query: str) -> list[Json]:
        found: list[Json] = await api.person(who).got("/secrets", **query)
        return found

    assert await listed() == [hers, gamma, beta, alpha]
    assert await listed(name="KEY") == [hers, beta, alpha]
    assert await listed(name="lpha") == [hers, alpha]
    assert await listed(name="") == [hers, gamma, beta, alpha]
    for part in ("%", "_off", "\\"):
        assert await listed(name=part) == [gamma]
    for part in ("k_y", "a%y", "'", "x" * 128):
        assert await listed(name=part) == []
    assert await listed(type="raw") == [hers, gamma]
    assert await listed(type="raw", name="alpha") == [hers]
    assert await listed(type="RAW") == await listed(type="token") == []
    of_alice = {"owner": api.alice.email.upper()}
    for who in ("alice", "admin"):
        assert await listed(who, **of_alice, name="key") == [beta, alpha]
        assert await listed(who, **of_alice, type="env_var", name="key") == [alpha]
    assert await listed("admin", owner=api.bob.email, name="alpha") == [
        hidden,
        hers | {"write_access": True},
    ]
    assert await listed("admin", name="alpha") == []
    assert await listed("admin", owner="no@one.org") == []
    assert (await api.bob.get("/secrets", params=of_alice)).status_code == 403
    for query in ({"name": "x" * 129}, {"owner": "x" * 321}, {"secretName": "A"}):
        assert problems(await api.alice.get("/secrets", params=query)) == set(query)


async def test_a_part_of_a_name_is_found_in_any_case_of_any_script(api: Api) -> None:
    made = await api.alice.secret(secretName="Schl\u00fcssel \u00c4\u0416")
    for part in ("SCHL\u00dcSS", "\u00e4\u0436", "schl\u00fc"):
        assert await api.alice.got("/secrets", name=part) == [made], part


async def test_a_narrowed_list_is_of_full_pages_whatever_one_may_use_it_by(api: Api) -> None:
    org, bob = unique("org"), api.bob.caller
    api.bench.callers["bob"] = msgspec.structs.replace(bob, orgs=(org,))
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)", person=bob.id, org=org
    )
    group = await api.alice.group()
    await api.alice.post(f"/groups/{group['_id']}/members", params={"memberEmail": bob.email})
    ways = ({"userArray": bob.email}, {"groupArray": group["_id"]}, {"orgArray": org})
    wanted: list[str] = []
    both = {"relation": "read", **ways[0], **ways[1], **ways[2]}
    for number in range(5):
        matching = await api.alice.secret(secretName=f"KEY_{number}", type="env_var")
        wanted.insert(0, matching["_id"])
        for name, type in (("key", "file"), ("OTHER", "env_var"), ("key", "raw")):
            await api.alice.made(f"{path_of(await api.alice.secret(secretName=name, type=type))}/share", **both)
        for relation in ("read", "write"):
            named = ways[number % 3] if number else both
            await api.alice.made(f"{path_of(matching)}/share", **(named | {"relation": relation}))
    own = await api.bob.secret(secretName="a_key", type="env_var")
    wanted.insert(0, own["_id"])
    pages = await api.bob.pages("/secrets?type=env_var&name=Key&limit=2")
    assert pages == [wanted[:2], wanted[2:4], wanted[4:]]
    of_alice = f"/secrets?owner={api.alice.email}&type=env_var&name=Key&limit=2"
    assert await api.alice.pages(of_alice) == [wanted[1:3], wanted[3:5], wanted[5:]]
    # A cursor goes on in its own list alone.
    query = {"type": "env_var", "name": "Key", "limit": "2"}
    cursor = (await api.bob.get("/secrets", params=query)).links["next"]["url"].partition("cursor=")[2]
    for other in (query | {"name": "OTHER"}, query | {"type": "file"}, {"limit": "2"}):
        assert problems(await api.bob.get("/secrets", params=other | {"cursor": cursor})) == {"cursor"}


@pytest.mark.parametrize(
    "change",
    [
        {"secretName": "NEW"},
        {"description": "new"},
        {"mount_path": "/run/secrets/new"},
        {"secretName": "NEW", "description": "newer", "mount_path": "/opt/secret/new"},
    ],
    ids=str,
)
async def test_what_is_known_of_a_secret_is_changed_at_once(api: Api, change: Json) -> None:
    made = await api.alice.secret(description="old")
    wakes = list(api.bench.wakes.subjects)
    await api.alice.made(f"{path_of(made)}/share", relation="write", userArray=api.bob.email)
    answer = await api.bob.patch(path_of(made), json=change)
    assert (answer.status_code, answer.json()) == (200, made | change)
    read = await api.alice.get(path_of(made))
    assert (read.json(), read.headers["etag"]) == (made | change, answer.headers["etag"])
    assert api.bench.wakes.subjects == [*wakes, Subject.access_of("secret", UUID(made["_id"]))]
    found = await row(
        "SELECT actor, detail FROM audit WHERE subject = :subject AND action = 'secret.update'",
        subject=UUID(made["_id"]),
    )
    assert found is not None
    names = {"secretName": "name"}
    fields = sorted(names.get(field, field) for field in change)
    assert (found["actor"], json.loads(found["detail"])) == (api.bob.caller.id, {"fields": fields})


async def test_a_change_of_nothing_changes_nothing(api: Api) -> None:
    made = await api.alice.secret()
    etag, before = (await api.alice.get(path_of(made))).headers["etag"], await recorded(api)
    answer = await api.alice.patch(path_of(made), json={})
    assert (answer.status_code, answer.json(), answer.headers["etag"]) == (200, made, etag)
    assert await recorded(api) == before


async def test_a_stale_change_is_refused(api: Api) -> None:
    made = await api.alice.secret()
    old = {"if-match": (await api.alice.get(path_of(made))).headers["etag"]}
    assert (await api.alice.patch(path_of(made), json={"description": "x"}, headers=old)).status_code == 200
    for change in ({}, {"description": "y"}, {"value": CANARY}):
        assert (await api.alice.patch(path_of(made), json=change, headers=old)).status_code == 412
    assert (await api.alice.delete(path_of(made), headers=old)).status_code == 412
    assert await api.alice.got(path_of(made)) == made | {"description": "x"}


async def test_readers_writers_and_owners(api: Api) -> None:
    made = await api.alice.secret()
    path, bob = path_of(made), {"userArray": api.bob.email}
    assert await api.bob.statuses(path) == [404] * 5
    await api.alice.made(f"{path}/share", relation="read", **bob)
    assert await api.bob.statuses(path) == [200, 403, 403, 403, 403]
    assert (await api.bob.got(path))["write_access"] is False
    await api.alice.made(f"{path}/share", relation="write", **bob)
    assert await api.bob.statuses(path) == [200, 200, 200, 403, 403]
    assert (await api.bob.got(path))["write_access"] is True
    await api.alice.made(f"{path}/revoke", relation="read", **bob)
    assert await api.bob.statuses(path) == [404] * 5


async def test_a_deleted_secret_is_gone_for_good(api: Api) -> None:
    made = await api.alice.secret()
    path = path_of(made)
    await api.alice.made(f"{path}/share", relation="write", userArray=api.bob.email)
    answer = await api.alice.delete(path)
    assert answer.status_code == 202, answer.text
    operation = answer.json()
    assert (operation["kind"], operation["subject"], operation["status"]) == ("secret.delete", made["_id"], "queued")
    assert answer.headers["location"] == f"/operations/{operation['_id']}"
    assert api.bench.wakes.subjects[-1] == Subject("secret", UUID(made["_id"]))
    for who in ("alice", "bob", "admin"):
        assert await api.person(who).statuses(path) == [404] * 5
        assert await api.person(who).got("/secrets") == []
        assert (await api.person(who).post(f"{path}/restore")).status_code == 404
    other = await api.alice.secret()
    assert (await api.admin.delete(path_of(other))).status_code == 202


@pytest.mark.parametrize("spelling", ["/secret/share/{}", "/secret/{}/share"])
async def test_a_secret_is_shared_at_either_address(api: Api, spelling: str) -> None:
    made = await api.alice.secret()
    path, org, bob = path_of(made), unique("org"), api.bob.caller
    share = spelling.format(made["_id"])
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)", person=bob.id, org=org
    )
    group = await api.alice.group()
    named = {"userArray": [bob.email], "groupArray": group["name"], "orgArray": org}
    body = {"relation": "write", **named}
    assert (await api.bob.post(share, json=body)).status_code == 404
    shared = await api.alice.made(share, **body)
    assert (shared["kind"], shared["subject"]) == ("secret.share", made["_id"])
    assert api.bench.wakes.subjects[-1] == Subject.access_of("secret", UUID(made["_id"]))
    assert (await api.bob.post(share, json=body)).status_code == 403
    assert await api.bob.got(f"{path}/access") == [
        *sorted(
            (
                {"access": "owner", "entity": api.alice.email, "type": "user"},
                {"access": "write", "entity": bob.email, "type": "user", "granted_by": api.alice.email},
            ),
            key=lambda entry: entry["entity"],
        ),
        {
            **{"access": "write", "entity": group["name"], "type": "group", "_id": group["_id"]},
            "granted_by": api.alice.email,
        },
        {"access": "write", "entity": org, "type": "org", "granted_by": api.alice.email},
    ]
    assert [one["type"] for one in await api.bob.got(f"{path}/access", type="orgs")] == ["org"]
    explained = await api.bob.got(f"{path}/access/explain", email=bob.email)
    assert (explained["access"], [way["type"] for way in explained["via"]]) == ("write", ["user", "org"])
    assert problems(await api.alice.post(share, json={"relation": "read"})) == {"/userArray"}
    assert (await api.alice.made(f"{path}/revoke", relation="read", **named))["kind"] == "secret.revoke"
    assert await api.bob.statuses(path) == [404] * 5
    nobodys = spelling.format(NOBODY)
    assert (await api.alice.post(nobodys, json=body)).status_code == 404


class SlowVault:
    """Has as many threads as the real one, and takes as long as the test wants for some values."""

    def __init__(self) -> None:
        self.threads, self.go_on = asyncio.Semaphore(8), asyncio.Event()
        self.slow = self.most = 0

    async def put(self, identity: UUID, value: str, *, after: int) -> int:
        async with self.threads:
            if value == "slow":
                self.slow += 1
                self.most = max(self.most, self.slow)
                await self.go_on.wait()
                self.slow -= 1
        return after + 1


async def test_who_writes_many_values_keeps_nobody_else_waiting(bench: Bench) -> None:
    vault = SlowVault()
    services = dataclasses.replace(bench.services, vault=cast(Vault, vault))
    api = dataclasses.replace(bench, services=services).api()

    def write(who: Client, value: str) -> Awaitable[httpx.Response]:
        return who.post("/secrets", json={"secretName": unique("S_"), "type": "raw", "value": value})

    many = [asyncio.ensure_future(write(api.alice, "slow")) for _ in range(12)]
    # One after the other, so that all of hers that can be under way are.
    async with asyncio.timeout(30):
        for _ in range(12):
            answer = await write(api.bob, "quick")
            assert answer.status_code == 200, answer.text
    assert not any(one.done() for one in many)
    # What has no value waits for none, nor while others are recorded.
    async with asyncio.timeout(30), services.value_turns, services.value_turns:
        bare = await api.alice.post("/secrets", json={"secretName": unique("S_"), "type": "raw"})
        assert bare.status_code == 200, bare.text
        renamed = await api.alice.patch(f"/secret/{bare.json()['_id']}", json={"description": "without a value"})
        assert renamed.status_code == 200, renamed.text
    vault.go_on.set()
    assert {one.status_code for one in await asyncio.gather(*many)} == {200}
    assert vault.most == 2
