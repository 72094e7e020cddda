"""`nbhub admin doctor` finds each fault, says what to do about it, and says nothing where there is none."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec import structs

from models.database.engine import pool
from models.database.sql import row
from models.domain.errors import VaultUnavailable
from models.domain.settings import Settings
from models.ledger import heartbeats
from models.ledger.heartbeats import Role
from nbhub.cli import program
from operating import __main__ as command
from operating import checks, doctor, histories
from operating.checks import Checks
from operating.findings import Check, Finding, Said, State, fail, ok, skipped, taken, warn
from tests.project import PROJECT
from tests.workflows.incompatible import Incompatible

FERNET = Fernet.generate_key().decode()
SECRET = "the-value-itself"


@pytest.fixture(scope="module")
async def settings(
    new_database: Callable[[], Awaitable[str]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    """A database of these tests alone, and directories."""
    names = ("notebook", "dataset", "group", "module")
    places: dict[str, Any] = {f"{name}_location": str(tmp_path_factory.mktemp(name)) for name in names}
    settings = Settings(
        database_url=await new_database(),
        database_pool_size=4,
        payload_keys=f"new:{FERNET},old:{FERNET}",
        session_key=FERNET,
        **places,
    )
    async with pool(settings):
        yield settings


async def look(
    settings: Settings, name: str, /, environment: dict[str, str] | None = None, **changed: Any
) -> list[Finding]:
    """What one look finds, with other settings."""
    every = Checks(structs.replace(settings, **changed), environment or {})
    return await taken({name: {**every.parts(), **every.replays()}[name]})


def states(found: list[Finding]) -> list[State]:
    """How it is; whatever is not well has something to do."""
    for one in found:
        assert bool(one.do) is (one.state in (State.WARN, State.FAIL)), one
        assert one.text.endswith("."), one
    return [one.state for one in found]


async def test_a_database_of_this_version_is_well_and_one_of_another_is_not(settings: Settings) -> None:
    assert states(await look(settings, "database")) == [State.OK]
    assert states(await look(settings, "schema")) == [State.OK]
    gone = await row("SELECT name, app_name FROM migration ORDER BY name DESC LIMIT 1")
    assert gone is not None
    await row("DELETE FROM migration WHERE name = :name", name=gone["name"])
    (missing,) = await look(settings, "schema")
    assert (missing.state, gone["name"] in missing.text) == (State.FAIL, True)
    assert "models.database.migrate" in missing.do
    await row("INSERT INTO migration (name, app_name) VALUES (:name, 'notebooks_hub')", name=gone["name"])
    await row("INSERT INTO migration (name, app_name) VALUES ('2999-01-01T00:00:00:000000', 'notebooks_hub')")
    (unknown,) = await look(settings, "schema")
    assert (unknown.state, "2999" in unknown.text) == (State.WARN, True)
    await row("DELETE FROM migration WHERE name LIKE '2999%'")
    assert states(await look(settings, "schema")) == [State.OK]


async def test_a_worker_that_works_is_seen(settings: Settings) -> None:
    await heartbeats.stop(Role.WORKER)
    assert states(await look(settings, "workers")) == [State.FAIL]
    await heartbeats.beat(Role.WORKER)
    assert states(await look(settings, "workers")) == [State.OK]


async def test_work_that_does_not_end_is_told_with_its_age_and_fresh_work_is_not(settings: Settings) -> None:
    statement = """INSERT INTO operation (id, kind, subject, subject_kind, created_at)
                   VALUES (gen_random_uuid(), 'server.start', gen_random_uuid(), 'server', now() - :age::interval)"""
    await row(statement, age=timedelta(minutes=1))
    assert states(await look(settings, "unsettled")) == [State.OK]
    await row(statement, age=timedelta(hours=3))
    (old,) = await look(settings, "unsettled")
    assert (old.state, old.text) == (State.WARN, "Operations do not end: server.start (queued) since 3 h.")
    await row("DELETE FROM operation")


async def test_an_audit_that_nobody_seals_is_told(settings: Settings) -> None:
    statement = """INSERT INTO audit (id, at, actor_name, action, subject_kind, subject)
                   VALUES (gen_random_uuid(), now() - :age::interval, 'x', 'x', 'server', gen_random_uuid())"""
    await row(statement, age=timedelta(seconds=10))
    assert states(await look(settings, "audit")) == [State.OK]
    await row(statement, age=timedelta(hours=1))
    assert states(await look(settings, "audit")) == [State.WARN]


async def test_directories_that_are_gone_or_full_are_told(settings: Settings, tmp_path: Path) -> None:
    assert set(states(await look(settings, "disk"))) <= {State.OK, State.WARN, State.FAIL}
    found = await look(settings, "disk", dataset_location=str(tmp_path / "gone"))
    told = [one for one in found if "gone" in one.text]
    assert states(told) == [State.FAIL]
    assert "NBHUB_DATASET_LOCATION" in told[0].do
    for free, state in ((50, State.OK), (9, State.WARN), (1, State.FAIL), (0, State.FAIL)):
        assert checks.space(tmp_path, free, 100).state is state


def certificate(days: float) -> str:
    """A certificate that ends in so many days."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    ends = datetime.now(UTC) + timedelta(days=days)
    signed = made.not_valid_before(ends - timedelta(days=90)).not_valid_after(ends).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, State.OK),
        ({"payload_keys": ""}, State.WARN),
        ({"payload_keys": f"new:{SECRET}"}, State.FAIL),
        ({"session_key": SECRET}, State.FAIL),
        ({"temporal_tls_cert": certificate(60)}, State.OK),
        ({"temporal_tls_cert": certificate(10)}, State.WARN),
        ({"temporal_tls_ca": certificate(60) + certificate(-1)}, State.FAIL),
        ({"temporal_tls_ca": SECRET}, State.FAIL),
    ],
)
async def test_keys_and_certificates_that_do_not_do_are_told_and_no_key_is(
    settings: Settings, changed: dict[str, Any], state: State
) -> None:
    found = await look(settings, "keys", **changed)
    assert state in states(found)
    if state is State.OK:
        assert set(states(found)) == {State.OK}
    assert not any(secret in str(found) for secret in (SECRET, FERNET, "BEGIN"))


