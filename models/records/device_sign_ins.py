"""Sign-ins that were begun where there is no browser (RFC 8628): by a code that a person types in one elsewhere.

Whoever began one has our own code of it, which is found by its SHA-256 and never stored; the provider's code, which
nobody outside ever has, is encrypted. So nothing that is kept here, and nothing that is typed or seen in the browser,
is of use to anybody else.
"""

import msgspec
from msgspec import Struct

from models.database.sql import row

LONGEST_SECONDS = 600
SLOWER_SECONDS = 5
"""What RFC 8628 adds to the interval of who asks too fast."""
LONGEST_INTERVAL_SECONDS = 60
ASKING_SECONDS = 15.0
"""Longer than the provider is waited for."""


class BegunOnDevice(Struct, frozen=True, kw_only=True):
    """What a sign-in needs to be brought to its end."""

    provider_code_encrypted: bytes
    code_verifier: str


class TooEarly(Struct, frozen=True):
    """So many seconds before a sign-in may be asked about again."""

    seconds: float


async def begin(code_hash: bytes, begun: BegunOnDevice, *, interval: int, lifetime: float) -> None:
    """Keep a sign-in that was begun, whose provider wants to be asked every `interval` seconds."""
    await row(
        """INSERT INTO device_sign_in (code_hash, provider_code_encrypted, code_verifier, interval_seconds, expires_at)
           VALUES (:code, :provider_code, :verifier, :interval, now() + make_interval(secs => :lifetime))""",
        code=code_hash,
        provider_code=begun.provider_code_encrypted,
        verifier=begun.code_verifier,
        interval=interval,
        lifetime=lifetime,
    )


async def take(code_hash: bytes) -> BegunOnDevice | TooEarly | None:
    """Take a sign-in to ask the provider about it, for some seconds; None if there is none, or not any more.

    One that is asked about already, or was a moment ago, is not given; whoever came too early has to wait longer from
    then on. So a code that was typed is exchanged by one alone.
    """
    taken = await row(
        """UPDATE device_sign_in SET ask_after = now() + make_interval(secs => :asking)
            WHERE code_hash = :code AND expires_at > now() AND ask_after <= now()
           RETURNING provider_code_encrypted, code_verifier""",
        code=code_hash,
        asking=ASKING_SECONDS,
    )
    if taken is not None:
        return msgspec.convert(taken, BegunOnDevice)
    early = await row(
        """UPDATE device_sign_in
              SET interval_seconds = least(interval_seconds + :slower, :longest),
                  ask_after = greatest(ask_after, now() + make_interval(secs => least(interval_seconds + :slower,
                                                                                      :longest)))
            WHERE code_hash = :code AND expires_at > now()
           RETURNING extract(epoch FROM ask_after - now())::float8 AS seconds""",
        code=code_hash,
        slower=SLOWER_SECONDS,
        longest=LONGEST_INTERVAL_SECONDS,
    )
    return None if early is None else msgspec.convert(early, TooEarly)


async def give_back(code_hash: bytes, *, slower: bool = False) -> int:
    """Let a sign-in be asked about again, after its interval; `slower`: which is longer from now on. The seconds."""
    found = await row(
        """UPDATE device_sign_in
              SET interval_seconds = least(interval_seconds + :slower, :longest),
                  ask_after = now() + make_interval(secs => least(interval_seconds + :slower, :longest))
            WHERE code_hash = :code RETURNING interval_seconds""",
        code=code_hash,
        slower=SLOWER_SECONDS if slower else 0,
        longest=LONGEST_INTERVAL_SECONDS,
    )
    return 0 if found is None else int(found["interval_seconds"])


async def end(code_hash: bytes) -> None:
    """Forget a sign-in: it was decided."""
    await row("DELETE FROM device_sign_in WHERE code_hash = :code", code=code_hash)
