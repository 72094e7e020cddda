"""Vault's key-value engine (version 2), which holds the values of secrets: hvac in threads of its own, with deadlines.

Paths are made of ids alone, because hvac would let `..` in a name reach another path. Redirects are not followed: they
would carry the token elsewhere. No error here quotes what was sent or answered.
"""

import asyncio
import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import hvac
import hvac.exceptions
import requests
import requests.adapters

from models.domain.errors import DomainError, RecordMissing, StateConflict, VaultUnavailable
from models.domain.ids import parse_id
from models.domain.process import threads_behind
from models.domain.settings import Settings

T = TypeVar("T")

DIRECTORY = "secrets"
"""Where in the engine the values are: each under the id of its record."""

# Values that were written and never recorded stand in the way of the next one. Fewer than the versions that Vault
# keeps (10), so that the recorded value outlives them.
_MOST_UNRECORDED = 8
# What a call may take with all its requests, and its turn before them.
_LONGEST_SECONDS = 30.0
_TOKEN = re.compile("[!-~]+")

Value = str | dict[str, str]

# What is told of a failure: nothing that was sent or answered.
_TOLD = (
    (
        hvac.exceptions.Forbidden,
        "Vault refuses this service.",
        "Ask an operator to look at its role and policy in Vault.",
    ),
    (
        hvac.exceptions.InvalidRequest,
        "Vault does not accept what this service asks.",
        "Ask an operator to look at its role in Vault.",
    ),
    (hvac.exceptions.VaultDown, "Vault is sealed or starting.", "Ask an operator to unseal it."),
    (requests.Timeout, "Vault does not answer in time.", "Try again in a while."),
)


