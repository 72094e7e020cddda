"""Clears what is left of a start that JupyterHub could not begin.

Where it fails between making the server's database entry and calling the spawner, as when a renamed user's server still
has the same sign-in client, the entry stays: JupyterHub shows the server as ready, and a stop asks the spawner alone,
which says that nothing lives, and tells nobody.
"""

from typing import Any


class ClearsHalfStarts:
    """A part of a spawner: what is found dead is stopped in JupyterHub's eyes, too, where nobody watched it."""

    name: str
    ready: bool
    user: Any
    _callbacks: list[Any]

    async def poll_and_notify(self) -> int | None:
        """As JupyterHub's own; what nobody was ever told to watch is cleared here."""
        watched = bool(self._callbacks)
        status: int | None = await super().poll_and_notify()  # type: ignore[misc]
        if status is not None and not watched and self.ready:
            await self.user.stop(self.name)
        return status
