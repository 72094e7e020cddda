"""Decrypts payloads for people who look at workflows in the Temporal web UI.

The UI's codec endpoint is `{public_url}/codec`: it sends the access token with which an operator signed in to it, and
only an admin's will do. A UI without sign-in, as the development server's, has `{public_url}/codec/{codec_token}` where
the settings have such a token: the address itself is the capability then, and nothing here logs addresses.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from google.protobuf import json_format
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from temporalio.api.common.v1 import Payloads

from api.http.policy import Policy, needs
from api.http.validation import work_on
from models.domain.errors import RecordMissing, RequestMalformed
from models.domain.settings import Settings
from workflows.codec import EncryptionCodec, PayloadUnreadable

Work = Callable[[Request[Any, Any, Any], Settings], Awaitable[Response[bytes]]]
# The UI says with it that references to payloads stored elsewhere may stay; there are none here.
StorageRefs = Annotated[bool | None, QueryParameter(name="preserveStorageRefs")]


def _require_token(token: str, settings: Settings) -> None:
    expected = settings.codec_token.encode()
    if not expected or not hmac.compare_digest(token.encode(errors="replace"), expected):
        raise RecordMissing("There is nothing at this address.")


async def _decoded(request: Request[Any, Any, Any], settings: Settings) -> Response[bytes]:
    payloads = await _read(request)
    if settings.payload_keys:
        try:
            # The UI sends whatever it shows, also what nobody encrypts: search attributes, an operator's own signals.
            codec = EncryptionCodec.from_setting(settings.payload_keys, accept_plain=True)
            decoded = await codec.decode(payloads.payloads)
        except PayloadUnreadable as error:
            raise RequestMalformed(f"A payload cannot be decrypted: {error}.") from None
        payloads = Payloads(payloads=decoded)
    return _answer(payloads)


async def _encoded(request: Request[Any, Any, Any], settings: Settings) -> Response[bytes]:
    payloads = await _read(request)
    if settings.payload_keys:
        encoded = await EncryptionCodec.from_setting(settings.payload_keys).encode(payloads.payloads)
        payloads = Payloads(payloads=encoded)
    return _answer(payloads)


async def _read(request: Request[Any, Any, Any]) -> Payloads:
    body = await request.body()
    try:
        return await work_on(body, json_format.Parse, body, Payloads())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        raise RequestMalformed("The body is not a list of payloads.") from None


def _answer(payloads: Payloads) -> Response[bytes]:
    return Response(json_format.MessageToJson(payloads, indent=None).encode(), media_type="application/json")


def _routes(verb: str, work: Work) -> list[HTTPRouteHandler]:
    """The two that do some work: for whoever holds the address, and for an admin."""

    @post(f"/codec/{{token:str}}/{verb}", opt=needs(Policy.PUBLIC), status_code=200, include_in_schema=False)
    async def at_address(
        token: FromPath[str],
        request: Request[Any, Any, Any],
        settings: NamedDependency[Settings],
        preserve_storage_refs: StorageRefs = None,
    ) -> Response[bytes]:
        _require_token(token, settings)
        return await work(request, settings)

    @post(f"/codec/{verb}", opt=needs(Policy.ADMIN), status_code=200, include_in_schema=False)
    async def for_an_admin(
        request: Request[Any, Any, Any], settings: NamedDependency[Settings], preserve_storage_refs: StorageRefs = None
    ) -> Response[bytes]:
        return await work(request, settings)

    return [at_address, for_an_admin]


ROUTES = [*_routes("decode", _decoded), *_routes("encode", _encoded)]
