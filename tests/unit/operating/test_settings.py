"""`nbhub admin settings` says all that is wrong at once, shows what is set and where, and no secret."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings
from operating import __main__ as command
from operating import settings_shown

SECRET = "the-value-itself"
ENVIRONMENT = {"NBHUB_DATABASE_URL": f"postgresql://nbhub:{SECRET}@db/nbhub"}


def written(directory: Path, text: str) -> dict[str, str]:
    """An environment that names a file of settings."""
    file = directory / "settings.toml"
    file.write_text(text)
    return {"NBHUB_SETTINGS": str(file)}


def test_settings_come_from_a_file_and_the_environment_comes_before_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    given = written(
        tmp_path,
        f"""
        database_url = "postgresql:///file"
        vault_secret_id_file = "{secret}"
        api_port = 9000
        revoke_grace = 5
        subdomains = false
        admin_emails = ["Root@Example.org", "b@example.org"]
        org_names = "a, b"
        log_level = "debug"
        """,
    )
    settings = Settings.from_environment({**given, "NBHUB_LOG_LEVEL": "error"})
    assert settings.database_url == "postgresql:///file"
    assert settings.vault_secret_id == SECRET
    assert (settings.api_port, settings.revoke_grace, settings.log_level) == (9000, 5.0, "error")
    assert (settings.admin_emails, settings.org_names) == (("root@example.org", "b@example.org"), ("a", "b"))
    other = tmp_path / "other"
    other.write_text("another")
    # A file that the environment names comes before one of the file, and what is said before what a file holds.
    assert Settings.from_environment({**given, "NBHUB_VAULT_SECRET_ID_FILE": str(other)}).vault_secret_id == "another"
    assert Settings.from_environment({**given, "NBHUB_VAULT_SECRET_ID": "said"}).vault_secret_id == "said"


def test_all_that_is_wrong_is_said_at_once_wherever_it_is(tmp_path: Path) -> None:
    given = written(
        tmp_path,
        f'api_prot = 1\napi_port = "x"\nsubdomains = 1\nsession_key_file = "/nonexistent"\nadmin_emails = [7]\n'
        f'vault_secret_id = "{SECRET}"\nlog_level_file = "x"\n',
    )
    with pytest.raises(SettingsInvalid) as refused:
        Settings.from_environment({**given, "NBHUB_HUB_GROUP_PREFIX": "a b"})
    told = str(refused.value)
    for name in ("DATABASE_URL: is", "API_PORT", "SUBDOMAINS", "SESSION_KEY_FILE", "ADMIN_EMAILS", "HUB_GROUP_PREFIX"):
        assert f"NBHUB_{name}" in told
    assert "'api_prot'" in told
    assert "'log_level_file'" in told
    assert SECRET not in told


@pytest.mark.parametrize("text", [f"database_url = {SECRET}", "\xff", None])
def test_a_file_that_cannot_be_read_is_said_without_what_is_in_it(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsInvalid, match=r"settings\.toml: ") as refused:
        Settings.from_environment({**ENVIRONMENT, "NBHUB_SETTINGS": str(file)})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "problems", "unread"),
    [
        ({}, 0, 0),
        ({"NBHUB_HUB_DATA_DIR": "/data", "NBHUB_STACK": "x", "NBHUB_TOKEN": "x", "PATH": "/x"}, 0, 0),
        ({"NBHUB_API_PRT": "1", "NBHUB_LOG_LEVEL_FILE": "/x"}, 0, 2),
        ({"NBHUB_API_PORT": "x", "NBHUB_LOG_LEVEL": "x"}, 2, 0),
        ({"NBHUB_QUOTAS": "planes=1"}, 1, 0),
        ({"NBHUB_PROFILES_FILE": "/nonexistent"}, 1, 0),
        ({"NBHUB_PAYLOAD_KEYS": f"1:{SECRET}", "NBHUB_SESSION_KEY": SECRET}, 2, 0),
        ({"NBHUB_PAYLOAD_KEYS": f"1:{Fernet.generate_key().decode()}"}, 0, 0),
        ({"NBHUB_TEMPORAL_TLS_KEY": "x"}, 1, 0),
    ],
)
def test_what_would_keep_a_process_from_starting_is_found(more: dict[str, str], problems: int, unread: int) -> None:
    found = settings_shown.checked({**ENVIRONMENT, **more})
    assert (len(found.problems), len(found.unread)) == (problems, unread), found
    assert SECRET not in str(found)


def test_a_slip_in_a_name_is_told_with_what_may_be_meant() -> None:
    (told,) = settings_shown.checked({**ENVIRONMENT, "NBHUB_API_PRT": "1"}).unread
    assert told == "NBHUB_API_PRT is read by no API and no worker; is NBHUB_API_PORT meant?"


def test_what_is_shown_says_where_it_is_from_and_hides_secrets(tmp_path: Path) -> None:
    given = written(tmp_path, f'api_port = 9000\nsession_key = "{SECRET}"\n')
    found = {one.variable: one for one in settings_shown.shown({**ENVIRONMENT, **given})}
    assert found["NBHUB_DATABASE_URL"] == settings_shown.Shown("NBHUB_DATABASE_URL", "***", "environment")
    assert found["NBHUB_SESSION_KEY"] == settings_shown.Shown("NBHUB_SESSION_KEY", "***", given["NBHUB_SETTINGS"])
    assert (found["NBHUB_API_PORT"].value, found["NBHUB_API_PORT"].source) == (9000, given["NBHUB_SETTINGS"])
    assert (found["NBHUB_VAULT_SECRET_ID"].value, found["NBHUB_LOG_LEVEL"].source) == ("", "default")
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("what", "more", "code"),
    [
        ("check", {}, 0),
        ("check", {"NBHUB_API_PRT": "1"}, 9),
        ("check", {"NBHUB_API_PORT": "x"}, 1),
        ("show", {}, 0),
        ("show", {"NBHUB_API_PORT": "x"}, 1),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_command_prints_it_and_its_exit_code_tells(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    more: dict[str, str],
    code: int,
    form: list[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["nbhub", "admin", "settings", what, *form])
    monkeypatch.setattr(os, "environ", {**ENVIRONMENT, **more})
    assert command.main() == code
    told = capsys.readouterr().out
    assert SECRET not in told
    if form and (what == "check" or code == 0):
        found: Any = json.loads(told)
        assert found
    else:
        assert told.strip()
