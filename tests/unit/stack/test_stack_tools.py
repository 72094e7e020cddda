"""How programs are found or got: PATH, the cache, the vendor's archive if its checksum is right, a build."""

import asyncio
import hashlib
import io
import os
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from stack import tools
from stack.progress import Progress
from stack.tools import ToolMissing

PROGRAM = b"#!/bin/sh\necho fetched\n"
Serve = Callable[[dict[str, bytes]], str]


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


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def is_there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves files on the loopback interface; the address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(files: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Keep the output clean."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def tar(member: str, content: bytes = PROGRAM, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        info = tarfile.TarInfo(member)
        info.type, info.size = kind, 0 if kind == tarfile.DIRTYPE else len(content)
        opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(member: str, content: bytes = PROGRAM) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr(member, content)
    return buffer.getvalue()


def sums(name: str, content: bytes) -> bytes:
    """As vendors write it, with another archive before."""
    return f"{'0' * 64}  other_{name}.sig\n{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


async def unwanted(*_: object) -> bytes:
    raise AssertionError("neither fetched nor built")


async def not_built(*_: object) -> None:
    raise AssertionError("not built")


async def fetched() -> bytes:
    return PROGRAM


async def test_a_program_on_path_comes_first(cache: Path, tmp_path: Path, said: Said) -> None:
    put(cache / "bin" / "thing")
    mine = put(tmp_path / "path" / "thing")
    assert await tools._tool("thing", said, unwanted, not_built) == mine
    assert said.lines == []


async def test_then_what_the_cache_has(cache: Path, said: Said) -> None:
    kept = put(cache / "bin" / "thing")
    assert await tools._tool("thing", said, unwanted, not_built) == kept
    assert said.lines == []


async def test_then_the_vendor_and_the_cache_keeps_it(cache: Path, said: Said) -> None:
    found = await tools._tool("thing", said, fetched, not_built)
    assert found == cache / "bin" / "thing"
    assert content_of(found) == PROGRAM
    assert stat.S_IMODE(found.stat().st_mode) == 0o755
    assert await tools._tool("thing", said, unwanted, not_built) == found
    assert said.lines == [f"thing: kept in {found}"]


@pytest.mark.parametrize("trouble", [httpx.ConnectError("no network"), ToolMissing("wrong checksum")], ids=repr)
async def test_then_a_build(cache: Path, said: Said, trouble: Exception) -> None:
    async def fetch() -> bytes:
        raise trouble

    async def build(target: Path, _: Progress) -> None:
        assert not is_there(cache / "bin" / "thing"), "its final name is for what is whole"
        put(target, b"built")

    found = await tools._tool("thing", said, fetch, build)
    assert content_of(found) == b"built"
    assert os.access(found, os.X_OK)
    assert type(trouble).__name__ in said.lines[0]


async def test_what_was_not_finished_is_not_there(cache: Path, said: Said) -> None:
    async def fetch() -> bytes:
        raise httpx.ConnectError("no network")

    async def interrupted(target: Path, _: Progress) -> None:
        put(target, b"half")
        raise ToolMissing("the compiler died")

    with pytest.raises(ToolMissing):
        await tools._tool("thing", said, fetch, interrupted)
    assert not is_there(cache / "bin" / "thing")
    assert content_of(await tools._tool("thing", said, fetched, not_built)) == PROGRAM


async def test_one_makes_it_and_the_others_wait(cache: Path, said: Said) -> None:
    made: list[int] = []

    async def fetch() -> bytes:
        made.append(1)
        # Whoever else wants it gets to its lock now.
        for _ in range(20):
            await asyncio.sleep(0)
        return PROGRAM

    found = await asyncio.gather(*(tools._tool("thing", said, fetch, not_built) for _ in range(3)))
    assert set(found) == {cache / "bin" / "thing"}
    assert len(made) == 1


@pytest.mark.parametrize(("archive", "pack"), [("x.tar.gz", tar), ("x.zip", zipped)])
async def test_a_program_is_taken_out_of_its_archive(serve: Serve, archive: str, pack: Callable[[str], bytes]) -> None:
    content = pack("thing")
    base = serve({f"/{archive}": content, "/sums": sums(archive, content)})
    assert await tools._fetch(f"{base}/{archive}", f"{base}/sums", "thing") == PROGRAM


@pytest.mark.parametrize(
    "listed",
    [sums("x.zip", b"another archive"), b"", b"x.zip", sums("y.zip", zipped("thing")), sums("x.zip", b"")],
    ids=["another content", "nothing listed", "no checksum", "another name", "empty"],
)
async def test_an_archive_of_another_checksum_is_refused(serve: Serve, listed: bytes) -> None:
    base = serve({"/x.zip": zipped("thing"), "/sums": listed})
    with pytest.raises(ToolMissing, match=r"x\.zip does not have the checksum"):
        await tools._fetch(f"{base}/x.zip", f"{base}/sums", "thing")


@pytest.mark.parametrize("there", [{}, {"/sums": b"x"}, {"/x.zip": b"x"}], ids=["nothing", "sums", "archive"])
async def test_what_the_vendor_does_not_have_is_an_error_of_http(serve: Serve, there: dict[str, bytes]) -> None:
    base = serve(there)
    with pytest.raises(httpx.HTTPError):
        await tools._fetch(f"{base}/x.zip", f"{base}/sums", "thing")


@pytest.mark.parametrize(
    ("archive", "content"),
    [
        ("x.tar.gz", tar("thing", kind=tarfile.DIRTYPE)),
        pytest.param("x.tar.gz", tar("other")),
        pytest.param("x.zip", zipped("other")),
    ],
    ids=["directory", "tar without it", "zip without it"],
)
async def test_an_archive_without_the_program_is_said_to_be(serve: Serve, archive: str, content: bytes) -> None:
    base = serve({f"/{archive}": content, "/sums": sums(archive, content)})
    with pytest.raises(ToolMissing, match="holds no thing"):
        await tools._fetch(f"{base}/{archive}", f"{base}/sums", "thing")


async def test_openbao_serves_as_vault(cache: Path, tmp_path: Path, said: Said) -> None:
    kept = put(cache / "bin" / "vault")
    assert await tools.vault(said) == kept
    bao = put(tmp_path / "path" / "bao")
    assert await tools.vault(said) == bao


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


def test_programs_that_python_packages_carry_are_there() -> None:
    assert os.access(tools.node(), os.X_OK)
    assert os.access(tools.postgres_programs() / "postgres", os.X_OK)


def test_a_missing_package_is_said_to_be() -> None:
    with pytest.raises(ToolMissing, match="make setup"):
        tools._package("no_such_package_at_all")


async def test_a_command_that_fails_shows_its_end(said: Said) -> None:
    command = ["/bin/sh", "-c", "echo first; yes | head -n 5000; echo the reason >&2; exit 3"]
    with pytest.raises(ToolMissing) as raised:
        await tools._run(command, "sh", said)
    assert str(raised.value).endswith("the reason\n")
    assert "first\n" not in str(raised.value)


async def test_a_long_command_says_that_it_goes_on(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    monkeypatch.setattr(tools, "_TELL_EVERY", 0.001)

    class Opening(Said):
        def say(self, text: str) -> None:
            super().say(text)
            if len(self.lines) == 3:
                os.write(gate, b"\n")

    opening = Opening()
    try:
        await tools._run(["/bin/sh", "-c", "read -r _ <gate"], "build", opening, directory=tmp_path)
    finally:
        os.close(gate)
    assert len(opening.lines) >= 3
    assert all(line.startswith("build: still at it after") for line in opening.lines)


@pytest.mark.usefixtures("cache")
async def test_a_missing_sandbox_is_said_and_no_reason_to_fail(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    await tools.system_packages(said)
    assert len(said.lines) == 1
    assert "apt-get install bubblewrap" in said.lines[0]


async def test_a_sandbox_that_is_there_is_enough(cache: Path, tmp_path: Path, said: Said) -> None:
    put(tmp_path / "path" / "bwrap")
    await tools.system_packages(said)
    assert said.lines == []
    assert not is_there(cache)


async def test_the_tests_want_a_browser_too(cache: Path, tmp_path: Path, said: Said) -> None:
    put(tmp_path / "path" / "bwrap")
    await tools.system_packages(said, tests=True)
    assert "apt-get install chromium" in said.lines[0]
    put(tmp_path / "path" / "chromium")
    await tools.system_packages(said, tests=True)
    assert len(said.lines) == 1
    assert not is_there(cache)
