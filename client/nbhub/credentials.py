"""Whom requests are sent for: a token that is given, or the profile of `nbhub login`."""

import os
from collections.abc import Callable
from typing import Protocol

from nbhub.models import Tokens
from nbhub.profiles import Profile, Profiles, same_place

DEFAULT_URL = "http://127.0.0.1:8002"
URL_VARIABLE = "NBHUB_URL"
TOKEN_VARIABLE = "NBHUB_TOKEN"  # noqa: S105 - a name


class Lock(Protocol):
    """Held by who exchanges a refresh token: it is good once."""

    def release(self) -> None:
        """Let others have it."""


class Credentials(Protocol):
    """Where the access token comes from, and a fresh one when it has expired."""

    def token(self) -> str | None:
        """The one to send; None: none."""

    def lock(self) -> Lock | None:
        """The right to exchange the refresh token; None while another process has it."""

    def refresh_token(self) -> str | None:
        """What to exchange for a fresh token; None: it cannot be."""

    def keep(self, tokens: Tokens) -> None:
        """Remember fresh tokens."""


class _NoLock:
    def release(self) -> None:
        pass


class GivenToken:
    """A token, or a function that has the current one."""

    def __init__(self, token: str | Callable[[], str] | None) -> None:
        self._token = token

    def token(self) -> str | None:
        return self._token() if callable(self._token) else self._token

    def lock(self) -> Lock | None:
        return _NoLock()

    def refresh_token(self) -> str | None:
        return None

    def keep(self, tokens: Tokens) -> None:
        """Nothing is kept: whoever gave the token has it."""


class SignedIn:
    """What `nbhub login` has left in a profile; read anew at each request, as other processes refresh it too."""

    def __init__(self, profiles: Profiles, profile: Profile) -> None:
        self._profiles, self._profile = profiles, profile

    def token(self) -> str | None:
        kept = self._profiles.tokens(self._profile)
        return None if kept is None else kept.access_token

    def lock(self) -> Lock | None:
        return self._profiles.lock(self._profile)

    def refresh_token(self) -> str | None:
        kept = self._profiles.tokens(self._profile)
        return None if kept is None else kept.refresh_token

    def keep(self, tokens: Tokens) -> None:
        self._profiles.keep_tokens(self._profile, tokens)


def found(
    url: str | None, token: str | Callable[[], str] | None, profile: str | None = None
) -> tuple[str, Credentials]:
    """Where Notebooks Hub is and whom requests are for: as given, else `NBHUB_*`, else the profile.

    A profile's tokens go to its own address alone.
    """
    profiles = Profiles()
    kept = profiles.find(profile)
    named = url or (os.environ.get(URL_VARIABLE) if profile is None else None)
    place = named or (kept.url if kept else DEFAULT_URL)
    given = token or (os.environ.get(TOKEN_VARIABLE) if profile is None else None)
    if given is None and kept is not None and same_place(place, kept.url):
        return place, SignedIn(profiles, kept)
    return place, GivenToken(given)
