"""The real Vault, with the roles of API and worker, and what an operator with the root token does to it."""

import json
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from integrations.vault import Vault
from models.domain.ids import new_id
from stack.vault_setup import VaultKeys, role_of, unseal
from tests.stacks import Stack

ENGINE = "secret"

MakeClient = Callable[..., Vault]


class Operator:
    """Who holds the root token."""

    def __init__(self, client: httpx.AsyncClient, keys: VaultKeys, audit: Path) -> None:
        self._client = client
        self._keys = keys
        self._audit = audit

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """What Vault answers; a failure is one of the test."""
        answer = await self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def wrapped(self, method: str, path: str, body: object = None) -> str:
        """The token that hands an answer over."""
        answer = await self._client.request(method, path, json=body, headers={"X-Vault-Wrap-TTL": "60s"})
        answer.raise_for_status()
        token: str = answer.json()["wrap_info"]["token"]
        return token

    async def seal(self) -> None:
        await self.ask("PUT", "sys/seal")

    async def unseal(self) -> None:
        await unseal(self._client, self._keys)
        assert not (await self.ask("GET", "sys/seal-status"))["sealed"]

    async def make_role(self, policy: str, **settings: object) -> tuple[str, str]:
        """A role of its own; its id and a secret id."""
        name = f"test-{new_id()}"
        values = {"token_policies": [policy], "token_period": "1h", **settings}
        await self.ask("POST", f"auth/approle/role/{name}", values)
        await self.ask("POST", f"auth/approle/role/{name}/role-id", {"role_id": name})
        made = await self.ask("POST", f"auth/approle/role/{name}/secret-id")
        return name, made["data"]["secret_id"]

    async def destroy_secret_id(self, role: str, secret_id: str) -> None:
        await self.ask("POST", f"auth/approle/role/{role}/secret-id/destroy", {"secret_id": secret_id})

    async def revoke(self, accessor: str) -> None:
        """End a token, whoever holds it."""
        await self.ask("POST", "auth/token/revoke-accessor", {"accessor": accessor})

    async def life_of(self, accessor: str) -> Any:
        """What Vault knows of a token."""
        return (await self.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor}))["data"]

    async def value(self, identity: object, version: int) -> Any:
        """A value as Vault has it."""
        answer = await self.ask("GET", f"{ENGINE}/data/secrets/{identity}?version={version}")
        return answer["data"]["data"]["value"]

    async def versions(self, identity: object) -> list[int]:
        """Which versions of a value there are."""
        answer = await self.ask("GET", f"{ENGINE}/metadata/secrets/{identity}")
        return sorted(map(int, answer["data"]["versions"]))

    def answered(self, path: str) -> list[Any]:
        """All answers that Vault ever gave to requests for a path, from its own log."""
        entries = map(json.loads, self._audit.read_text().splitlines())
        return [one for one in entries if one["type"] == "response" and one["request"]["path"] == path]

    def logins(self) -> list[Any]:
        """The answers to all logins, those that were refused among them."""
        return self.answered("auth/approle/login")


def told(error: BaseException) -> str:
    """Everything that an error tells, and all errors that hang at it, those that are not shown among them."""
    texts = []
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
            texts += [str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception(one)]
    return "\n".join(texts)


@pytest.fixture(scope="session")
async def operator(vault: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    keys = msgspec.json.decode((vault.directory / "vault" / "keys.json").read_bytes(), type=VaultKeys)
    headers = {"X-Vault-Token": keys.root_token}
    audit = tmp_path_factory.mktemp("audit") / "log"
    async with httpx.AsyncClient(base_url=f"{vault.info.vault}/v1/", headers=headers, timeout=15) as client:
        operator = Operator(client, keys, audit)
        options = {"file_path": str(audit), "hmac_accessor": "false"}
        await operator.ask("POST", "sys/audit/test", {"type": "file", "options": options})
        yield operator
        await operator.ask("DELETE", "sys/audit/test")


@pytest.fixture(scope="session")
async def outside(vault: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a token."""
    async with httpx.AsyncClient(base_url=f"{vault.info.vault}/v1/", timeout=15) as client:
        yield client


@pytest.fixture
async def make_client(vault: Stack) -> AsyncIterator[MakeClient]:
    """Makes clients, which are closed at the end; without arguments one like that of a worker."""
    made = []

    def make(role: str = "", secret_id: str = "", *, url: str = "", **limits: Any) -> Vault:
        role = role or role_of("worker")
        known = {role_of(name): getattr(vault.secrets, f"vault_{name}_secret_id") for name in ("api", "worker")}
        client = Vault(url or vault.info.vault, role, secret_id or known[role], engine=ENGINE, **limits)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()


@pytest.fixture(scope="session")
async def api(vault: Stack) -> AsyncIterator[Vault]:
    """As the API has it."""
    client = Vault(vault.info.vault, role_of("api"), vault.secrets.vault_api_secret_id, engine=ENGINE)
    yield client
    await client.close()


@pytest.fixture(scope="session")
async def worker(vault: Stack) -> AsyncIterator[Vault]:
    """As workers have it."""
    client = Vault(vault.info.vault, role_of("worker"), vault.secrets.vault_worker_secret_id, engine=ENGINE)
    yield client
    await client.close()
