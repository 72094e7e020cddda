"""What a sign-in leaves behind: for its owner alone, and whole."""

import stat
from pathlib import Path

import pytest

from nbhub.models import Tokens
from nbhub.profiles import Profile, ProfileProblem, Profiles

TOKENS = Tokens(access_token="a", expires_at=1, expires_in=1, id_token="i", scope="", token_type="Bearer")
WORK = Profile(name="work", url="https://hub.example.org")


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    monkeypatch.delenv("NBHUB_PROFILE", raising=False)
    return Profiles(tmp_path / "nbhub")


def test_what_is_kept_is_found_again_and_forgotten(profiles: Profiles) -> None:
    assert profiles.find() is None
    profiles.keep(WORK, TOKENS)
    assert profiles.find() == WORK
    assert profiles.tokens(WORK) == TOKENS
    profiles.forget_tokens(WORK)
    profiles.forget_tokens(WORK)
    assert profiles.tokens(WORK) is None


def test_nobody_else_of_the_machine_reads_the_tokens(profiles: Profiles) -> None:
    profiles.keep(WORK, TOKENS)
    lock = profiles.lock(WORK)
    assert lock is not None
    lock.release()
    for path in (profiles.directory, *profiles.directory.rglob("*")):
        assert path.suffix == ".lock" or (stat.S_IMODE(path.stat().st_mode) & 0o077 == 0), path


def test_the_last_that_was_kept_is_the_current_one_until_another_is_named(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Profile(name="home", url="http://127.0.0.1:8002")
    profiles.keep(WORK)
    profiles.keep(home)
    assert profiles.find() == home
    profiles.use("work")
    assert profiles.find() == WORK
    assert profiles.all() == [home, WORK]
    monkeypatch.setenv("NBHUB_PROFILE", "home")
    assert profiles.find() == home
    monkeypatch.setenv("NBHUB_PROFILE", "nowhere")
    with pytest.raises(ProfileProblem, match="nowhere"):
        profiles.find()


@pytest.mark.parametrize("name", ["../elsewhere", "", ".hidden", "a/b", "x" * 65])
def test_a_name_is_no_path(profiles: Profiles, name: str) -> None:
    with pytest.raises(ProfileProblem):
        profiles.keep(Profile(name=name, url="http://127.0.0.1"), TOKENS)
    assert not list(profiles.directory.rglob("*.json"))


@pytest.mark.parametrize("file", ["profiles.json", "tokens/work.json"])
def test_what_cannot_be_read_is_said(profiles: Profiles, file: str) -> None:
    profiles.keep(WORK, TOKENS)
    (profiles.directory / file).write_text("{")
    with pytest.raises(ProfileProblem):
        profiles.tokens(profiles.find() or WORK)


def test_one_at_a_time_exchanges_a_refresh_token(profiles: Profiles) -> None:
    first = profiles.lock(WORK)
    assert first is not None
    assert profiles.lock(WORK) is None
    first.release()
    second = profiles.lock(WORK)
    assert second is not None
    second.release()
