"""Initialises and unseals the stack's Vault, and makes the roles of API and workers; the keys stay with the stack."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

_PATIENCE_SECONDS = 30
_LOOK_AGAIN = 0.05


class VaultKeys(Struct, frozen=True, kw_only=True):
    """What initialising Vault gave."""

    unseal_key: str
    root_token: str


POLICIES = Path(__file__).resolve().parent.parent / "deploy" / "vault"
"""What each role may do: the same here as in production."""


def role_of(process: str) -> str:
    """The name and the id of the role of `api` or `worker`."""
    return f"nbhub-{process}"


def keys_file(directory: Path) -> Path:
    """Where what opens Vault is kept."""
    return directory / "keys.json"


async def open_vault(url: str, directory: Path, secret_ids: Mapping[str, str]) -> None:
    """Make the Vault at `url` serve, with a key-value engine of version 2 at `secret`.

    `secret_ids` are those with which API and worker prove who they are.
    """
    path = keys_file(directory)
    async with httpx.AsyncClient(base_url=f"{url}/v1/", timeout=15) as client:
        if not (await client.get("sys/init")).raise_for_status().json()["initialized"]:
            answer = await client.put("sys/init", json={"secret_shares": 1, "secret_threshold": 1})
            made = answer.raise_for_status().json()
            keys = VaultKeys(unseal_key=made["keys_base64"][0], root_token=made["root_token"])
            partial = path.with_name("keys.json.new")
            partial.touch(mode=0o600)
            partial.write_bytes(msgspec.json.encode(keys))
            partial.rename(path)
        keys = msgspec.json.decode(path.read_bytes(), type=VaultKeys)
        await unseal(client, keys)
        headers = {"X-Vault-Token": keys.root_token}
        mounts = (await client.get("sys/mounts", headers=headers)).raise_for_status().json()
        if "secret/" not in mounts["data"]:
            engine = {"type": "kv", "options": {"version": "2"}}
            (await client.post("sys/mounts/secret", json=engine, headers=headers)).raise_for_status()
        methods = (await client.get("sys/auth", headers=headers)).raise_for_status().json()
        if "approle/" not in methods["data"]:
            (await client.post("sys/auth/approle", json={"type": "approle"}, headers=headers)).raise_for_status()
        client.headers.update(headers)
        for process, secret_id in secret_ids.items():
            await keep_role(client, process, secret_id)


async def unseal(client: httpx.AsyncClient, keys: VaultKeys) -> None:
    """Unseal the Vault whose API is the base of `client`; returns once it serves.

    Between an unsealing and its election it answers, but refuses what is written.
    """
    (await client.put("sys/unseal", json={"key": keys.unseal_key})).raise_for_status()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await client.get("sys/health")).status_code != 200:
            await asyncio.sleep(_LOOK_AGAIN)


async def keep_role(client: httpx.AsyncClient, process: str, secret_id: str) -> None:
    """Make the role and the policy of a process what they should be, and its secret id one of the role."""
    name = role_of(process)
    policy = {"policy": (POLICIES / f"{process}.hcl").read_text()}
    (await client.put(f"sys/policies/acl/{name}", json=policy)).raise_for_status()
    role = f"auth/approle/role/{name}"
    # Periodic: it lives as long as it is renewed.
    settings = {"token_policies": [name], "token_no_default_policy": False, "token_period": "1h"}
    (await client.post(role, json=settings)).raise_for_status()
    (await client.post(f"{role}/role-id", json={"role_id": name})).raise_for_status()
    known = await client.post(f"{role}/secret-id/lookup", json={"secret_id": secret_id})
    if known.status_code != 200:
        (await client.post(f"{role}/custom-secret-id", json={"secret_id": secret_id})).raise_for_status()