async def test_old_key_files_and_those_that_are_gone_are_told(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    environment = {"NBHUB_VAULT_SECRET_ID_FILE": str(file), "PATH": "/x"}
    assert states(await look(settings, "keys", environment)) == [State.OK]
    os.utime(file, (time.time() - 400 * 86_400,) * 2)
    _, old = await look(settings, "keys", environment)
    assert (old.state, "NBHUB_VAULT_SECRET_ID_FILE (400 days)" in old.text) == (State.WARN, True)
    file.unlink()
    assert states(await look(settings, "keys", environment)) == [State.OK, State.FAIL]


@contextmanager
def answering(body: object, *, status: int = 200, ahead: float = 0.0, refuses: str = "") -> Iterator[str]:
    """A part that answers with JSON, whose clock is ahead; its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response_only(403 if refuses and self.path.endswith(refuses) else status)
            self.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("version", "status", "refuses", "wanted"),
    [
        ("6.1.0", 200, "", [State.OK]),
        ("6.1.0", 200, "/user", [State.OK, State.FAIL]),
        ("4.1.6", 200, "", [State.FAIL]),
        ("6.1.0", 503, "", [State.FAIL]),
    ],
)
async def test_jupyterhub_is_asked_for_its_version_and_for_whom_it_takes_us(
    settings: Settings, version: str, status: int, refuses: str, wanted: list[State]
) -> None:
    with answering({"version": version}, status=status, refuses=refuses) as url:
        found = await look(settings, "jupyterhub", jupyterhub_url=url, jupyterhub_token=SECRET)
    assert states(found) == wanted
    assert SECRET not in str(found)


async def test_clocks_that_are_apart_are_told_by_how_much_and_a_part_that_is_away_is_left_out(
    settings: Settings,
) -> None:
    for ahead, state in ((0, State.OK), (10, State.WARN), (-10, State.WARN), (3600, State.FAIL), (-3600, State.FAIL)):
        with answering({"version": "6"}, ahead=ahead) as url:
            (found,) = await look(settings, "clock", jupyterhub_url=url, vault_url="http://127.0.0.1:9")
        assert (found.state, "Vault" in found.text) == (state, False), found
        assert states([found]) == [state]


async def test_recorded_histories_replay_and_an_incompatible_change_is_found(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "recorded", lambda: [histories.RECORDED / "rules-1" / "server-first-start.json"])
    assert states(await look(settings, "histories")) == [State.OK]
    monkeypatch.setattr(histories, "WORKFLOWS", [Incompatible])
    (found,) = await look(settings, "histories")
    assert (found.state, "rules-1/server-first-start" in found.text) == (State.FAIL, True)
    monkeypatch.setattr(histories, "recorded", list)
    assert states(await look(settings, "histories")) == [State.SKIPPED]


async def test_a_look_that_fails_or_hangs_is_a_finding_and_stops_no_other() -> None:
    async def hangs() -> list[Said]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> list[Said]:
        raise ValueError(f"postgresql://user:{SECRET}@host")

    async def refuses() -> list[Said]:
        raise VaultUnavailable("Vault is sealed.", hint="Unseal it.")

    async def works() -> list[Said]:
        return [ok("Well."), skipped("Nothing.")]

    found = await taken(
        {"hangs": Check(hangs, 0.05), "breaks": Check(breaks), "refuses": Check(refuses), "works": Check(works)}
    )
    assert [(one.check, one.state) for one in found] == [
        ("hangs", State.FAIL),
        ("breaks", State.FAIL),
        ("refuses", State.FAIL),
        ("works", State.OK),
        ("works", State.SKIPPED),
    ]
    assert [one.text for one in found[:3]] == [
        "No answer within 0.05 s.",
        "No answer (ValueError).",
        "Vault is sealed.",
    ]
    assert SECRET not in str(found)


async def test_the_exit_code_tells_the_worst() -> None:
    async def all_of(*said: Said) -> list[Finding]:
        async def look() -> list[Said]:
            return list(said)

        return await taken({"x": Check(look)})

    assert doctor.exit_of(await all_of(ok("."), skipped("."))) == 0
    assert doctor.exit_of(await all_of(ok("."), warn(".", "Do."))) == 9
    assert doctor.exit_of(await all_of(warn(".", "Do."), fail(".", "Do."))) == 1


def test_where_nothing_answers_all_looks_are_taken_and_told_as_json(tmp_path: Path) -> None:
    nowhere = "127.0.0.1:9"
    environment = {
        "PATH": os.environ["PATH"],
        "NBHUB_DATABASE_URL": f"postgresql://someone:{SECRET}@{nowhere}/none",
        "NBHUB_TEMPORAL_ADDRESS": nowhere,
        "NBHUB_JUPYTERHUB_URL": f"http://{nowhere}",
        "NBHUB_VAULT_URL": f"http://{nowhere}",
        "NBHUB_VAULT_ROLE_ID": "nbhub-worker",
        "NBHUB_VAULT_SECRET_ID": SECRET,
        "PYTHONPATH": str(PROJECT),
    }
    # As in an image: no source beside it, so that no recorded history is replayed here.
    program = (
        "import sys; from operating import __main__ as o, histories; histories.recorded = list;"
        "sys.argv = ['nbhub', 'admin', 'doctor', '--json']; o.run()"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1, ran.stderr
    found = json.loads(ran.stdout)
    failed = {one["check"] for one in found if one["state"] == "fail"}
    assert failed >= {"database", "schema", "temporal", "workers", "jupyterhub", "vault", "policies", "running"}
    assert {one["check"] for one in found} - failed >= {"program", "clock", "histories"}
    assert SECRET not in ran.stdout + ran.stderr


def test_settings_that_cannot_be_read_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nbhub", "admin", "doctor"])
    monkeypatch.delenv("NBHUB_DATABASE_URL", raising=False)
    monkeypatch.setenv("NBHUB_API_PORT", "x")
    assert command.main() == 2
    told = capsys.readouterr().err
    assert "NBHUB_DATABASE_URL" in told
    assert "NBHUB_API_PORT" in told


def test_it_is_a_command_of_nbhub_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = entry_points(group=program.GROUP, name="admin.doctor")
    assert found.load() is command.run

    class Ended(Exception):
        pass

    class Added:
        def load(self) -> Callable[[], None]:
            def run() -> None:
                raise Ended

            return run

    monkeypatch.setattr(program, "_added", lambda: {"admin.doctor": Added(), "up": Added()})
    with pytest.raises(Ended):
        program.main(["admin", "doctor", "--json"])
    assert program.main(["admin", "doctors"]) == 2
