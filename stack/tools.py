"""What the stack installs at its first start, beside the packages of `uv.lock`: by npm, by uv and by apt-get.

What is installed goes to the cache (`NBHUB_CACHE`, by default `~/.cache/nbhub`) under its final name only when it is
whole, and one process at a time makes it. The programs themselves are found by `stack.programs`.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from stack import programs
from stack.programs import ToolMissing
from stack.progress import Progress

PROJECT = Path(__file__).resolve().parent.parent
LMOD = Path("/usr/share/lmod")
APT_GET = Path("/usr/bin/apt-get")
TELL_EVERY = 15.0
_LOOK_AGAIN = 0.1


def cache() -> Path:
    """The directory of what was installed."""
    return Path(os.environ.get("NBHUB_CACHE") or Path.home() / ".cache" / "nbhub")


async def node_modules(progress: Progress) -> Path:
    """The directory that holds the packages of `stack/oidc`, as its lock file has them."""
    what = "JupyterHub's proxy and the development sign-in provider (about 14 MB)"
    return await installed(PROJECT / "stack" / "oidc", "node", what, progress)


async def page(progress: Progress) -> Path:
    """The directory of the page, built from `ui/` as it is now."""
    files = _page_files()
    target = cache() / f"page-{_digest_of(files)}"
    async with only_one(target.name):
        if not target.is_dir():
            packages = await installed(
                PROJECT / "ui", "page-builder", "what the page is built with (about 60 MB)", progress
            )
            modules = packages / "node_modules"
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            for file in files:
                _copy(file, making)
            source = making / "ui"
            (source / "node_modules").symlink_to(modules)
            node = (await programs.find("node")).path
            build = [str(node), str(modules / "vite" / "bin" / "vite.js"), "build"]
            progress.say("page: building it")
            await run([*build, "--logLevel", "warn"], "vite", progress, directory=source)
            (source / "dist").rename(making / "dist")
            shutil.rmtree(source)
            # Renamed whole: until then it has no name that anybody looks for.
            (making / "dist").rename(target)
            making.rmdir()
    return target


_PAGE_FILES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
_PAGE_TYPES = "schema.d.ts"
"""Made of the API's document for the type checker; the build needs it not."""
_DOCUMENT = PROJECT / "docs" / "openapi.json"


def _page_files() -> list[Path]:
    ui = PROJECT / "ui"
    sources = sorted(path for path in (ui / "src").rglob("*") if path.is_file() and path.name != _PAGE_TYPES)
    return [*(ui / name for name in _PAGE_FILES), *sources]


def _digest_of(files: Iterable[Path], *builders: str) -> str:
    digest = hashlib.sha256(" ".join(builders).encode())
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(PROJECT)} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


async def help_pages(progress: Progress) -> Path:
    """The directory of the help, built from the documents as they are now."""
    target = cache() / f"help-{_digest_of(_help_files(), *map(version, _BUILDERS))}"
    async with only_one(target.name):
        if not target.is_dir():
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            progress.say("help: building it")
            await run([sys.executable, str(_HELP / "build.py"), str(making)], "sphinx", progress)
            making.rename(target)
    return target


_HELP = PROJECT / "docs" / "help"
_BUILDERS = ("sphinx", "myst-parser")


def _help_files() -> list[Path]:
    docs = PROJECT / "docs"
    theirs = ("CONTRIBUTING.md", "client/README.md", "deploy/README.md")
    left_out = {docs / "profiles", _HELP / "__pycache__"}
    ours = sorted(path for path in docs.rglob("*") if path.is_file() and left_out.isdisjoint(path.parents))
    return [*ours, *(PROJECT / name for name in theirs)]


async def page_tools(progress: Progress) -> Path:
    """The directory of the packages that the page is built, checked and tested with."""
    what = "what the page is checked with (about 130 MB)"
    return await installed(PROJECT / "ui", "page-tools", what, progress, development=True) / "node_modules"


async def check_page(progress: Progress) -> None:
    """Check the types of the page against the API's document. What was found right is not looked at again."""
    files = _page_files()
    target = cache() / f"page-checked-{_digest_of([*files, _DOCUMENT])}"
    async with only_one(target.name):
        if target.exists():
            return
        modules = await page_tools(progress)
        node = str((await programs.find("node")).path)
        with TemporaryDirectory() as directory:
            for file in (*files, _DOCUMENT):
                _copy(file, Path(directory))
            source = Path(directory) / "ui"
            (source / "node_modules").symlink_to(modules)
            types = [
                node,
                str(modules / "openapi-typescript" / "bin" / "cli.js"),
                str(Path("..", "docs", "openapi.json")),
            ]
            types += ["--output", str(Path("src", "api", _PAGE_TYPES)), "--default-non-nullable", "false"]
            await run(types, "openapi-typescript", progress, directory=source)
            await run([node, str(modules / "typescript" / "bin" / "tsc")], "tsc", progress, directory=source)
        target.touch()


