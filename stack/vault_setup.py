"""Initialises and unseals the stack's Vault; the keys stay in the stack's directory."""

from pathlib import Path

import httpx
import msgspec
from msgspec import Struct


class VaultKeys(Struct, frozen=True, kw_only=True):
    """What initialising Vault gave."""

    unseal_key: str
    root_token: str


async def open_vault(url: str, directory: Path) -> None:
    """Make the Vault at `url` serve, with a key-value engine of version 2 at `secret`."""
    path = directory / "keys.json"
    async with httpx.AsyncClient(base_url=f"{url}/v1/", timeout=15) as client:
        if not (await client.get("sys/init")).raise_for_status().json()["initialized"]:
            answer = await client.put("sys/init", json={"secret_shares": 1, "secret_threshold": 1})
            made = answer.raise_for_status().json()
            keys = VaultKeys(unseal_key=made["keys_base64"][0], root_token=made["root_token"])
            path.touch(mode=0o600)
            path.write_bytes(msgspec.json.encode(keys))
        keys = msgspec.json.decode(path.read_bytes(), type=VaultKeys)
        (await client.put("sys/unseal", json={"key": keys.unseal_key})).raise_for_status()
        headers = {"X-Vault-Token": keys.root_token}
        mounts = (await client.get("sys/mounts", headers=headers)).raise_for_status().json()
        if "secret/" not in mounts["data"]:
            engine = {"type": "kv", "options": {"version": "2"}}
            (await client.post("sys/mounts/secret", json=engine, headers=headers)).raise_for_status()
