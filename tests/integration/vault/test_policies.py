"""What the real Vault lets the roles of API and worker do, asked by plain requests with their own tokens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from models.domain.ids import new_id
from models.domain.settings import Settings
from operating.checks import Checks
from operating.findings import State, taken
from stack.vault_setup import role_of
from tests.integration.vault.conftest import ENGINE, Operator
from tests.stacks import Stack

VALUE = "the-value-itself"
PLAIN: dict[str, str] = {}
WRAPPED = {"X-Vault-Wrap-TTL": "60s"}
# Vault's answer to what a policy does not allow, whether there is anything or not.
FORBIDDEN = 403


@pytest.fixture(scope="module")
async def requests_as(vault: Stack, outside: httpx.AsyncClient) -> AsyncIterator[Callable[[str], httpx.AsyncClient]]:
    """A plain client with a token of a role."""
    async with AsyncExitStack() as stack:
        clients = {}
        for process in ("api", "worker"):
            login = {"role_id": role_of(process), "secret_id": getattr(vault.secrets, f"vault_{process}_secret_id")}
            auth = (await outside.post("auth/approle/login", json=login)).json()["auth"]
            assert set(auth["token_policies"]) == {"default", role_of(process)}
            client = httpx.AsyncClient(
                base_url=f"{vault.info.vault}/v1/", headers={"X-Vault-Token": auth["client_token"]}, timeout=15
            )
            clients[process] = await stack.enter_async_context(client)
        yield clients.__getitem__


@pytest.fixture(scope="module")
def as_api(requests_as: Callable[[str], httpx.AsyncClient]) -> httpx.AsyncClient:
    return requests_as("api")


@pytest.fixture(scope="module")
def as_worker(requests_as: Callable[[str], httpx.AsyncClient]) -> httpx.AsyncClient:
    return requests_as("worker")


@pytest.fixture
async def path(operator: Operator) -> AsyncIterator[str]:
    """A secret that there is; its path beneath `data/` or `metadata/`."""
    path = f"secrets/{new_id()}"
    await operator.ask("POST", f"{ENGINE}/data/{path}", {"data": {"value": VALUE}})
    yield path
    await operator.ask("DELETE", f"{ENGINE}/metadata/{path}")


async def test_the_workers_plain_read_and_the_apis_read_are_refused(
    as_api: httpx.AsyncClient, as_worker: httpx.AsyncClient, outside: httpx.AsyncClient, path: str
) -> None:
    for client, headers in ((as_worker, PLAIN), (as_api, PLAIN), (as_api, WRAPPED)):
        for query in ("", "?version=1"):
            answer = await client.get(f"{ENGINE}/data/{path}{query}", headers=headers)
            assert answer.status_code == FORBIDDEN
            assert VALUE not in answer.text
    wrapped = await as_worker.get(f"{ENGINE}/data/{path}", headers=WRAPPED)
    assert wrapped.status_code == 200
    assert VALUE not in wrapped.text
    token = wrapped.json()["wrap_info"]["token"]
    opened = await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": token})
    assert opened.json()["data"]["data"] == {"value": VALUE}


async def test_the_api_writes(as_api: httpx.AsyncClient, path: str, operator: Operator) -> None:
    fresh = f"secrets/{new_id()}"
    for written, cas in ((fresh, 0), (fresh, 1), (path, 1)):
        body = {"data": {"value": "new"}, "options": {"cas": cas}}
        assert (await as_api.post(f"{ENGINE}/data/{written}", json=body)).status_code == 200
    await operator.ask("DELETE", f"{ENGINE}/metadata/{fresh}")


# What both may not. `{path}` is a secret that there is.
OTHERS = [
    ("DELETE", "secret/data/{path}", None),
    ("LIST", "secret/data/secrets", None),
    ("LIST", "secret/data/secrets/", None),
    ("LIST", "secret/metadata", None),
    ("LIST", "secret/metadata/", None),
    ("GET", "secret/metadata/{path}", None),
    ("POST", "secret/metadata/{path}", {"max_versions": 1}),
    ("GET", "secret/subkeys/{path}", None),
    ("POST", "secret/delete/{path}", {"versions": [1]}),
    ("POST", "secret/undelete/{path}", {"versions": [1]}),
    ("PUT", "secret/destroy/{path}", {"versions": [1]}),
    ("GET", "secret/config", None),
    ("POST", "secret/config", {"max_versions": 1}),
    ("GET", "secret/data/secrets", None),
    ("POST", "secret/data/secrets", {"data": {"value": "x"}}),
    ("GET", "secret/data/other", None),
    ("POST", "secret/data/other", {"data": {"value": "x"}}),
    ("DELETE", "secret/metadata/other", None),
    ("GET", "secret/data/secrets-of-others/x", None),
    ("POST", "secret/data/secrets-of-others/x", {"data": {"value": "x"}}),
    ("GET", "kv/data/{path}", None),
    ("GET", "sys/mounts", None),
    ("POST", "sys/mounts/mine", {"type": "kv"}),
    ("GET", "sys/auth", None),
    ("POST", "sys/auth/mine", {"type": "approle"}),
    ("GET", "sys/policies/acl/nbhub-api", None),
    ("PUT", "sys/policies/acl/nbhub-api", {"policy": 'path "*" { capabilities = ["read"] }'}),
    ("PUT", "sys/policies/acl/nbhub-worker", {"policy": 'path "*" { capabilities = ["read"] }'}),
    ("PUT", "sys/policy/nbhub-worker", {"policy": 'path "*" { capabilities = ["read"] }'}),
    ("PUT", "sys/seal", None),
    ("GET", "sys/audit", None),
    ("DELETE", "sys/audit/test", None),
    ("GET", "sys/raw/logical", None),
    ("PUT", "sys/leases/revoke-force/auth/approle", None),
    ("LIST", "auth/token/accessors", None),
    ("POST", "auth/token/create", {"policies": ["root"]}),
    ("POST", "auth/token/create-orphan", {"policies": ["nbhub-worker"]}),
    ("POST", "auth/token/revoke-accessor", {"accessor": "x"}),
    ("POST", "auth/token/revoke-orphan", {"token": "x"}),
    ("POST", "auth/token/lookup", {"token": "x"}),
    ("LIST", "auth/approle/role", None),
    ("GET", "auth/approle/role/nbhub-worker", None),
    ("POST", "auth/approle/role/nbhub-worker", {"token_policies": ["root"]}),
    ("GET", "auth/approle/role/nbhub-worker/role-id", None),
    ("POST", "auth/approle/role/nbhub-worker/secret-id", None),
    ("GET", "identity/entity/id", None),
]


@pytest.mark.parametrize("process", ["api", "worker"])
@pytest.mark.parametrize("headers", [PLAIN, WRAPPED], ids=["plain", "wrapped"])
@pytest.mark.parametrize(("method", "to", "body"), OTHERS, ids=[f"{method} {to}" for method, to, _ in OTHERS])
async def test_nothing_else_is_allowed(
    requests_as: Callable[[str], httpx.AsyncClient],
    process: str,
    headers: dict[str, str],
    method: str,
    to: str,
    body: object,
    path: str,
) -> None:
    answer = await requests_as(process).request(method, to.format(path=path), json=body, headers=headers)
    assert answer.status_code == FORBIDDEN, answer.text


@pytest.mark.parametrize(
    ("method", "to", "body"),
    [
        ("DELETE", "secret/metadata/{path}", None),
        ("LIST", "secret/metadata/secrets", None),
        ("LIST", "secret/metadata/secrets/", None),
        ("POST", "auth/token/revoke", {"token": "x"}),
    ],
)
async def test_what_only_the_worker_may(
    as_api: httpx.AsyncClient, as_worker: httpx.AsyncClient, path: str, method: str, to: str, body: object
) -> None:
    to = to.format(path=path)
    assert (await as_api.request(method, to, json=body)).status_code == FORBIDDEN
    assert (await as_worker.request(method, to, json=body)).status_code in (200, 204)


async def test_the_worker_writes_nothing(as_worker: httpx.AsyncClient, path: str, operator: Operator) -> None:
    for written in (path, f"secrets/{new_id()}"):
        for headers in (PLAIN, WRAPPED):
            for method in ("POST", "PUT"):
                body = {"data": {"value": "new"}}
                answer = await as_worker.request(method, f"{ENGINE}/data/{written}", json=body, headers=headers)
                assert answer.status_code == FORBIDDEN
    assert await operator.versions(path.partition("/")[2]) == [1]


@pytest.mark.parametrize(
    ("seconds", "allowed"),
    [("0s", False), ("1s", True), ("60", True), ("1800s", True), ("1801s", False), ("24h", False), ("-1s", False)],
)
async def test_wrappers_live_for_as_long_as_the_policy_says(
    as_worker: httpx.AsyncClient, path: str, seconds: str, allowed: bool
) -> None:
    answer = await as_worker.get(f"{ENGINE}/data/{path}", headers={"X-Vault-Wrap-TTL": seconds})
    assert (answer.status_code == 200) == allowed
    assert VALUE not in answer.text
    if allowed:
        assert answer.json()["wrap_info"]["ttl"] == int(seconds.rstrip("s"))


@pytest.mark.parametrize("process", ["api", "worker"])
async def test_an_operator_is_told_where_vault_allows_other_things_than_the_files_say(
    vault: Stack, operator: Operator, process: str
) -> None:
    settings = Settings(
        database_url="postgresql:///none",
        vault_url=vault.info.vault,
        vault_role_id=role_of(process),
        vault_secret_id=getattr(vault.secrets, f"vault_{process}_secret_id"),
    )
    looks = Checks(settings, {}).parts()

    async def told(name: str) -> tuple[State, str]:
        (found,) = await taken({name: looks[name]})
        return found.state, found.text

    path = f"sys/policies/acl/{role_of(process)}"
    policy = (await operator.ask("GET", path))["data"]["policy"]
    assert (await told("policies"))[0] is State.OK
    for allowed in ("metadata/secrets/+", "metadata/other"):
        try:
            more = f'path "secret/{allowed}" {{capabilities = ["read"]}}'
            await operator.ask("PUT", path, {"policy": more})
            state, text = await told("policies")
        finally:
            await operator.ask("PUT", path, {"policy": policy})
        assert state is State.FAIL
        assert "secret/data/secrets/+" in text
        assert ("secret/metadata/secrets/+: read" in text) is (allowed == "metadata/secrets/+")
    assert (await told("policies"))[0] is State.OK
    assert (await told("vault"))[0] is State.OK
    await operator.seal()
    try:
        state, text = await told("vault")
        assert (state, text.endswith("is sealed.")) == (State.FAIL, True)
        assert (await told("policies"))[0] is State.FAIL
    finally:
        await operator.unseal()


@pytest.mark.parametrize("up", ["..", "%2e%2e", "%2E.", "..%2f..", "%252e%252e", "..;", "%2e%2e%2f%2e%2e", "."])
async def test_no_way_leads_up(
    as_api: httpx.AsyncClient, as_worker: httpx.AsyncClient, operator: Operator, up: str
) -> None:
    """The engine itself goes up where it is told to, after the policy was asked: it can spoil what it cannot read."""
    other = f"other-{new_id()}"
    await operator.ask("POST", f"{ENGINE}/data/{other}", {"data": {"value": VALUE}})
    for client, method, headers, body in (
        (as_worker, "GET", WRAPPED, None),
        (as_worker, "GET", PLAIN, None),
        (as_api, "POST", PLAIN, {"data": {"value": "overwritten"}}),
        (as_worker, "DELETE", PLAIN, None),
    ):
        kind = "metadata" if method == "DELETE" else "data"
        for way in (f"secrets/{up}/{other}", f"secrets/x/{up}/{up}/{other}", f"secrets/{up}/{up}/{kind}/{other}"):
            answer = await _ask(client, method, f"/v1/{ENGINE}/{kind}/{way}", headers, body)
            assert not answer.startswith(b"HTTP/1.1 2"), answer
    answer = await operator.ask("GET", f"{ENGINE}/data/{other}")
    assert answer["data"]["data"] == {"value": VALUE}
    assert answer["data"]["metadata"]["version"] == 1
    await operator.ask("DELETE", f"{ENGINE}/metadata/{other}")


async def _ask(client: httpx.AsyncClient, method: str, way: str, headers: dict[str, str], body: object) -> bytes:
    """The answer to a way as it stands: a client would clean it before it is sent."""
    content = b"" if body is None else json.dumps(body).encode()
    sent = {
        "Host": client.base_url.netloc.decode(),
        "X-Vault-Token": client.headers["X-Vault-Token"],
        "Content-Length": str(len(content)),
        "Connection": "close",
        **headers,
    }
    lines = [f"{method} {way} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write("\r\n".join(lines).encode() + content)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
