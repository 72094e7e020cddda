"""A Vault that is sealed, away, slow, silent, or not Vault at all: an error that says so, soon, and tells no secret."""

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from integrations.vault import Vault
from models.domain.errors import RecordMissing, VaultUnavailable
from models.domain.ids import new_id
from stack.vault_setup import role_of
from tests.integration.vault.conftest import MakeClient, Operator, told
from tests.integration.vault.impostor import LOGGED_IN, TOKEN, Impostor, after_login, answers, http
from tests.slow_link import SlowLink
from tests.stacks import Stack

VALUE = "the-value-itself"
WRAPPING = "hvs.the-token-that-hands-over"
SECRET_ID = "the-secret-id-of-this-client"

Call = Callable[[Vault], Awaitable[object]]

CALLS: dict[str, Call] = {
    "put": lambda vault: vault.put(new_id(), VALUE, after=0),
    "wrap": lambda vault: vault.wrap(new_id(), 1, 60),
    "revoke": lambda vault: vault.revoke(WRAPPING),
    "destroy": lambda vault: vault.destroy(new_id()),
    "identities": lambda vault: vault.identities(),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return CALLS[request.param]


async def unavailable(calling: Awaitable[object], *secrets: str) -> VaultUnavailable:
    """The refusal of a call. No error in the chain tells a secret."""
    with pytest.raises(VaultUnavailable) as refusal:
        await calling
    text = told(refusal.value)
    for secret in (VALUE, WRAPPING, SECRET_ID, TOKEN, *secrets):
        assert secret not in text
    return refusal.value


@contextmanager
def soon(seconds: float = 2) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@asynccontextmanager
async def link_to(stack: Stack, *, delay: float = 0) -> AsyncIterator[SlowLink]:
    host, port = stack.info.vault.removeprefix("http://").split(":")
    async with SlowLink(host, int(port), delay=delay) as link:
        yield link


# Sealed, and away


async def test_sealed_and_unsealed(api: Vault, worker: Vault, make_client: MakeClient, operator: Operator) -> None:
    identity = new_id()
    await api.put(identity, VALUE, after=0)
    token = await worker.wrap(identity, 1, 60)
    await operator.seal()
    try:
        # With a token, and without one.
        for client in (api, worker, make_client()):
            for calling in (
                client.put(identity, VALUE, after=1),
                client.wrap(identity, 1, 60),
                client.revoke(token),
                client.destroy(identity),
                client.identities(),
            ):
                with soon():
                    refusal = await unavailable(calling)
                assert "sealed" in refusal.message
                assert refusal.hint
    finally:
        await operator.unseal()
    assert await api.put(identity, VALUE, after=1) == 2
    await worker.revoke(await worker.wrap(identity, 2, 60))
    assert identity in await worker.identities()
    await worker.destroy(identity)


async def test_restarted(api: Vault, worker: Vault, vault: Stack) -> None:
    identity = new_id()
    await api.put(identity, VALUE, after=0)
    await worker.identities()
    await vault.stop_part("vault")
    try:
        for client in (api, worker):
            with soon():
                await unavailable(client.wrap(identity, 1, 60))
    finally:
        await vault.start_part("vault")
    assert await api.put(identity, VALUE, after=1) == 2
    await worker.revoke(await worker.wrap(identity, 1, 60))
    await worker.destroy(identity)


# Slow, and silent


class Pulse:
    """Ticks beside what is tested: how late the event loop ever was, and how many threads of clients there were."""

    def __init__(self) -> None:
        self.lag = 0.0
        self.threads = 0

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        others = self._threads()
        ticking = asyncio.create_task(self._tick(others))
        yield
        ticking.cancel()

    async def _tick(self, others: int) -> None:
        pause = 0.01
        while True:
            due = time.monotonic() + pause
            await asyncio.sleep(pause)
            self.lag = max(self.lag, time.monotonic() - due)
            self.threads = max(self.threads, self._threads() - others)

    @staticmethod
    def _threads() -> int:
        return sum(thread.name.startswith("vault") for thread in threading.enumerate())


async def test_a_slow_vault_slows_nothing_else(make_client: MakeClient, vault: Stack, operator: Operator) -> None:
    threads = 12
    async with link_to(vault, delay=0.5) as link:
        client = make_client(role_of("api"), url=link.url, threads=threads)
        identities = [new_id() for _ in range(100)]
        pulse = Pulse()
        begun = time.monotonic()
        async with pulse.beating():
            made = await asyncio.gather(*(client.put(identity, VALUE, after=0) for identity in identities))
        took = time.monotonic() - begun
        assert made == [1] * 100
        # As slow as it must be, and as many at once as there may be.
        assert 100 / threads * 0.5 < took < 100 * 0.5 / 2
        assert pulse.lag < 0.25
        assert pulse.threads == threads
        assert link.most == threads
    assert await operator.value(identities[-1], 1) == VALUE


async def test_a_link_that_never_answers(make_client: MakeClient, vault: Stack) -> None:
    identity = new_id()
    async with link_to(vault) as link:
        client = make_client(role_of("api"), url=link.url, threads=4, seconds=0.5)
        link.hold()
        with soon(4):
            await asyncio.gather(*(unavailable(client.put(identity, VALUE, after=0)) for _ in range(8)))
        link.release()
        version = await client.put(identity, VALUE, after=0)
        # Now with a token, and with connections that were used.
        link.hold()
        with soon(4):
            await asyncio.gather(*(unavailable(client.put(identity, VALUE, after=version)) for _ in range(8)))
        link.release()
        # What was on its way arrives late: it is passed over.
        assert await client.put(identity, VALUE, after=version) > version


async def test_connections_that_nobody_ended(make_client: MakeClient, vault: Stack) -> None:
    async with link_to(vault) as link:
        client = make_client(url=link.url, threads=1, seconds=0.5)
        await client.identities()
        link.strand()
        with soon():
            await unavailable(client.identities())
        await client.identities()
        assert link.accepted == 2


async def test_connections_that_are_cut(make_client: MakeClient, vault: Stack) -> None:
    identity = new_id()
    async with link_to(vault, delay=0.5) as link:
        client = make_client(role_of("api"), url=link.url)
        assert await client.put(identity, VALUE, after=0) == 1
        # While nobody uses it.
        await link.cut()
        assert await client.put(identity, VALUE, after=1) == 2
        await link.cut()
        # While the answer is awaited.
        accepted = link.accepted
        waiting = asyncio.create_task(unavailable(client.put(identity, VALUE, after=2)))
        while link.accepted == accepted:
            await asyncio.sleep(0)
        await link.cut()
        await waiting
        link.delay = 0
        assert await client.put(identity, VALUE, after=2) in (3, 4)


async def test_a_queue_that_is_too_long_ends(
    make_client: MakeClient, vault: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.vault._LONGEST_SECONDS", 0.3)
    async with link_to(vault) as link:
        client = make_client(url=link.url, threads=1, seconds=2)
        await client.identities()
        link.hold()
        waiting = [asyncio.create_task(unavailable(client.identities())) for _ in range(5)]
        with soon(1.7):
            await asyncio.gather(*waiting)
        link.release()
        await client.identities()


async def test_a_vault_that_drips_holds_nobody(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte is an answer in time, to the library below."""
    monkeypatch.setattr("integrations.vault._LONGEST_SECONDS", 0.5)
    dripping = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        dripping.set()
        for _ in range(20):
            writer.write(b" ")
            await asyncio.sleep(0.1)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    client = make_client(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seconds=0.3)
    with soon(1.5):
        await unavailable(client.identities())
    assert dripping.is_set()
    await client.close()
    server.close()
    await server.wait_closed()


async def test_who_goes_away_leaves_the_place_to_others(make_client: MakeClient, vault: Stack) -> None:
    async with link_to(vault, delay=0.3) as link:
        client = make_client(url=link.url, threads=2)
        impatient = [asyncio.create_task(client.identities()) for _ in range(10)]
        while link.open < 1:
            await asyncio.sleep(0)
        for one in impatient:
            one.cancel()
        await asyncio.gather(*impatient, return_exceptions=True)
        await asyncio.gather(*(client.identities() for _ in range(4)))
        assert link.most == 2


# Not Vault


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_redirects_are_not_followed(call: Call, make_client: MakeClient, status: str) -> None:
    async with Impostor(LOGGED_IN) as other:
        elsewhere = http(status, b"", f"Location: {other.url}/v1/secret/data/x")
        async with Impostor(after_login(elsewhere)) as impostor, Impostor(elsewhere) as at_once:
            await unavailable(call(make_client("role", SECRET_ID, url=impostor.url)))
            assert TOKEN.encode() in impostor.heard[-1]
            await unavailable(call(make_client("role", SECRET_ID, url=at_once.url)))
            assert SECRET_ID.encode() in at_once.heard[-1]
        assert other.heard == []


HTML = b"<html><title>the-value-itself</title></html>"
GARBAGE = {
    "html": http("200 OK", HTML, media_type="text/html"),
    "html-said-to-be-json": http("200 OK", HTML),
    "empty": http("200 OK", b""),
    "no-content-but-200": http("200 OK", b"null"),
    "truncated-json": http("200 OK", b'{"data": {"value": "the-value-itself"'),
    "truncated-body": http("200 OK", b'{"data": {}}')[:-4],
    "list": answers(["the-value-itself"]),
    "number": answers(1),
    "text": answers("the-value-itself"),
    "no-data": answers({"data": None, "auth": None, "wrap_info": None}),
    "strange-data": answers({"data": "the-value-itself", "auth": [], "wrap_info": "the-value-itself"}),
    "strange-version": answers({"data": {"version": "the-value-itself", "keys": 7}, "wrap_info": {}}),
    "endless-version": http("200 OK", b'{"data": {"version": Infinity, "keys": [[]]}, "wrap_info": {"token": []}}'),
    "deep": http("200 OK", b"[" * 100_000),
    "not-wrapped": answers({"data": {"data": {"value": VALUE}, "metadata": {"version": 1}}, "wrap_info": None}),
    "400": http("400 Bad Request", b'{"errors": ["the-value-itself is not good"]}'),
    "403-html": http("403 Forbidden", HTML, media_type="text/html"),
    "404-html": http("404 Not Found", HTML, media_type="text/html"),
    "404-no-route": http("404 Not Found", b'{"errors": ["no handler for route \\"secret/the-value-itself\\""]}'),
    "429": http("429 Too Many Requests", b'{"errors": ["slow down"]}'),
    "500": http("500 Internal Server Error", b'{"errors": ["the-value-itself broke it"]}'),
    "500-list": http("500 Internal Server Error", b'["the-value-itself"]'),
    "500-strange-errors": http("500 Internal Server Error", b'{"errors": [{"a": "the-value-itself"}]}'),
    "502-html": http("502 Bad Gateway", HTML, media_type="text/html"),
    "503": http("503 Service Unavailable", b'{"errors": ["Vault is sealed"]}'),
    "not-http": b"SSH-2.0-the-value-itself\r\n",
    "no-status": b"HTTP/1.1\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_an_error_that_tells_nothing(call: Call, make_client: MakeClient, garbage: str) -> None:
    answer = GARBAGE[garbage]
    async with Impostor(after_login(answer)) as impostor:
        await unavailable(call(make_client("role", SECRET_ID, url=impostor.url)))
        assert any(TOKEN.encode() in request for request in impostor.heard)
        assert len(impostor.heard) <= 4, "it went on and on"
    async with Impostor(answer) as impostor:
        await unavailable(call(make_client("role", SECRET_ID, url=impostor.url)))
        assert [SECRET_ID.encode() in request for request in impostor.heard] == [True]


@pytest.mark.parametrize("token", ["with\r\nX-Other: header", "", None, 7, ["x"], "\u20ac"])
async def test_a_token_that_cannot_be_one(call: Call, make_client: MakeClient, token: object) -> None:
    answer = answers({"auth": {"client_token": token, "lease_duration": 3600}})
    async with Impostor(lambda _: answer) as impostor:
        client = make_client("role", SECRET_ID, url=impostor.url)
        await unavailable(call(client), "X-Other")
        assert all(b"/login" in request.splitlines()[0] for request in impostor.heard)


async def test_only_what_vault_itself_does_not_have_is_missing(make_client: MakeClient) -> None:
    missing = http("404 Not Found", b'{"errors":[]}')
    async with Impostor(after_login(missing)) as impostor:
        client = make_client("role", SECRET_ID, url=impostor.url)
        with pytest.raises(RecordMissing) as absence:
            await client.wrap(new_id(), 1, 60)
        assert TOKEN not in told(absence.value)
        assert await client.identities() == []


async def test_a_refused_value_is_not_in_the_refusal(api: Vault, worker: Vault, make_client: MakeClient) -> None:
    """Vault itself, asked for what it does not do."""
    value = f"{VALUE}-" + "x" * 40_000_000
    await unavailable(api.put(new_id(), value, after=0))
    await unavailable(worker.put(new_id(), VALUE, after=0))
    await unavailable(make_client("role", SECRET_ID).put(new_id(), VALUE, after=0))


async def test_nothing_comes_from_the_environment(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".vault-token").write_text("hvs.of-the-home")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password of-the-netrc\n")
    async with Impostor(LOGGED_IN) as proxy, Impostor(after_login(answers({"data": {"keys": []}}))) as impostor:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name, value in (("HOME", tmp_path), ("VAULT_TOKEN", "hvs.of-the-environment"), ("VAULT_ADDR", proxy.url)):
            monkeypatch.setenv(name, str(value))
        assert await make_client("role", SECRET_ID, url=impostor.url).identities() == []
        assert proxy.heard == []
        assert len(impostor.heard) == 2
        for request in impostor.heard:
            assert b"hvs.of-the" not in request
            assert b"authorization:" not in request.lower()


async def test_a_certificate_is_checked(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    async with Impostor(after_login(answers({"data": {"keys": []}})), tls=context) as impostor:
        await unavailable(make_client("role", SECRET_ID, url=impostor.url).identities())
        assert impostor.heard == []
        # As the other clients do, and the hub.
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        assert await make_client("role", SECRET_ID, url=impostor.url).identities() == []


def _certificate(directory: Path) -> Path:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def test_representations_tell_nothing() -> None:
    client = Vault("http://vault.test", "role", SECRET_ID, engine="secret")
    assert SECRET_ID not in repr(client)
