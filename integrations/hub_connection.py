"""How JupyterHub and the services behind its proxy are asked, and what their answers mean beside their content.

Errors are those of `models.domain.errors`: `HubUnavailable` where asking again may help, `HubRefused` where it would
not.
"""

from typing import Any, TypeVar

import httpx
import msgspec

from models.domain.errors import NOBODY_BEHIND, HubRefused, HubThrottled, HubUnavailable

T = TypeVar("T")

_DEADLINE = httpx.Timeout(15, connect=3)


class HubConnection:
    """One pool of connections, and the service token that every request carries; `close` it at the end."""

    def __init__(self, token: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.client = httpx.AsyncClient(
            headers={"Authorization": f"token {token}"},
            timeout=_DEADLINE,
            transport=transport,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def ask(self, method: str, url: str, *, accept: tuple[int, ...] = (), **more: Any) -> httpx.Response:
        """An answer that is a success, or one of those that the caller accepts."""
        try:
            answer = await self.client.request(method, url, **more)
        except httpx.HTTPError as error:
            raise HubUnavailable(f"JupyterHub does not answer ({type(error).__name__}).", away=True) from None
        if answer.status_code == 404 and "json" not in answer.headers.get("content-type", ""):
            # A proxy which does not know the way yet: JupyterHub and the truth service say it in JSON.
            raise HubUnavailable("JupyterHub is not behind its proxy yet.", away=True)
        if answer.status_code not in accept:
            require_success(answer, method)
        return answer


def require_success(answer: httpx.Response, asked: str) -> None:
    """Raise what an answer means that is neither success nor expected."""
    if answer.is_success:
        return
    if answer.status_code == 429:
        raise HubThrottled("JupyterHub is busy starting other servers.", retry_after=_retry_after(answer))
    if answer.status_code >= 500 or answer.is_redirect:
        away = answer.status_code in NOBODY_BEHIND
        raise HubUnavailable(f"JupyterHub answers {answer.status_code} to {asked}.", away=away)
    if answer.status_code in (401, 403):
        raise HubRefused(
            f"JupyterHub does not let Notebooks Hub do this ({answer.status_code}): {message_of(answer)}",
            hint="Compare the token of the service nbhub-worker on both sides, and its scopes.",
        )
    raise HubRefused(f"JupyterHub answers {answer.status_code} to {asked}: {message_of(answer)}")


def decoded(answer: httpx.Response, kind: type[T]) -> T:
    """What an answer holds."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise HubUnavailable("JupyterHub answers something that cannot be read.") from None


def message_of(answer: httpx.Response) -> str:
    """What an answer that refuses says, if it says anything."""
    try:
        return str(answer.json().get("message", ""))[:500]
    except (ValueError, AttributeError):
        return ""


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(60.0, max(1.0, float(answer.headers.get("Retry-After", "5"))))
    except ValueError:
        return 5.0
