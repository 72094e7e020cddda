"""The documentation needs nothing but this service, and the browser is told so."""

import base64
import hashlib
import re

import pytest

from api.app import assemble
from api.http.docs_page import PAGE, docs_page
from models.domain.settings import Settings
from tests.unit.api.bench import Api, Bench, Client
from tests.unit.api.http.test_write import NotesController


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.api([docs_page, NotesController])


async def test_nothing_is_loaded_from_elsewhere(api: Api) -> None:
    answer = await api.nobody.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "//" not in re.sub(r"data:,", "", answer.text)
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


async def test_the_document_is_served_to_everybody(api: Api) -> None:
    answer = await api.nobody.get("/schema/openapi.json")
    assert answer.status_code == 200
    document = answer.json()
    change = document["paths"]["/notes/{id}"]["patch"]
    refusals = {"400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"}
    assert {"200", *refusals} == set(change["responses"])
    assert {one["name"] for one in change["parameters"]} == {"id", "Idempotency-Key"}
    work = document["paths"]["/work"]
    assert {"200", "202"} <= set(work["post"]["responses"])
    assert {"202", "204"} <= set(work["delete"]["responses"])
    refused = work["post"]["responses"]["503"]["$ref"].rpartition("/")[2]
    assert "Retry-After" in document["components"]["responses"][refused]["headers"]


async def test_cors() -> None:
    settings = Settings(
        database_url="postgresql:///unused", cors_origins=("https://ui.example.org", "http://localhost:4200")
    )
    app = assemble([docs_page], settings=settings)
    async with Client(app) as client:
        for origin, allowed in (
            ("https://ui.example.org", True),
            ("http://localhost:4200", True),
            ("null", False),
            ("https://ui.example.org.evil.test", False),
            ("https://uixexample.org", False),
        ):
            answer = await client.get("/docs", headers={"origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) == allowed, origin
            preflight = await client.options(
                "/docs",
                headers={
                    "origin": origin,
                    "access-control-request-method": "GET",
                    "access-control-request-headers": "authorization, if-match, idempotency-key, prefer",
                },
            )
            assert (preflight.status_code == 204) == allowed
        exposed = answer.headers["access-control-expose-headers"]
        assert {"ETag", "Link", "Location", "Retry-After"} <= set(exposed.replace(" ", "").split(","))
