"""A support bundle has what whoever helps needs, no secret and no name, and is not written while one is left in it."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models.database.engine import pool
from models.database.sql import row
from models.domain.settings import Settings
from operating import doctor, support_bundle
from operating.findings import Finding
from operating.redaction import left_in, redact

FERNET = Fernet.generate_key().decode()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
SECRETS = {
    "vault": "hvs.CAESIJlWh6Vn1bC5",
    "fernet": FERNET,
    "jwt": JWT,
    "hexadecimal": "0123456789abcdef" * 4,
    "password": "postgresql://nbhub:pass-of-the-database@db/x",
    "key": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----",
    "bearer": "Authorization: Bearer abcdefghijklmnopqrstuv",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_found_and_taken_out(kind: str) -> None:
    text = f"before {SECRETS[kind]} after"
    assert left_in(text, []) != []
    redacted = redact(text, [])
    assert left_in(redacted, []) == []
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


def test_secrets_of_the_settings_are_taken_out_whatever_they_look_like() -> None:
    text = "the words correct horse and 123"
    assert left_in(text, ["correct horse", "123"]) == ["the value of a secret setting"]
    assert redact(text, ["correct horse", "123"]) == "the words *** and 123"
    assert left_in(redact(text, ["correct horse"]), ["correct horse"]) == []


def test_the_databases_password_is_a_secret_also_alone() -> None:
    settings = Settings(database_url="postgresql://nbhub:correct%20horse@db/x", payload_keys=f"1:{FERNET}")
    assert {"correct horse", "correct%20horse", FERNET} <= set(support_bundle.secrets_of(settings))


def test_what_is_no_secret_stays() -> None:
    text = "01a220ad-ffb3-713d-92cc-9f7f88a633fd ran server.start in 18.4 ms, request 0123456789abcdef0123456789abcdef"
    assert redact(text, []) == text
    assert left_in(text, []) == []
    assert redact("of alice@example.org", []) == "of ***@example.org"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the looks find has tests of its own."""

    async def examine(_: Settings) -> list[Finding]:
        return []

    monkeypatch.setattr(doctor, "examine", examine)


def settings_of(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    environment = {"NBHUB_DATABASE_URL": database_url, "NBHUB_SESSION_KEY": FERNET, "NBHUB_PAYLOAD_KEYS": f"1:{FERNET}"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment(environment)


async def written(settings: Settings, logs: list[Path], file: Path) -> int:
    """Run the command beside this loop."""
    return await asyncio.to_thread(support_bundle.run, settings, logs, file)


@pytest.mark.usefixtures("quick")
async def test_a_bundle_has_what_is_needed_and_nobodys_secret(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(postgres, monkeypatch)
    async with pool(settings):
        made = await row(
            """INSERT INTO operation (id, kind, subject, subject_kind, created_at)
               VALUES (gen_random_uuid(), 'server.start', gen_random_uuid(), 'server', now() - interval '30 years')
               RETURNING id"""
        )
    assert made is not None
    log, file = tmp_path / "api.log", tmp_path / "bundle.json"
    log.write_text(
        "\n".join([f"{kind}: {secret}" for kind, secret in SECRETS.items()] + ["by alice@example.org", "end"])
    )
    assert await written(settings, [log], file) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    found = json.loads(text)
    assert found["unsettled"][0]["id"] == str(made["id"])
    assert set(found["unsettled"][0]) == {"id", "kind", "status", "subject_kind", "created_at", "progressed_at"}
    assert found["schema"] == {"missing": [], "unknown": []}
    assert {"server", "audit", "operation"} <= {one["name"] for one in found["tables"]}
    assert found["versions"]["notebooks-hub"]
    assert {one["variable"]: one["value"] for one in found["settings"]}["NBHUB_DATABASE_URL"] == "***"
    assert found["logs"][str(log)][-2:] == ["by ***@example.org", "end"]
    for secret in (*SECRETS.values(), postgres, "alice"):
        assert secret not in text
    with pytest.raises(FileExistsError):
        await written(settings, [], file)


@pytest.mark.usefixtures("quick")
async def test_nothing_is_written_while_a_secret_is_left(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(postgres, monkeypatch)
    log, file = tmp_path / "api.log", tmp_path / "bundle.json"
    log.write_text(f"told {JWT}")
    with monkeypatch.context() as blind:
        blind.setattr(support_bundle, "redact", lambda text, _: text)
        assert await written(settings, [log], file) == 1
    assert not file.exists()
    told = capsys.readouterr().err
    assert "a JSON web token" in told
    assert JWT not in told
    assert await written(settings, [log], file) == 0


@pytest.mark.usefixtures("quick")
async def test_without_a_database_the_rest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bundle.json"
    settings = settings_of("postgresql:///none?host=/nonexistent", monkeypatch)
    assert await written(settings, [], file) == 0
    assert json.loads(file.read_text())["database"].startswith("cannot be asked")
