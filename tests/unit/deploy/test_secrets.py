"""Secrets of a deployment: made once, for their owner only, and in no file that is shared."""

import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.project import PROJECT
from tests.unit.deploy.compose_checks import HOLDERS
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, SECRETS, contents, modes, run
from workflows.codec import EncryptionCodec


def test_secrets_are_made_once_and_for_their_owner_only(made: Path) -> None:
    before = contents(made)

    assert run(str(DEPLOY / "make-secrets.sh"), str(made)).returncode == 0

    assert contents(made) == before
    assert {file.name for file in made.iterdir()} == set(HOLDERS)
    assert all(one["file"] == f"{SECRETS}{name}" for name, one in COMPOSE["secrets"].items())
    assert {"spec-keys/1.pem", "spec-signing-keys/1.pem", "spec-signing-keys/current"} <= set(before)
    assert modes(made) == ({0o600}, {0o700})
    assert len(set(before.values())) == len(before)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}=\n", before["session-key"])
    Fernet(before["session-key"].strip())
    EncryptionCodec.from_setting(before["payload-keys"].decode().strip())


def test_a_missing_secret_is_made_and_the_others_stay(tmp_path: Path) -> None:
    script = str(DEPLOY / "make-secrets.sh")
    run(script, str(tmp_path))
    before = contents(tmp_path)
    (tmp_path / "hub-proxy-token").unlink()
    (tmp_path / "vault-api-secret-id").unlink()
    (tmp_path / "database-url").write_text("damaged")
    (tmp_path / "spec-keys" / "1.pem").write_text("damaged")
    (tmp_path / "session-key").chmod(0o644)

    run(script, str(tmp_path))

    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"hub-proxy-token", "vault-api-secret-id"}
    assert modes(tmp_path) == ({0o600}, {0o700})


def test_secrets_stay_out_of_git_and_out_of_images() -> None:
    ignored = (DEPLOY / ".gitignore").read_text().split()

    assert {"/secrets/", "/.env"} <= set(ignored)
    assert not re.search(r"^!deploy(/(secrets|\.env).*)?$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)


SECRET_LOOKING = (
    re.compile(r"BEGIN [A-Z ]*PRIVATE KEY"),
    # Long, with digits and without the look of a word or a variable's name.
    re.compile(r"\b(?!(?:[A-Z]+\d?_)+[A-Z]+\b)(?=[A-Za-z0-9+_-]*\d)(?=[A-Za-z0-9+_-]*[A-Za-z])[A-Za-z0-9+_-]{28,}=*"),
    re.compile(r"(?i)\b(password|passwd|secret|token)\b\"?(:|[ \t]*=)[ \t]*[\"']?\w{4,}"),
    re.compile(r"://[^/\s:@$%{]+:[^/\s@$%{]+@"),
    re.compile(r"\b(hvs|s|ghp|xox[bp])\.[A-Za-z0-9]{16,}"),
)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        'POSTGRES_PASSWORD_FILE: "4c1ea02b6f0a4cbb9e3d77d2a1f5c6e8"',
        "password: hunter22",
        "token = letmein",
        '"secret": "changeme"',
        "postgresql://nbhub:letmein@postgres/nbhub",
        "hvs.CAESIJr0aBcDeFgHiJkL",
    ],
)
def test_what_a_secret_looks_like(text: str) -> None:
    assert any(pattern.search(text) for pattern in SECRET_LOOKING)


def test_no_file_holds_a_secret() -> None:
    listed = run("git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard", "deploy").stdout
    files = [PROJECT / "docker-compose.yml", PROJECT / ".dockerignore", *(PROJECT / name for name in listed.split())]

    assert len(files) > 10
    found = [
        f"{file.name}: {match[0]}"
        for file in files
        for pattern in SECRET_LOOKING
        for match in pattern.finditer(file.read_text())
    ]
    assert found == []
