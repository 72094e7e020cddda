"""The looks of `doctor`: each at one part or one matter, with what is set for the process in whose place it runs."""

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.fernet import Fernet
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from integrations.vault import Vault
from models.database import condition
from models.domain.errors import VaultUnavailable
from models.domain.kinds import DIRECTORIES
from models.domain.settings import Settings
from models.ledger import heartbeats, seals
from models.records import figures
from operating import histories, policies
from operating.findings import Check, Said, fail, ok, skipped, warn
from workflows.client import connect

OLD_WORK_SECONDS = 900.0
UNSEALED_SECONDS = 180.0
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 3.0, 30.0
"""An order is good for a minute, and an id token as long as the provider says."""
DISK_WARN, DISK_FAIL = 0.10, 0.02
"""The share of a file system that is still free."""
KEY_DAYS, CERTIFICATE_DAYS = 365, 30
OLDEST_POSTGRESQL, OLDEST_JUPYTERHUB = 15, 5
REPLAY_SECONDS = 120.0
POLICIES = Path(__file__).resolve().parent.parent / "deploy" / "vault"
_GIB = 2**30


class Checks:
    """All looks, by the settings of one process and the environment that they are of."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], *, policy_files: Path = POLICIES) -> None:
        self._settings, self._environment, self._policies = settings, environment, policy_files

    def parts(self) -> dict[str, Check]:
        """The looks at parts and matters, by their names."""
        return {
            "program": Check(self._program),
            "database": Check(self._database),
            "schema": Check(self._schema),
            "temporal": Check(self._temporal),
            "workers": Check(self._workers),
            "jupyterhub": Check(self._jupyterhub),
            "vault": Check(self._vault),
            "policies": Check(self._policies_of_vault),
            "clock": Check(self._clock),
            "disk": Check(self._disk),
            "unsettled": Check(self._unsettled),
            "audit": Check(self._audit),
            "keys": Check(self._keys),
        }

    def replays(self) -> dict[str, Check]:
        """Looks that keep this process busy: others beside them would miss their deadlines."""
        return {
            "running": Check(self._running, REPLAY_SECONDS),
            "histories": Check(self._histories, REPLAY_SECONDS),
        }

    async def _program(self) -> list[Said]:
        commit = f", commit {self._settings.commit}" if self._settings.commit else ""
        return [ok(f"Notebooks Hub {metadata.version('notebooks-hub')}{commit}.")]

    async def _database(self) -> list[Said]:
        found = await condition.look()
        major, minor = divmod(found.version, 10_000)
        text = f"PostgreSQL {major}.{minor}, {found.bytes / 2**20:.0f} MiB."
        if major < OLDEST_POSTGRESQL:
            return [fail(text, f"Upgrade PostgreSQL to {OLDEST_POSTGRESQL} or later.")]
        return [ok(text)]

    async def _schema(self) -> list[Said]:
        schema = await condition.schema()
        said = []
        if schema.missing:
            said.append(
                fail(
                    f"{len(schema.missing)} migrations are not applied: {_some(schema.missing)}.",
                    "Run python -m models.database.migrate before API and workers of this version.",
                )
            )
        if schema.unknown:
            said.append(
                warn(
                    f"{len(schema.unknown)} migrations of another version are applied: {_some(schema.unknown)}.",
                    "Run the version that applied them, unless you are going back one.",
                )
            )
        return said or [ok("The schema is that of this version.")]

    async def _temporal(self) -> list[Said]:
        client = await connect(self._settings, lazy=False)
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
        return [ok(f"Temporal {info.server_version or 'of an unknown version'}.")]

    async def _workers(self) -> list[Said]:
        if await heartbeats.worker_works():
            return [ok("A worker works.")]
        return [
            fail(
                f"No worker was seen within {heartbeats.LATE_SECONDS:g} s.",
                "Start python worker.py; what was asked for is kept until then.",
            )
        ]

    async def _jupyterhub(self) -> list[Said]:
        url = f"{self._settings.jupyterhub_url.rstrip('/')}/hub/api"
        async with _http() as client:
            answer = await client.get(f"{url}/")
            if answer.status_code != 200:
                return [fail(f"JupyterHub answers {answer.status_code}.", "See its log, and NBHUB_JUPYTERHUB_URL.")]
            version = str(answer.json()["version"])
            said = [ok(f"JupyterHub {version}.")]
            if int(version.partition(".")[0]) < OLDEST_JUPYTERHUB:
                said = [fail(f"JupyterHub {version}.", f"Upgrade JupyterHub to {OLDEST_JUPYTERHUB} or later.")]
            if self._settings.jupyterhub_token:
                token = {"Authorization": f"token {self._settings.jupyterhub_token}"}
                status = (await client.get(f"{url}/user", headers=token)).status_code
                if status != 200:
                    said.append(
                        fail(
                            f"JupyterHub refuses the token of this process ({status}).",
                            "Compare NBHUB_JUPYTERHUB_TOKEN with that of the service nbhub-worker.",
                        )
                    )
        return said

    async def _vault(self) -> list[Said]:
        if not self._settings.vault_url:
            return [skipped("No Vault is set here.")]
        async with _http() as client:
            answer = await client.get(f"{self._settings.vault_url.rstrip('/')}/v1/sys/health")
        state: dict[str, Any] = answer.json()
        text = f"Vault {state.get('version', 'of an unknown version')}"
        if not state.get("initialized", True):
            return [fail(f"{text} is not initialised.", "Initialise it (deploy/README.md).")]
        if state.get("sealed", True):
            return [fail(f"{text} is sealed.", "Unseal it with the keys that its initialisation gave.")]
        return [ok(f"{text}.")]

    async def _policies_of_vault(self) -> list[Said]:
        settings = self._settings
        if not settings.vault_role_id:
            return [skipped("No role of Vault is set here.")]
        if not all((self._policies / f"{one}.hcl").is_file() for one in policies.PROCESSES):
            return [skipped(f"The policies' files are not in {self._policies}.")]
        vault = Vault.from_settings(settings)
        try:
            named = await vault.policies()
            process = next((one for one in policies.PROCESSES if policies.role_of(one) in named), None)
            if process is None:
                return [
                    fail(
                        f"The role has neither the API's nor the workers' policy: {', '.join(named)}.",
                        "Run deploy/vault/setup.sh.",
                    )
                ]
            wanted = policies.wanted_of(process, self._policies, settings.vault_engine)
            found = await vault.capabilities(sorted(wanted))
        except VaultUnavailable as error:
            return [fail(error.message, error.hint or "See the look at vault.")]
        finally:
            await vault.close()
        other = policies.differences(wanted, found)
        if other:
            return [
                fail(
                    f"Vault lets {policies.role_of(process)} do other things than its file says: {'; '.join(other)}.",
                    "Run deploy/vault/setup.sh again, which writes the policies.",
                )
            ]
        return [ok(f"Vault lets {policies.role_of(process)} do what its file says, at {len(wanted)} paths.")]

    async def _clock(self) -> list[Said]:
        parts = {"PostgreSQL": self._clock_of_database(), "JupyterHub": self._clock_of(self._settings.jupyterhub_url)}
        if self._settings.vault_url:
            parts["Vault"] = self._clock_of(f"{self._settings.vault_url.rstrip('/')}/v1/sys/health")
        told = await asyncio.gather(*parts.values(), return_exceptions=True)
        apart = {part: one for part, one in zip(parts, told, strict=True) if isinstance(one, float)}
        if not apart:
            return [skipped("No other clock can be read: see the looks at the parts.")]
        text = ", ".join(f"{part} {seconds:+.1f} s" for part, seconds in apart.items())
        most = max(map(abs, apart.values()))
        do = "Have all machines follow the same clock (chrony or systemd-timesyncd)."
        if most > CLOCK_FAIL_SECONDS:
            return [fail(f"Clocks are apart: {text}.", do)]
        return [warn(f"Clocks are apart: {text}.", do)] if most > CLOCK_WARN_SECONDS else [ok(f"Apart: {text}.")]

    async def _clock_of_database(self) -> float:
        asked = time.time()
        now = (await condition.look()).now.timestamp()
        return _apart(now, asked, time.time())

    async def _clock_of(self, url: str) -> float:
        async with _http() as client:
            asked = time.time()
            answer = await client.get(url)
            done = time.time()
        # It names whole seconds.
        said = datetime.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
        return _apart(said, asked - 1, done)

    async def _disk(self) -> list[Said]:
        return await asyncio.to_thread(_disk_of, self._settings)

    async def _unsettled(self) -> list[Said]:
        found = await figures.unsettled()
        old = [one for one in found if one.oldest_seconds > OLD_WORK_SECONDS]
        if not old:
            return [ok(f"{sum(one.number for one in found)} operations are under way, none for long.")]
        text = ", ".join(f"{one.kind} ({one.status}) since {_span(one.oldest_seconds)}" for one in old)
        return [
            warn(
                f"Operations do not end: {text}.",
                "nbhub admin ops shows them with what each waits for; a part that is away is named by the other looks.",
            )
        ]

    async def _audit(self) -> list[Said]:
        waiting = await seals.waiting()
        if waiting.number and waiting.oldest_seconds > UNSEALED_SECONDS:
            return [
                warn(
                    f"{waiting.number} rows of the audit wait for a seal, one since {_span(waiting.oldest_seconds)}.",
                    "Workers seal the audit: see whether one works, and its log.",
                )
            ]
        return [ok(f"{waiting.number} rows of the audit wait for a seal, none for long.")]

    async def _keys(self) -> list[Said]:
        return await asyncio.to_thread(_keys_of, self._settings, self._environment)

    async def _running(self) -> list[Said]:
        client = await connect(self._settings, lazy=False)
        number, failed = await histories.replay_live(client, self._settings)
        if failed:
            return [
                fail(
                    f"Workflows that run would not go on with this version: {_some(failed)}.",
                    "Do not start workers of this version before these have ended; keep those of the version before.",
                )
            ]
        return [ok(f"{number} workflows that run would go on with this version.")]

    async def _histories(self) -> list[Said]:
        files = histories.recorded()
        if not files:
            return [skipped("Recorded histories are with the source alone.")]
        failed = await histories.replay_recorded(files)
        if failed:
            return [fail(f"Recorded histories do not replay: {_some(failed)}.", "The program is not what was tested.")]
        return [ok(f"{len(files)} recorded histories replay.")]


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=5, trust_env=False)


def _apart(said: float, earliest: float, latest: float) -> float:
    """Seconds by which another clock is ahead of ours, whatever the answer took on its way."""
    return said - latest if said > latest else min(said - earliest, 0.0)


def _disk_of(settings: Settings) -> list[Said]:
    said: list[Said] = []
    seen = set()
    for word, directory in DIRECTORIES.items():
        path = Path(getattr(settings, directory.setting))
        variable = f"NBHUB_{directory.setting.upper()}"
        if not path.is_dir():
            said.append(fail(f"{path} ({word}) is not there.", f"Mount the shared file system, or change {variable}."))
            continue
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            said.append(fail(f"{path} ({word}) cannot be written.", "Give it to whoever runs API and workers."))
        device = path.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(path)
        said.append(space(path, usage.free, usage.total))
    return said


def space(path: Path, free: int, total: int) -> Said:
    """How much of a file system is free."""
    share = free / total if total else 0.0
    text = f"{free / _GIB:.1f} GiB of {total / _GIB:.1f} are free where {path} is."
    do = "Make room, or make the file system larger: nothing can be written when it is full."
    if share < DISK_FAIL:
        return fail(text, do)
    return warn(text, do) if share < DISK_WARN else ok(text)


def _keys_of(settings: Settings, environment: Mapping[str, str]) -> list[Said]:
    said = []
    for name, text in (("certificate", settings.temporal_tls_cert), ("authority", settings.temporal_tls_ca)):
        if text:
            said.append(_certificate(name, text))
    try:
        keys = [one.partition(":") for one in settings.payload_keys.split(",") if one.strip()]
        for _, _, key in keys:
            Fernet(key)
        if settings.session_key:
            Fernet(settings.session_key)
    except ValueError:
        # What it says quotes the key.
        said.append(
            fail("A key of NBHUB_PAYLOAD_KEYS or NBHUB_SESSION_KEY is none.", "deploy/make-secrets.sh makes keys.")
        )
    else:
        if keys:
            said.append(ok(f"Payloads are encrypted by the key {keys[0][0].strip()}; {len(keys) - 1} more decrypt."))
        else:
            said.append(
                warn(
                    "Payloads are not encrypted in Temporal.",
                    "Set NBHUB_PAYLOAD_KEYS: deploy/make-secrets.sh makes it.",
                )
            )
    old = []
    for name, file in sorted(environment.items()):
        if not (name.startswith("NBHUB_") and name.endswith("_FILE")):
            continue
        try:
            days = (time.time() - Path(file).stat().st_mtime) / 86_400
        except OSError as error:
            said.append(fail(f"{name} cannot be read: {error.strerror}.", "Put the file there, or change the setting."))
            continue
        if days > KEY_DAYS and name != "NBHUB_PROFILES_FILE":
            old.append(f"{name} ({days:.0f} days)")
    if old:
        text = f"Not changed for more than {KEY_DAYS} days: {', '.join(old)}."
        said.append(warn(text, "deploy/rotate-keys.sh changes keys."))
    return said


def _certificate(name: str, text: str) -> Said:
    variable = "NBHUB_TEMPORAL_TLS_CERT" if name == "certificate" else "NBHUB_TEMPORAL_TLS_CA"
    do = f"Make a new one and set {variable}."
    try:
        ends = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return fail(f"Temporal's {name} is no certificate.", do)
    left = ends - datetime.now(UTC)
    told = f"Temporal's {name} ends on {ends:%Y-%m-%d}."
    if left < timedelta(0):
        return fail(told, do)
    return warn(told, do) if left < timedelta(days=CERTIFICATE_DAYS) else ok(told)


def _some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _span(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