def _copy(file: Path, to: Path) -> None:
    copy = to / file.relative_to(PROJECT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)


async def installed(source: Path, name: str, what: str, progress: Progress, *, development: bool = False) -> Path:
    """The directory that holds the packages of the lock file in `source`, in `node_modules`."""
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    target = cache() / f"{name}-{digest}"
    async with only_one(target.name):
        if not (target / "node_modules").is_dir():
            progress.say(f"npm: installing {what}, once")
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, making)
            node = (await programs.find("node")).path
            npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            command = [str(node), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            command += [] if development else ["--omit=dev"]
            await run(command, "npm", progress, directory=making, environment=environment)
            making.rename(target)
            progress.say(f"npm: kept in {target}")
    return target


async def jupyterhub(major: int, progress: Progress) -> Path:
    """The Python that has a JupyterHub of this major version: our own, or a locked environment in the cache."""
    if major == 6:
        return Path(sys.executable)
    lock = PROJECT / "stack" / f"jupyterhub{major}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    target = cache() / f"jupyterhub{major}-{digest}"
    async with only_one(target.name):
        if not target.is_dir():
            progress.say(f"uv: making an environment with JupyterHub {major} (about 60 MB), once")
            making = target.with_name(f"{target.name}.new")
            shutil.rmtree(making, ignore_errors=True)
            uv = str((await programs.find("uv")).path)
            # Relocatable, because it gets its final name when it is whole.
            await run([uv, "venv", "--relocatable", "--python", sys.executable, str(making)], "uv", progress)
            install = [uv, "pip", "sync", "--require-hashes", "--python", str(making / "bin" / "python"), str(lock)]
            await run(install, "uv", progress)
            making.rename(target)
    return target / "bin" / "python"


# What no package of a lock file carries, with its place and what is missing without it.
PACKAGES = (("lmod", LMOD, "servers have no software modules"),)
PACKAGES_OF_TESTS = (
    *PACKAGES,
    ("chromium", Path("/usr/bin/chromium"), "pages cannot be tested in a browser"),
    ("slirp4netns", Path("/usr/bin/slirp4netns"), "what a server reaches of the internet cannot be tested"),
    ("prometheus", Path("/usr/bin/promtool"), "alerts cannot be tested"),
    ("iproute2", Path("/usr/sbin/ip"), "what a server reaches of the internet cannot be tested"),
)


async def system_packages(progress: Progress, *, tests: bool = False) -> None:
    """Install Lmod of Debian, where we may; with `tests` what they need too. Otherwise say what is missing."""
    missing = [
        (name, without) for name, place, without in (PACKAGES_OF_TESTS if tests else PACKAGES) if not place.exists()
    ]
    if not missing:
        return
    names = " ".join(name for name, _ in missing)
    if os.geteuid() != 0 or not APT_GET.exists():
        for name, without in missing:
            progress.say(f"{name} is missing, so {without}: as root, `apt-get install {name}`")
        return
    progress.say(f"apt-get: installing {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    await run([str(APT_GET), "update", "-q"], "apt-get", progress, environment=environment)
    command = [str(APT_GET), "install", "-y", "-q", "--no-install-recommends", *names.split()]
    await run(command, "apt-get", progress, environment=environment)


async def run(
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
    try:
        while not (await asyncio.wait([ended], timeout=TELL_EVERY))[0]:
            seconds += TELL_EVERY
            progress.say(f"{name}: still at it after {seconds:.0f} s (the first time takes longer)")
    except asyncio.CancelledError:
        # Whoever ends the stack ends what it waits for: what is not whole has no name yet.
        process.kill()
        await process.wait()
        raise
    output, _ = ended.result()
    if process.returncode != 0:
        last = output.decode(errors="replace")[-2000:]
        raise ToolMissing(f"`{' '.join(command)}` failed:\n{last}")


@asynccontextmanager
async def only_one(name: str) -> AsyncIterator[None]:
    """Hold a lock that other stacks on this machine wait for."""
    path = cache() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        while not _locked(lock.fileno()):
            await asyncio.sleep(_LOOK_AGAIN)
        yield


def _locked(lock: int) -> bool:
    """Whether the lock is ours now. A thread that waited for it could not be cancelled."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1:]:
        doing = {"check-page": check_page, "help-pages": help_pages}[sys.argv[1]]
        try:
            made = asyncio.run(doing(Progress()))
        except ToolMissing as failure:
            sys.exit(str(failure))
        if made:
            print(made)
    else:
        asyncio.run(system_packages(Progress(), tests=True))