class Vault:
    """A client with its own threads; `close` it at the end."""

    def __init__(
        self, url: str, role_id: str, secret_id: str, *, engine: str, threads: int = 8, seconds: float = 5.0
    ) -> None:
        """`role_id` and `secret_id` are those of the process's AppRole, with which it logs in when it first has to.

        `seconds` bound one request to Vault; more than `threads` of them wait for each other. Few threads, because what
        they do at the same moment keeps the event loop waiting.
        """
        self._url = url.rstrip("/")
        self._engine = engine
        self._role_id, self._secret_id = role_id, secret_id
        self._pool = threads_behind(threads, "vault")
        self._free = asyncio.Semaphore(threads)
        session = requests.Session()
        # No proxy and no credentials from the environment.
        session.trust_env = False
        # But whom to trust, as the other clients do.
        session.verify = os.environ.get("SSL_CERT_FILE") or True
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=threads))
        self._client = hvac.Client(url=self._url, timeout=seconds, allow_redirects=False, session=session)
        # Else hvac looks for one in the environment and in the home.
        self._client.token = None
        self._logging_in = threading.Lock()
        self._renew_at = 0.0
        # Logins that failed, and what was told of the last.
        self._in_vain = 0
        self._last_failure = VaultUnavailable("")

    @classmethod
    def from_settings(cls, settings: Settings) -> "Vault":
        """The Vault that a process is told of; without one every call raises `VaultUnavailable`."""
        return cls(settings.vault_url, settings.vault_role_id, settings.vault_secret_id, engine=settings.vault_engine)

    @property
    def configured(self) -> bool:
        """Whether there is a Vault at all."""
        return bool(self._url)

    async def close(self) -> None:
        """Close the connections; what is under way ends within its deadline."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._client.adapter.close()

    async def put(self, identity: UUID, value: Value, *, after: int) -> int:
        """Write a new version of a value, after the version that is recorded (0: none); the new version.

        Versions that were written and never recorded are passed over. Raises `VaultUnavailable` or `StateConflict`.
        """
        for last in range(after, after + _MOST_UNRECORDED):
            written = await self._run(self._put, identity, value, last)
            if written is not None:
                return written
        raise StateConflict(
            "Vault does not have the version of the secret that is recorded here.",
            hint="Make the secret anew, or ask an administrator to look at it in Vault.",
            code="VALUE_CHANGED",
        )

    async def wrap(self, identity: UUID, version: int, seconds: float) -> str:
        """A token that hands one version of a value over, once, within a time.

        Raises `VaultUnavailable`, or `RecordMissing` where Vault has no such value.
        """
        return await self._run(self._wrap, identity, version, seconds)

    async def revoke(self, token: str) -> None:
        """End a token that hands something over; it may have been used or have ended already."""
        await self._run(self._revoke, token)

    async def destroy(self, identity: UUID) -> None:
        """Remove all versions of a value and what Vault knows of them; they may be gone already."""
        await self._run(self._destroy, identity)

    async def identities(self) -> list[UUID]:
        """The ids under which there are values."""
        return await self._run(self._identities)

    async def policies(self) -> list[str]:
        """The names of the policies of this process's role."""
        return await self._run(self._policies)

    async def capabilities(self, paths: list[str]) -> dict[str, list[str]]:
        """What Vault lets this process do at paths."""
        return await self._run(self._capabilities, paths)

    def path(self, identity: UUID) -> str:
        """Where the API of Vault has a value: what a token that hands it over was made for."""
        return f"{self._engine}/data/{DIRECTORY}/{identity}"

    def _put(self, identity: UUID, value: Value, last: int) -> int | None:
        try:
            answer = self._client.secrets.kv.v2.create_or_update_secret(
                path=f"{DIRECTORY}/{identity}", secret={"value": value}, cas=last, mount_point=self._engine
            )
        except hvac.exceptions.InvalidRequest as error:
            if "check-and-set" in str(error.args[0]):
                return None
            raise
        return int(answer["data"]["version"])

    def _wrap(self, identity: UUID, version: int, seconds: float) -> str:
        # Without a time to live Vault would wrap nothing.
        life = f"{max(1, math.ceil(seconds))}s"
        with _nothing_there():
            answer = self._client.adapter.get(f"/v1/{self.path(identity)}", params={"version": version}, wrap_ttl=life)
            return _token(answer["wrap_info"]["token"])
        raise RecordMissing("Vault has no value of this secret.")

    def _revoke(self, token: str) -> None:
        _check_done(self._client.auth.token.revoke(token))

    def _destroy(self, identity: UUID) -> None:
        _check_done(
            self._client.secrets.kv.v2.delete_metadata_and_all_versions(
                path=f"{DIRECTORY}/{identity}", mount_point=self._engine
            )
        )

    def _identities(self) -> list[UUID]:
        answer: Any = {"data": {"keys": []}}
        with _nothing_there():
            answer = self._client.secrets.kv.v2.list_secrets(path=DIRECTORY, mount_point=self._engine)
        return [found for key in answer["data"]["keys"] if (found := parse_id(key)) is not None]

    def _policies(self) -> list[str]:
        return [str(one) for one in self._client.auth.token.lookup_self()["data"]["policies"]]

    def _capabilities(self, paths: list[str]) -> dict[str, list[str]]:
        answer = self._client.adapter.post("/v1/sys/capabilities-self", json={"paths": paths})
        return {path: [str(one) for one in answer["data"][path]] for path in paths}

    async def _run(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call in one of the threads. Its caller waits for a limited time, whatever holds the thread."""
        if not self.configured:
            raise VaultUnavailable("This installation has no Vault.", hint="Ask an operator to set NBHUB_VAULT_URL.")
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                await self._free.acquire()
                running = asyncio.get_running_loop().run_in_executor(self._pool, self._authenticated, call, *arguments)
                running.add_done_callback(self._ended)
                return await asyncio.shield(running)
        except TimeoutError:
            raise VaultUnavailable("Vault takes too long.", hint="Try again in a while.") from None

    def _ended(self, running: "asyncio.Future[Any]") -> None:
        """The place is free when the thread is, also where its caller has gone away; then nobody asks how it ended."""
        self._free.release()
        if not running.cancelled():
            running.exception()

    def _authenticated(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call with a token that is fresh; where it is refused all the same, once more with a new one."""
        try:
            self._freshen()
            token = self._client.token
            with contextlib.suppress(hvac.exceptions.Forbidden):
                return call(*arguments)
            self._log_in(instead_of=token)
            return call(*arguments)
        except DomainError as error:
            failure = error
        except Exception as error:
            failure = _told(error)
        # Not where it was caught: what a library raises may quote what was sent, and would hang at this one.
        raise failure

    def _freshen(self) -> None:
        """Log in where that was not done yet, and have the token live on before half of its life is over."""
        if self._client.token is None:
            self._log_in(instead_of=None)
        elif time.monotonic() >= self._renew_at and self._logging_in.acquire(blocking=False):
            try:
                self._note_life(self._client.auth.token.renew_self())
            except Exception:
                # It may be no renewable one. The next refusal has us log in again.
                self._renew_at = time.monotonic() + 60
            finally:
                self._logging_in.release()

    def _log_in(self, *, instead_of: str | None) -> None:
        """Get a new token, unless another thread has done so meanwhile, or has tried in vain."""
        in_vain = self._in_vain
        with self._logging_in:
            if self._client.token != instead_of:
                return
            if self._in_vain != in_vain:
                # Or whoever waits would do so for one deadline after the other.
                raise VaultUnavailable(self._last_failure.message, hint=self._last_failure.hint, away=True)
            try:
                answer = self._client.auth.approle.login(
                    role_id=self._role_id, secret_id=self._secret_id, use_token=False
                )
                self._note_life(answer)
                self._client.token = _token(answer["auth"]["client_token"])
            except Exception as error:
                self._in_vain += 1
                self._last_failure = _told(error)
                raise

    def _note_life(self, answer: Any) -> None:
        self._renew_at = time.monotonic() + float(answer["auth"]["lease_duration"]) / 2


@contextlib.contextmanager
def _nothing_there() -> Iterator[None]:
    """Pass over that Vault has nothing at a path; what is between here and Vault may say so of everything."""
    try:
        yield
    except hvac.exceptions.InvalidPath as error:
        if error.errors != []:
            raise


def _check_done(answer: Any) -> None:
    """Raise unless Vault itself says that it did what has no answer."""
    # It says more than that only to warn.
    if "request_id" not in answer if isinstance(answer, dict) else answer.status_code != 204:
        raise ValueError


def _token(found: object) -> str:
    if not isinstance(found, str) or not _TOKEN.fullmatch(found):
        raise ValueError
    return found


def _told(error: Exception) -> VaultUnavailable:
    away = isinstance(error, hvac.exceptions.VaultDown | requests.RequestException)
    for kind, message, hint in _TOLD:
        if isinstance(error, kind):
            return VaultUnavailable(message, hint=hint, away=away)
    return VaultUnavailable(f"Vault does not answer as it should ({type(error).__name__}).", away=away)
