"""People with sessions, at the application as it is: with its own authentication."""

import dataclasses
from typing import Any, cast

from msgspec import structs

from api.app import HANDLERS, assemble
from api.http.authentication import Authentication
from api.http.rates import Rates
from models.database.sql import row
from models.domain.errors import IdentityUnknown
from models.domain.values import Caller
from models.records.sessions import digest
from tests.unit.api.bench import Api, Client, unique


class Provider:
    """Knows the tokens that it was told of, and of each the e-mail."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known

    async def read_access_token(self, token: str, **_: object) -> dict[str, object]:
        claims = self.read_at_hand(token)
        if claims is None:
            raise IdentityUnknown("It is not known.")
        return claims

    def read_at_hand(self, token: str, **_: object) -> dict[str, object] | None:
        if token not in self._known:
            return None
        return {"sub": self._known[token], "email": self._known[token], "email_verified": True}


class SignedIn(Client):
    """Somebody with a session, at the application as it is."""

    def __init__(self, api: Api, caller: Caller, known: dict[str, str]) -> None:
        settings = structs.replace(api.bench.settings, refused_per_minute=0)
        self._authentication, self._who = Authentication(), caller
        app = assemble(HANDLERS, settings=settings, middleware=[self._authentication])
        app.state.services = dataclasses.replace(
            api.bench.services, settings=settings, oidc=cast(Any, Provider(known)), rates=Rates(settings)
        )
        super().__init__(app)

    def bring(self, token: str) -> None:
        """Ask with this token from now on."""
        self.headers["authorization"] = f"Bearer {token}"

    async def sign_in(self) -> str:
        """Begin a session; its token."""
        token = unique("token")
        await row(
            """INSERT INTO session (token_hash, person, admin, orgs, expires_at, id_token_hash)
               VALUES (:token, :person, :admin, ARRAY['org'], now() + interval '1 hour', :token)""",
            token=digest(token),
            person=self._who.id,
            admin=self._who.admin,
        )
        self.bring(token)
        return token

    def forget(self) -> None:
        """Have the process know as little as one that has just begun."""
        self._authentication._known.clear()
        self._authentication._persons.clear()


async def signed_in(api: Api, name: str, known: dict[str, str] | None = None) -> tuple[SignedIn, str]:
    """One of the bench's callers, and the token; the provider knows of other tokens the e-mails."""
    client = SignedIn(api, api.bench.callers[name], known or {})
    return client, await client.sign_in()
