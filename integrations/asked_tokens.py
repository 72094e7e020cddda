"""Tokens of which only the provider knows whom they stand for: asked about in turn, and one that it refused not again.

Anybody can send any number of tokens that nobody knows. Few of them are asked about at once, and those that the
provider has accepted before do not wait for them; nor do others for all that one address sends. Everything is kept by
hash, for a time, and so much of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Generic, TypeVar

from integrations.turns import SharedTurns
from models.domain.errors import IdentityUnknown

REFUSED_SECONDS = 5.0
"""How long a refused token stays refused: longer than it takes to ask, and shorter than anybody notices."""
KNOWN_SECONDS = 300.0
MOST_REMEMBERED = 10_000
MOST_ASKED = 4
MOST_WAITING = 100
"""People who sign in to JupyterHub come with tokens that are new here: a whole course of them has to find room."""

Answer = TypeVar("Answer")


class Remembered:
    """Hashes, each for some seconds; where they become too many, the oldest are forgotten."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[bytes, float] = {}

    def __contains__(self, digest: bytes) -> bool:
        return self._until.get(digest, 0.0) > time.monotonic()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, digest: bytes) -> None:
        """Remember from now on."""
        self._until.pop(digest, None)
        self._until[digest] = time.monotonic() + self._seconds
        if len(self._until) > MOST_REMEMBERED:
            del self._until[next(iter(self._until))]


class AskedTokens(Generic[Answer]):
    """The questions about tokens that are under way, and what became of the last ones."""

    def __init__(self) -> None:
        self.refused = Remembered(REFUSED_SECONDS)
        self.known = Remembered(KNOWN_SECONDS)
        self._asked: dict[bytes, asyncio.Task[Answer]] = {}
        self._turns = SharedTurns(MOST_ASKED, MOST_WAITING)

    async def answer(
        self,
        token: str,
        ask: Callable[[], Awaitable[Answer]],
        admit: Callable[[], None] | None = None,
        address: str | None = None,
    ) -> Answer:
        """What `ask` answers of a token, asked once for all who bring it meanwhile.

        One that nobody knows yet waits for its turn, if `admit` raises nothing; without that it is known. Raises what
        `ask` raises: `IdentityUnknown` for some seconds without asking again, and `RequestThrottled` where too many
        unknown tokens wait, and from no other `address` more.
        """
        digest = sha256(token.encode()).digest()
        if digest in self.refused:
            raise IdentityUnknown("The token is not accepted: it was refused a moment ago.", hint="Sign in again.")
        asked = self._asked.get(digest)
        if asked is None:
            if admit is None or digest in self.known:
                question = self._outcome(digest, ask)
            else:
                self._turns.require_room(address)
                admit()
                question = self._in_turn(digest, ask, address, self._turns.join(address))
            asked = self._asked[digest] = asyncio.create_task(question)
            asked.add_done_callback(lambda done: self._ended(digest, done))
        # Whoever gives up does not end it for the others.
        return await asyncio.shield(asked)

    async def _in_turn(
        self, digest: bytes, ask: Callable[[], Awaitable[Answer]], address: str | None, place: asyncio.Future[None]
    ) -> Answer:
        try:
            await place
            return await self._outcome(digest, ask)
        finally:
            self._turns.give_back(address, place)

    async def _outcome(self, digest: bytes, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await ask()
        except IdentityUnknown:
            self.refused.add(digest)
            raise
        self.known.add(digest)
        return answer

    def _ended(self, digest: bytes, asked: "asyncio.Task[Answer]") -> None:
        del self._asked[digest]
        if not asked.cancelled():
            # Told to whoever still waits; nobody may.
            asked.exception()
