"""Signing in from a terminal without a browser: by a code that is typed in a browser elsewhere (RFC 8628)."""

import math
import secrets
from typing import Annotated, Any, ClassVar

from cryptography.fernet import Fernet
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from api.http.fields import AnswerBody, RequestBody, Url
from api.http.policy import Policy, needs
from api.http.rates import AUTH, limited
from api.http.services import Services
from api.signing_in import NO_STORE, Token, TokenView, admitted
from integrations.oidc import TokenAnswer, Undecided
from models.domain.errors import ActionForbidden, DependencyUnavailable, RequestMalformed, RequestThrottled
from models.records import device_sign_ins, sessions
from models.records.device_sign_ins import BegunOnDevice, TooEarly


class DeviceCodeAnswer(AnswerBody, frozen=True, kw_only=True):
    """A sign-in that was begun: what to show, and what to ask for the tokens with."""

    device_code: Annotated[
        str, Meta(description="For `POST /auth/device/token`. Whoever has it gets the tokens: it is never shown.")
    ]
    user_code: Annotated[str, Meta(description="What the person types at `verification_uri`.")]
    verification_uri: Annotated[Url, Meta(description="Where the person types it, in a browser of any machine.")]
    expires_in: Annotated[int, Meta(description="Seconds until both codes end.")]
    interval: Annotated[int, Meta(description="Seconds to wait before asking for the tokens, each time.")]
    verification_uri_complete: (
        Annotated[Url, Meta(description="The same address with the code in it, where the provider has that.")] | None
    ) = None


class DeviceTokenRequest(RequestBody, frozen=True, kw_only=True):
    """What the sign-in is known by."""

    example: ClassVar[dict[str, Any]] = {"device_code": "Zk3QyVbR0w-of-who-began"}

    device_code: Annotated[Token, Meta(description="The `device_code` of the sign-in.")]


class DeviceSignInController(Controller):
    """Signing in where there is no browser."""

    tags = ("Sign-in",)

    @post(
        "/auth/device",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (409,)},
        status_code=200,
        operation_id="beginSignInOnDevice",
        summary="Begin a sign-in without a browser",
    )
    async def begin(self, services: NamedDependency[Services]) -> Response[DeviceCodeAnswer]:
        """Begin a sign-in that a person completes in a browser elsewhere, by typing a code at the provider.

        It lasts ten minutes, or as long as the provider says, and can be completed once. 409 where the provider gives
        no such codes.
        """
        login = await services.oidc.begin_on_device()
        given, code = login.code, secrets.token_urlsafe(32)
        encrypted = Fernet(services.settings.session_key).encrypt(given.device_code.encode())
        begun = BegunOnDevice(provider_code_encrypted=encrypted, code_verifier=login.code_verifier)
        lifetime = max(0, min(given.expires_in, device_sign_ins.LONGEST_SECONDS))
        interval = math.ceil(max(1, min(given.interval, device_sign_ins.LONGEST_INTERVAL_SECONDS)))
        await device_sign_ins.begin(sessions.digest(code), begun, interval=interval, lifetime=lifetime)
        answer = DeviceCodeAnswer(
            device_code=code,
            user_code=given.user_code,
            verification_uri=given.verification_uri,
            verification_uri_complete=given.verification_uri_complete,
            expires_in=int(lifetime),
            interval=interval,
        )
        return Response(answer, headers=NO_STORE)

    @post(
        "/auth/device/token",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (401, 403)},
        status_code=200,
        operation_id="completeSignInOnDevice",
        summary="Complete a sign-in without a browser",
    )
    async def token(
        self, data: JSONBody[DeviceTokenRequest], services: NamedDependency[Services]
    ) -> Response[TokenView]:
        """The tokens, once the person has typed the code and said yes; to be asked for every `interval` seconds.

        Until then 400 with the code `AUTHORIZATION_PENDING`, and to who asks sooner 429 with `SLOW_DOWN`: the interval
        is five seconds longer from then on. 403 with `SIGN_IN_DENIED` if the person said no.
        """
        tokens = await _exchanged(data.device_code, services)
        return Response(await admitted(tokens, services, nonce=None), headers=NO_STORE)


async def _exchanged(code: str, services: Services) -> TokenAnswer:
    """What the provider gives for the code of a sign-in, which has ended then. Raises what is in the way of that."""
    known = sessions.digest(code)
    found = await device_sign_ins.take(known)
    if found is None:
        raise RequestMalformed(
            "This code belongs to no sign-in that goes on: it has ended, was completed, or was never begun.",
            hint="Begin at POST /auth/device.",
            code="SIGN_IN_UNKNOWN",
        )
    if isinstance(found, TooEarly):
        raise _too_fast(found.seconds)
    provider_code = Fernet(services.settings.session_key).decrypt(found.provider_code_encrypted).decode()
    try:
        answer = await services.oidc.exchange_device_code(provider_code, found.code_verifier)
    except DependencyUnavailable:
        await device_sign_ins.give_back(known)
        raise
    except (ActionForbidden, RequestMalformed):
        await device_sign_ins.end(known)
        raise
    if not isinstance(answer, Undecided):
        await device_sign_ins.end(known)
        return answer
    seconds = await device_sign_ins.give_back(known, slower=answer.slower)
    if answer.slower:
        raise _too_fast(seconds)
    raise RequestMalformed(
        "Nobody has typed the code and said yes yet.",
        hint="Ask again after `interval` seconds.",
        code="AUTHORIZATION_PENDING",
    )


def _too_fast(seconds: float) -> RequestThrottled:
    return RequestThrottled(
        "The code is asked about too often.",
        hint="Wait five seconds longer each time.",
        retry_after=seconds,
        code="SLOW_DOWN",
    )
