"""The codec endpoint: whoever holds the address decrypts, everybody else finds nothing."""

import base64
import dataclasses
import json

import httpx
import msgspec
import pytest
from cryptography.fernet import Fernet

from api.codec import CodecController
from tests.unit.api.bench import Bench

TOKEN = "t" * 40
PLAIN = {
    "metadata": {"encoding": base64.b64encode(b"json/plain").decode()},
    "data": base64.b64encode(b'"hello"').decode(),
}


def client(bench: Bench, caller: str | None = None, token: str = TOKEN) -> httpx.AsyncClient:
    settings = msgspec.structs.replace(
        bench.settings, codec_token=token, payload_keys=f"1:{Fernet.generate_key().decode()}"
    )
    services = dataclasses.replace(bench.services, settings=settings)
    return dataclasses.replace(bench, services=services).client([CodecController], caller=caller)


async def test_round_trip(bench: Bench) -> None:
    api = client(bench, caller="admin")
    sealed = (await api.post(f"/codec/{TOKEN}/encode", json={"payloads": [PLAIN]})).json()
    assert base64.b64decode(sealed["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
    assert "hello" not in base64.b64decode(sealed["payloads"][0]["data"]).decode("latin-1")
    # The second as the UI asks.
    for path in (f"/codec/{TOKEN}/decode", f"/codec/{TOKEN}/decode?preserveStorageRefs=true", "/codec/decode"):
        opened = await api.post(path, json=sealed)
        assert (opened.status_code, opened.json()) == (200, {"payloads": [PLAIN]})
    passed = await api.post(f"/codec/{TOKEN}/decode", json={"payloads": [PLAIN, *sealed["payloads"]]})
    assert passed.json() == {"payloads": [PLAIN, PLAIN]}


async def test_without_the_address_there_is_nothing(bench: Bench) -> None:
    for token in ("x", TOKEN[:-1], TOKEN + "t", "%ff"):
        assert (await client(bench).post(f"/codec/{token}/decode", json={})).status_code == 404
    assert (await client(bench, token="").post("/codec/%20/decode", json={})).status_code in (404, 405)
    assert (await client(bench).post("/codec/decode", json={})).status_code == 401
    assert (await client(bench, caller="alice").post("/codec/decode", json={})).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"null",
        b"\xff",
        b'{"payloads": 1}',
        b'{"payloads": [{"data": "not base64!"}]}',
        b'{"unknown": 1}',
        b"[" * 50_000,
        json.dumps(
            {"payloads": [{"metadata": {"encoding": base64.b64encode(b"binary/encrypted").decode()}, "data": "AAAA"}]}
        ).encode(),
    ],
    ids=lambda body: repr(body)[:40],
)
async def test_bad_bodies(bench: Bench, body: bytes) -> None:
    answer = await client(bench).post(f"/codec/{TOKEN}/decode", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MALFORMED"
