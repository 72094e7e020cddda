"""What the stack installs at its first start: once, whole or not at all, saying what it does."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

from stack import tools
from stack.programs import ToolMissing
from stack.progress import Progress


class Said(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep one line."""
        self.lines.append(text)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH with nothing on it."""
    directory = tmp_path / "cache"
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("NBHUB_CACHE", str(directory))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return directory


def put(path: Path, content: bytes = b"#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def make(directory: Path) -> None:
    directory.mkdir()


def is_there(path: Path) -> bool:
    return path.exists()


async def test_one_installs_and_the_others_wait(cache: Path) -> None:
    inside: list[int] = []
    at_most = 0

    async def install() -> None:
        nonlocal at_most
        async with tools.only_one("thing"):
            inside.append(1)
            at_most = max(at_most, len(inside))
            # Whoever else wants it gets to its lock now.
            for _ in range(20):
                await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(install() for _ in range(3)))
    assert at_most == 1
    assert is_there(cache / "thing.lock")


@pytest.mark.usefixtures("cache")
async def test_jupyterhub_of_our_own_version_is_our_own(said: Said) -> None:
    assert await tools.jupyterhub(6, said) == Path(sys.executable)


async def test_what_was_installed_for_the_same_lock_is_used_again(cache: Path, said: Said) -> None:
    lock = (tools.PROJECT / "stack" / "oidc" / "package-lock.json").read_bytes()
    kept = cache / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    (kept / "node_modules").mkdir(parents=True)
    assert await tools.node_modules(said) == kept
    assert said.lines == []


@pytest.mark.parametrize(("set_to", "expected"), [("/srv/cache", "/srv/cache"), ("", "{home}/.cache/nbhub")])
def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_to: str, expected: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NBHUB_CACHE", set_to)
    assert str(tools.cache()) == expected.format(home=tmp_path)


async def test_a_command_that_fails_shows_its_end(said: Said) -> None:
    command = ["/bin/sh", "-c", "echo first; yes | head -n 5000; echo the reason >&2; exit 3"]
    with pytest.raises(ToolMissing) as raised:
        await tools.run(command, "sh", said)
    assert str(raised.value).endswith("the reason\n")
    assert "first\n" not in str(raised.value)


async def test_who_ends_the_stack_ends_what_it_installs(said: Said, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    begun = os.open(tmp_path / "begun", os.O_RDWR)
    try:
        running = asyncio.create_task(
            tools.run(["/bin/sh", "-c", "echo $$ >begun; exec sleep 600"], "npm", said, directory=tmp_path)
        )
        pid = int(await asyncio.to_thread(os.read, begun, 20))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 10)
    finally:
        os.close(begun)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_who_waits_for_another_stack_can_be_ended(cache: Path) -> None:
    async with tools.only_one("thing"):

        async def wait() -> None:
            async with tools.only_one("thing"):
                raise AssertionError("two are in it")

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 10)
    async with tools.only_one("thing"):
        assert is_there(cache / "thing.lock")


async def test_a_long_command_says_that_it_goes_on(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    monkeypatch.setattr(tools, "TELL_EVERY", 0.001)

    class Opening(Said):
        def say(self, text: str) -> None:
            super().say(text)
            if len(self.lines) == 3:
                os.write(gate, b"\n")

    opening = Opening()
    try:
        await tools.run(["/bin/sh", "-c", "read -r _ <gate"], "build", opening, directory=tmp_path)
    finally:
        os.close(gate)
    assert len(opening.lines) >= 3
    assert all(line.startswith("build: still at it after") for line in opening.lines)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing of what Debian has, whose user may install nothing; where its Lmod would be."""
    lmod = tmp_path / "lmod"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(tools, "PACKAGES", (("lmod", lmod, "servers have no software modules"),))
    monkeypatch.setattr(
        tools, "PACKAGES_OF_TESTS", (*tools.PACKAGES, ("chromium", tmp_path / "chromium", "pages cannot be tested"))
    )
    return lmod


async def test_a_missing_package_is_said_and_no_reason_to_fail(system: Path, said: Said) -> None:
    await tools.system_packages(said)
    assert said.lines == ["lmod is missing, so servers have no software modules: as root, `apt-get install lmod`"]
    make(system)
    await tools.system_packages(said)
    assert len(said.lines) == 1


async def test_the_tests_want_a_browser_too(system: Path, said: Said) -> None:
    make(system)
    await tools.system_packages(said, tests=True)
    assert "apt-get install chromium" in said.lines[0]
    put(system.with_name("chromium"))
    await tools.system_packages(said, tests=True)
    assert len(said.lines) == 1
