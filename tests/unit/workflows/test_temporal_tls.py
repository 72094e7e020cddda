"""Temporal behind certificates, as the deployment has it: a real one, which by itself has none, behind a TLS proxy."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.service import RPCError

from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings
from tests.unit.deploy.deployment import DEPLOY, run
from workflows.client import Workflows, connect


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deployment's certificates."""
    return _secrets(tmp_path_factory)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of another one."""
    return _secrets(tmp_path_factory)


def _secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("secrets")
    run(str(DEPLOY / "make-secrets.sh"), str(made))
    return made


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def asking_for_certificates(target: str, secrets: Path) -> AsyncIterator[str]:
    """An address that passes on to `target` who proves by a certificate who it is, as Temporal does by its settings."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=secrets / "temporal-ca-cert")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(secrets / "temporal-server-cert", secrets / "temporal-server-key")
    context.set_alpn_protocols(["h2"])
    host, _, port = target.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def given(address: str, **files: Path | str) -> Settings:
    """Settings as from an environment, with files of certificates."""
    variables = {f"NBHUB_TEMPORAL_TLS_{name.upper()}": str(value) for name, value in files.items()}
    return Settings.from_environment(
        {"NBHUB_DATABASE_URL": "postgresql:///x", "NBHUB_TEMPORAL_ADDRESS": address, **variables}
    )


def certified(address: str, authority: Path, client: Path, name: str = "temporal") -> Settings:
    return given(
        address,
        ca_file=authority / "temporal-ca-cert",
        cert_file=client / "temporal-client-cert",
        key_file=client / "temporal-client-key",
        server_name=name,
    )


async def answers(settings: Settings) -> bool:
    """Whether Temporal serves a process with these settings."""
    try:
        async with asyncio.timeout(20):
            await Workflows(await connect(settings, lazy=False), settings).ping()
    except (RuntimeError, RPCError):
        return False
    return True


async def test_who_has_a_certificate_is_served_and_nobody_else(temporal: str, ours: Path, strangers: Path) -> None:
    async with asking_for_certificates(temporal, ours) as address:
        assert await answers(certified(address, ours, ours))
        assert not await answers(certified(address, ours, strangers)), "a certificate of somebody else's"
        assert not await answers(given(address, ca_file=ours / "temporal-ca-cert", server_name="temporal")), "none"
        assert not await answers(given(address)), "no TLS"
        assert not await answers(certified(address, strangers, ours)), "Temporal's is of somebody else's"
        assert not await answers(certified(address, ours, ours, name="another")), "Temporal's has another name"
    assert await answers(given(temporal)), "where there is no TLS none is needed"


@pytest.mark.parametrize("one", ["cert", "key"])
def test_a_certificate_without_its_key_is_said_at_the_start(one: str) -> None:
    with pytest.raises(SettingsInvalid, match="NBHUB_TEMPORAL_TLS_CERT and NBHUB_TEMPORAL_TLS_KEY"):
        given("127.0.0.1:1", **{one: "x"})
    with pytest.raises(SettingsInvalid, match="NBHUB_TEMPORAL_TLS_CA_FILE"):
        given("127.0.0.1:1", ca_file="/nowhere")
