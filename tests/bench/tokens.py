"""What a read costs that is signed in by a JWT which was not seen before, against one by a session.

The difference in CPU time, by what it takes to verify one signature, of the kind of key that the provider has.
"""

import asyncio
import contextlib
import http.client
import http.server
import itertools
import json
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from models.database import engine
from models.database.sql import row
from models.domain.settings import Settings
from models.records.sessions import digest
from tests.bench import judge, sizes
from tests.bench.another_api import environment_of_api
from tests.bench.judge import TOKEN, Subject
from tests.bench.verdicts import told
from tests.e2e.people import TEMPLATE
from tests.stacks import Stack
from tests.unit.api.processes import free_url, running
from tests.unit.integrations import fake_provider

KINDS = ("RS256", "EdDSA")
BLOCKS, TIMES = 12, 200
MOST_VERIFICATIONS = 1.0


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """Verifications that a JWT costs more than a session, for each kind of key."""
    blocks, times = (2, 3) if short else (BLOCKS, TIMES)
    address, url, issuer = await sizes.new_database(stack), free_url(), free_url()
    environment = await environment_of_api(stack, url, NBHUB_DATABASE_URL=address, NBHUB_OIDC_ISSUER=issuer)
    with _provider(issuer):
        async with running(environment, url) as process, engine.pool(Settings(database_url=address)):
            path = await _template(url, issuer)
            subject = Subject("ours", int(url.rpartition(":")[2]), process.pid)
            with judge.elsewhere():
                return {
                    kind: await asyncio.to_thread(_judged, subject, path, issuer, kind, blocks, times) for kind in KINDS
                }


@contextlib.contextmanager
def _provider(issuer: str) -> Iterator[None]:
    """Publishes its keys, and that is all it is asked for."""
    answers = {
        "/.well-known/openid-configuration": fake_provider.metadata(issuer=issuer, jwks_uri=f"{issuer}/keys"),
        "/keys": {"keys": [key.as_dict(private=False) for key in fake_provider.KEYS.values()]},
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", int(issuer.rpartition(":")[2])), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


_numbers = itertools.count()


def _token(issuer: str, kind: str) -> str:
    """One that nobody has seen."""
    claims = fake_provider.access_claims(
        iss=issuer, email_verified=True, orgs=["org1"], realm_access={"roles": []}, jti=f"{next(_numbers)}"
    )
    return fake_provider.token(claims, alg=kind)


async def _template(url: str, issuer: str) -> str:
    """The address of a template of the person of the tokens, who has a session too."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        headers = {"Authorization": f"Bearer {_token(issuer, KINDS[0])}"}
        made = (await client.post("/template", json=TEMPLATE, headers=headers)).raise_for_status().json()
    await row(
        """INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash)
           SELECT :token, id, ARRAY['org1'], now() + interval '1 day', :token FROM person WHERE subject = 's-1'""",
        token=digest(TOKEN),
    )
    return f"/template?templateId={made['_id']}"


def _judged(subject: Subject, path: str, issuer: str, kind: str, blocks: int, times: int) -> dict[str, Any]:
    costs: dict[str, list[float]] = {"session": [], "token": []}
    with subject.connected() as connection:
        for _ in range(blocks):
            for name in ("session", "token", "token", "session"):
                tokens = [_token(issuer, kind) if name == "token" else TOKEN for _ in range(times + 1)]
                costs[name].append(_block(subject, connection, path, tokens))
    session, token = (statistics.median(costs[name]) for name in ("session", "token"))
    verification = _verification_us(kind, times)
    beside = {"session_µs": session, "JWT_µs": token, "verification_µs": verification}
    return told(f"{kind}, verifications more", (token - session) / verification, MOST_VERIFICATIONS, beside=beside)


def _block(subject: Subject, connection: http.client.HTTPConnection, path: str, tokens: list[str]) -> float:
    """Microseconds of CPU of a request; the first is not counted."""
    first, *others = tokens
    subject.ask(connection, path, first)
    before = subject.cpu()
    for one in others:
        subject.ask(connection, path, one)
    return (subject.cpu() - before) / 1000 / len(others)


def _verification_us(kind: str, times: int) -> float:
    """Microseconds of CPU of a verification and nothing else."""
    message = b"x" * 400
    if kind == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signed, public = private.sign(message, padding.PKCS1v15(), SHA256()), private.public_key()

        def verify() -> None:
            public.verify(signed, message, padding.PKCS1v15(), SHA256())
    else:
        other = ed25519.Ed25519PrivateKey.generate()
        signature, key = other.sign(message), other.public_key()

        def verify() -> None:
            key.verify(signature, message)

    verify()
    begun = time.thread_time_ns()
    for _ in range(times):
        verify()
    return (time.thread_time_ns() - begun) / 1000 / times
