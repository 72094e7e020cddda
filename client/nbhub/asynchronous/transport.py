"""Sends requests: with the token, again where that is safe, and once more with a fresh token when it has expired."""

import logging
import time
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx2
import msgspec

from nbhub.answers import read, refusal
from nbhub.credentials import Credentials
from nbhub.errors import ConnectionFailed, Unauthorized
from nbhub.models import Tokens
from nbhub.retries import is_worth_another, read_retry_after, seconds_until
from nbhub.version import __version__

T = TypeVar("T")

log = logging.getLogger("nbhub")

TIMEOUT_SECONDS = 30.0
MOST_RETRIES = 5
"""Through a restart of Notebooks Hub: about a quarter of a minute."""
LONG_SECONDS = 2.0
"""Of longer pauses the log tells: somebody may wait."""
_LOCK_SECONDS = 30.0
_IDEMPOTENT = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Query = Mapping[str, Any]
Content = Callable[[], AsyncIterator[bytes]]
"""Gives the body anew, for each try."""


def segment(text: str) -> str:
    """A text as one segment of a path, whatever is in it."""
    # These two are not segments: clients and proxies take them away.
    return quote(text, safe="") if text not in (".", "..") else text.replace(".", "%2E")


class _Once(Protocol):
    async def __call__(self, token: str | None) -> httpx2.Response: ...


class AsyncTransport:
    """The connection of one client."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout: float = TIMEOUT_SECONDS,
        max_retries: int = MOST_RETRIES,
        agent: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.credentials = credentials
        self.timeout = timeout
        self.max_retries = max_retries
        name = f"nbhub-client/{__version__} {agent}".strip()
        self.http = httpx2.AsyncClient(
            base_url=self.url,
            timeout=timeout,
            transport=transport,
            headers={"User-Agent": name},
            # Whoever speaks no TLS need not wait until its certificates are read.
            verify=not self.url.startswith("http://"),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self.http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Query | None = None,
        body: Any = msgspec.UNSET,
        wait: float | None = None,
        if_match: str | None = None,
    ) -> T:
        """The body of the answer to a request. Raises an `ApiError` if it is refused."""
        response = await self.send(method, path, query=query, body=body, wait=wait, if_match=if_match)
        return read(response, kind)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = msgspec.UNSET,
        content: Content | None = None,
        wait: float | None = None,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> httpx2.Response:
        """The answer to a request, read as a whole. What is no success is raised, but for statuses to `accept`.

        `body` is sent as JSON. `wait` says for how many seconds Notebooks Hub may wait for the end of the work.
        """
        own = dict(headers or {})
        if body is not msgspec.UNSET:
            own["Content-Type"] = "application/json"
        if if_match is not None:
            own["If-Match"] = if_match
        if wait is not None:
            own["Prefer"] = f"wait={wait:.0f}"
        if not path.startswith("/"):
            # A whole address would take the token elsewhere.
            raise ValueError(f"a path begins with a slash: {path!r}")
        repeatable = not path.startswith("/auth/")
        if repeatable and method in _IDEMPOTENT:
            own["Idempotency-Key"] = str(uuid4())

        async def once(token: str | None) -> httpx2.Response:
            encoded = None if body is msgspec.UNSET else msgspec.json.encode(body)
            return await self.http.request(
                method,
                path,
                params=_given(query),
                content=content() if content is not None else encoded,
                headers={**own, **_bearer(token)},
                timeout=self.timeout + (wait or 0),
            )

        retries = self.max_retries if repeatable else 0
        async with self._tried(once, path, retries=retries, changes=method != "GET") as response:
            await response.aread()
            if response.is_success or response.status_code in accept:
                return response
            raise refusal(response)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
        retries: int | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a GET, whose body is read as it comes; after so many seconds of `silence` it counts as lost."""
        silence = self.timeout if silence is None else silence

        async def once(token: str | None) -> httpx2.Response:
            request = self.http.build_request(
                "GET",
                path,
                params=_given(query),
                headers={**(headers or {}), **_bearer(token)},
                timeout=httpx2.Timeout(min(self.timeout, silence), read=silence),
            )
            return await self.http.send(request, stream=True)

        async with self._tried(once, path, retries=self.max_retries if retries is None else retries) as response:
            if not response.is_success:
                await response.aread()
                raise refusal(response)
            yield response

    @asynccontextmanager
    async def _tried(
        self, once: _Once, path: str, *, retries: int, changes: bool = False
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a request, after as many tries as it may have; whether it `changes` something."""
        attempt, renewed, lost, sent = 1, False, False, False
        while True:
            token = None if path.startswith("/auth/") else self.credentials.token()
            try:
                response = await once(token)
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise ConnectionFailed(f"{self.url} is no address: {error}") from error
            except httpx2.TransportError as error:
                lost = True
                sent = sent or not isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
                if attempt > retries:
                    raise ConnectionFailed(
                        f"{self.url} does not answer: {error or type(error).__name__}", perhaps_done=changes and sent
                    ) from error
                pause, why = seconds_until(attempt, None), "does not answer"
            else:
                if response.status_code == 401 and token is not None and not renewed:
                    renewed = True
                    if not await self.renew(token):
                        break
                    await response.aclose()
                    continue
                if attempt > retries or not is_worth_another(response.status_code, after_loss=lost):
                    break
                pause = seconds_until(attempt, read_retry_after(response.headers.get("retry-after")))
                why = "wants fewer requests" if response.status_code == 429 else "is busy"
                if pause is None:
                    break
                await response.aclose()
            attempt += 1
            if pause and pause >= LONG_SECONDS:
                log.info("%s %s: trying again in %.0f s", self.url, why, pause)
            await sleep(pause or 0)
        try:
            yield response
        finally:
            await response.aclose()

    async def renew(self, rejected: str) -> bool:
        """Exchange the refresh token, unless another process has done so; whether there is a fresh token now."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while (lock := self.credentials.lock()) is None:
            if time.monotonic() > deadline:
                return False
            await sleep(0.05)
        try:
            if self.credentials.token() != rejected:
                return True
            refresh_token = self.credentials.refresh_token()
            if refresh_token is None:
                return False
            try:
                fresh = await self.call("POST", "/auth/refresh", Tokens, body={"refresh_token": refresh_token})
            except Unauthorized:
                return False
            self.credentials.keep(fresh)
            return True
        finally:
            lock.release()


def _given(query: Query | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}
