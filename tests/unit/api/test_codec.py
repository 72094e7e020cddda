"""The codec endpoint: an admin's token decrypts, in development the address as well; everybody else gets nothing."""

import base64
import json

import pytest
from cryptography.fernet import Fernet

from api.codec import ROUTES
from api.servers import ServersController
from tests.unit.api.bench import Api, Bench

TOKEN = "t" * 40
PLAIN = {
    "metadata": {"encoding": base64.b64encode(b"json/plain").decode()},
    "data": base64.b64encode(b'"hello"').decode(),
}


def codec(bench: Bench, token: str = TOKEN) -> Api:
    return bench.api(ROUTES, codec_token=token, payload_keys=f"1:{Fernet.generate_key().decode()}")


async def test_round_trip(bench: Bench) -> None:
    api = codec(bench)
    sealed = (await api.admin.post(f"/codec/{TOKEN}/encode", json={"payloads": [PLAIN]})).json()
    assert base64.b64decode(sealed["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
    assert "hello" not in base64.b64decode(sealed["payloads"][0]["data"]).decode("latin-1")
    # The second as the UI asks.
    for path in (f"/codec/{TOKEN}/decode", f"/codec/{TOKEN}/decode?preserveStorageRefs=true", "/codec/decode"):
        opened = await api.admin.post(path, json=sealed)
        assert (opened.status_code, opened.json()) == (200, {"payloads": [PLAIN]})
    passed = await api.admin.post(f"/codec/{TOKEN}/decode", json={"payloads": [PLAIN, *sealed["payloads"]]})
    assert passed.json() == {"payloads": [PLAIN, PLAIN]}


async def test_an_admin_alone_has_payloads_decrypted_and_encrypted(bench: Bench) -> None:
    api = codec(bench, token="")
    sealed = (await api.admin.post("/codec/encode", json={"payloads": [PLAIN]})).json()
    assert base64.b64decode(sealed["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
    assert (await api.admin.post("/codec/decode?preserveStorageRefs=true", json=sealed)).json() == {"payloads": [PLAIN]}
    for path in ("/codec/decode", "/codec/encode"):
        assert (await api.nobody.post(path, json=sealed)).status_code == 401
        assert (await api.alice.post(path, json=sealed)).status_code == 403


UI, PEOPLES_UI = "https://temporal.example.org", "https://hub.example.org"


@pytest.mark.parametrize(
    ("origin", "path", "read"),
    [
        (UI, "/codec/decode", True),
        (PEOPLES_UI, "/codec/decode", False),
        ("https://evil.example.org", "/codec/decode", False),
        ("null", "/codec/decode", False),
        (f"{UI}.evil.org", "/codec/decode", False),
        (UI, "/servers", False),
        (UI, "/codecs/decode", False),
        (UI, "//codec/decode", False),
        (PEOPLES_UI, "/servers", True),
    ],
)
async def test_the_temporal_uis_pages_read_the_codec_and_nothing_else(
    bench: Bench, origin: str, path: str, read: bool
) -> None:
    api = bench.api([*ROUTES, ServersController], temporal_ui_url=f"{UI}/", cors_origins=(PEOPLES_UI,), payload_keys="")
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,authorization-extras,content-type,x-namespace",
    }
    preflight = await api.admin.options(path, headers=asked)
    assert (preflight.headers.get("access-control-allow-origin") == origin) == read
    answer = await api.admin.post(path, headers={"origin": origin}, json={})
    assert (answer.headers.get("access-control-allow-origin") == origin) == read


async def test_without_the_address_there_is_nothing(bench: Bench) -> None:
    for token in ("x", TOKEN[:-1], TOKEN + "t", "%ff"):
        assert (await codec(bench).nobody.post(f"/codec/{token}/decode", json={})).status_code == 404
    assert (await codec(bench, token="").nobody.post("/codec/%20/decode", json={})).status_code in (404, 405)
    assert (await codec(bench).nobody.post("/codec/decode", json={})).status_code == 401
    assert (await codec(bench).alice.post("/codec/decode", json={})).status_code == 403


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
    answer = await codec(bench).nobody.post(f"/codec/{TOKEN}/decode", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MALFORMED"
