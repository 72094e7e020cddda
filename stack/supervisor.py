"""Starts the real parts as processes, watches over them, and ends them; tests use the same class.

    async with Stack(Path(".nbhub")) as stack:
        print(stack.info.api)

A part is started when what it needs is ready, all others side by side. One stack runs in a directory at a time;
what an earlier one left behind when it was killed is ended first.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg
import httpx
import msgspec

from hub import processes
from models.domain.kinds import DIRECTORIES
from stack import answers, isolation, parts, programs, secrets, tools, vault_setup
from stack.isolation import Isolation
from stack.layout import Layout, layout_of, usual
from stack.notebook import Notebook
from stack.parts import Part
from stack.process import ManagedProcess, describe, end_leftover
from stack.programs import Program, ToolMissing
from stack.progress import Progress
from stack.sign_in import hub_user, tokens
from stack.state import MARK, Claim, Ended, Info, RunProgram, StackFailed, State, processes_of, write_state

# Whoever depends on a part ends before it.
_STOP_ORDER = (("worker", "api"), ("jupyterhub",), ("oidc", "temporal", "vault"), ("postgres",))
_LOOK_AGAIN = 0.05


class Stack:
    """The whole system on this machine."""

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 1,
        jupyterhub_major: int = 6,
        settings: Mapping[str, str] | None = None,
        subdomains: bool = False,
        only: tuple[str, ...] = (),
        durable: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """`settings` are further variables of API, workers and JupyterHub.

        With `subdomains` each person's servers have an origin of their own.
        `only` names the parts to start, by default all; a test may want no more than PostgreSQL.
        Unless it is `durable`, PostgreSQL and Temporal wait for no disk: a power failure may leave nothing of them.
        """
        self.directory = directory.resolve()
        self.progress = progress or Progress()
        self._worker_names = ["worker", *(f"worker{number}" for number in range(2, workers + 1))]
        self._major = jupyterhub_major
        self._settings = dict(settings or {})
        self._subdomains = subdomains
        self._only = only
        self._durable = durable
        self._processes: dict[str, ManagedProcess] = {}
        self._parts: dict[str, Part] = {}
        self._ended: dict[str, Ended] = {}
        self._programs: dict[str, Program] = {}
        self._isolation: Isolation | None = None
        self._layout: Layout | None = None
        self._secrets: secrets.Secrets | None = None
        self._claim = Claim(self.directory)

    async def __aenter__(self) -> Self:
        # First of all: whoever may not run a stack here must not end anything of the one that runs.
        self._claim.take()
        try:
            await self._start()
        except BaseExceptionGroup as failures:
            await self.stop()
            # One part that fails ends the start of the others; what is worth telling is the first.
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # What runs where

    @property
    def layout(self) -> Layout:
        """Directories and ports."""
        assert self._layout is not None, "the stack was not started"
        return self._layout

    @property
    def secrets(self) -> secrets.Secrets:
        """The stack's secrets."""
        assert self._secrets is not None, "the stack was not started"
        return self._secrets

    @property
    def info(self) -> Info:
        """Where everything is."""
        layout = self.layout
        return Info(
            api=layout.url("api"),
            jupyterhub=layout.browser_hub_url,
            temporal=f"127.0.0.1:{layout.ports['temporal']}",
            temporal_ui=layout.url("temporal_ui"),
            vault=layout.url("vault"),
            issuer=layout.url("oidc"),
            database=layout.database_url(),
            data_root=str(layout.data_root),
            log_dir=str(layout.logs),
            isolation=self._isolation,
            pids={name: one.identity.pid for name, one in self._processes.items() if one.running and one.identity},
            programs={
                name: RunProgram(version=one.version, origin=one.origin, path=str(one.path))
                for name, one in sorted(self._programs.items())
            },
        )

    @property
    def parts(self) -> list[str]:
        """The names of the parts that were started."""
        return list(self._processes)

    def process(self, part: str) -> ManagedProcess:
        """The process of a part that was started; it stays the same when the part is started again."""
        return self._processes[part]

    def lost(self) -> bool:
        """Whether its directory was removed."""
        return self._claim.lost()

    # People

    async def token(self, email: str) -> str:
        """An access token of a development user, got through the real sign-in."""
        return str((await tokens(self.info.api, email))["access_token"])

    async def hub_token(self, email: str) -> str:
        """A JupyterHub token of a development user, with the rights of a browser session."""
        return await hub_token(self.layout, await hub_user(self.info.api, await self.token(email)))

    @property
    def api(self) -> str:
        """The API's address."""
        return self.info.api

    async def notebook(self, email: str, url: str) -> Notebook:
        """A new kernel in the server at `url` of a development user."""
        return Notebook(url, await self.hub_token(email))

    # One part

    def note_end(self, part: str, *, given_up: bool = False) -> None:
        """Write down that a part has ended, for who asks how things are."""
        since = self._ended[part].since if part in self._ended else time.time()
        self._ended[part] = Ended(since=since, exit_code=self._processes[part].exit_code, given_up=given_up)
        self._write_state()

    async def start_part(self, part: str) -> None:
        """Start a part that has ended; returns when it is ready."""
        process = self._processes[part]
        if not process.running:
            _begin(process)
            self._write_state()
        await self._until_ready(self._parts[part], process)
        if part == "vault":
            await self._open_vault()
        if self._ended.pop(part, None) is not None:
            self._write_state()

    # Start and stop

    async def _start(self) -> None:
        await clean_leftovers(self.directory, self.progress)
        self._layout = msgspec.structs.replace(layout_of(self.directory), subdomains=self._subdomains)
        ports = self.layout.ports.values()
        if not usual(self.layout.ports):
            self.progress.say(
                f"the API is at port {self.layout.ports['api']}, all parts between {min(ports)} and {max(ports)}"
            )
        self._secrets = secrets.load_or_make(self.layout.keys)
        _make_socket_directory(self.layout.database_socket)
        for directory in DIRECTORIES.values():
            (self.layout.data_root / directory.root).mkdir(parents=True, exist_ok=True)
        starters: dict[str, Callable[[], Awaitable[None]]] = {
            "postgres": self._start_database,
            "temporal": self._start_temporal,
            "vault": self._start_vault,
            "oidc": self._start_oidc,
            "jupyterhub": self._start_jupyterhub,
            "api": self._start_api,
            "worker": self._start_workers,
        }
        self._ready = {name: asyncio.Event() for name in starters}
        wanted = self._only or tuple(starters)
        async with asyncio.TaskGroup() as group:
            for name in wanted:
                group.create_task(self._start_in_turn(name, starters[name]))
        self._write_state(complete=True)

    async def _start_in_turn(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        await start()
        self._ready[name].set()

    async def _start_database(self) -> None:
        data = self.directory / "postgres"
        postgres = await self._found("postgres")
        if not (data / "PG_VERSION").exists():
            program = str(postgres.path.with_name("initdb"))
            # Letters of all scripts have an upper and a lower case; the order is that of their bytes.
            locale = ["--locale=C", "--lc-ctype=C.UTF-8"]
            options = ["-U", "nbhub", "--auth=trust", "-E", "UTF8", *locale, "--no-instructions"]
            if not self._durable:
                options.append("--no-sync")
            # Whole or not at all: a start that is cut off here must not be the last one.
            making = data.with_name("postgres.new")
            shutil.rmtree(making, ignore_errors=True)
            await self._once("initdb", parts.as_ordinary_user([program, "-D", str(making), *options]), {})
            making.rename(data)
        await self._launch(parts.postgres(self.layout, postgres, durable=self._durable))
        await make_database(self.layout, "nbhub")
        await self.migrate(self.layout.database_url())

    async def migrate(self, database_url: str) -> None:
        """Bring a database to the current schema."""
        values = parts.settings(self.layout, self.secrets) | {"NBHUB_DATABASE_URL": database_url}
        await self._once("migrate", [sys.executable, "-m", "models.database.migrate"], values)

    async def _start_temporal(self) -> None:
        program = await self._found("temporal")
        database = parts.temporal_database(self.layout)
        if not parts.temporal_has_begun(database):
            # A start was cut off while it was made. Temporal makes tables in a new file only.
            shutil.rmtree(database.parent, ignore_errors=True)
        database.parent.mkdir(exist_ok=True)
        await self._launch(parts.temporal(self.layout, program, self.secrets, durable=self._durable))

    async def _start_vault(self) -> None:
        if not vault_setup.keys_file(parts.vault_directory(self.layout)).exists():
            # A start was cut off before it kept the keys: nobody can open what it made, and nothing is in it.
            shutil.rmtree(parts.vault_storage(self.layout), ignore_errors=True)
        await self._launch(parts.vault(self.layout, await self._found("vault")))
        await self._open_vault()

    async def _open_vault(self) -> None:
        ids = {"api": self.secrets.vault_api_secret_id, "worker": self.secrets.vault_worker_secret_id}
        with answers.expected(self.layout):
            await vault_setup.open_vault(self.info.vault, parts.vault_directory(self.layout), ids)

    async def _start_oidc(self) -> None:
        modules = await tools.node_modules(self.progress)
        await self._launch(parts.oidc(self.layout, await self._found("node"), modules, self.secrets))

    async def _start_jupyterhub(self) -> None:
        await tools.system_packages(self.progress)
        modules = await tools.node_modules(self.progress)
        python = await tools.jupyterhub(self._major, self.progress)
        await self._ready["oidc"].wait()
        node, bubblewrap = await self._found("node"), await self._found("bubblewrap")
        self._isolation = await isolation.found_out(bubblewrap)
        self.progress.say(f"isolation: {self._isolation}")
        part = parts.jupyterhub(
            self.layout, python, node, bubblewrap, self._isolation, modules, self.secrets, self._settings
        )
        await self._launch(part)

    async def _start_api(self) -> None:
        page, help_pages = await asyncio.gather(tools.page(self.progress), self._help_pages())
        await self._ready["postgres"].wait()
        await self._launch(parts.api(self.layout, self.secrets, page, help_pages, self._settings))

    async def _help_pages(self) -> Path | None:
        """The directory of the help; None, which is said, if a mistake in a document keeps it from being built."""
        try:
            return await tools.help_pages(self.progress)
        except ToolMissing as failure:
            self.progress.say(f"help: there is none, {failure}")
            return None

    async def _start_workers(self) -> None:
        await asyncio.gather(*(self._ready[name].wait() for name in ("postgres", "temporal", "api")))
        workers = (parts.worker(self.layout, self.secrets, self._settings, name=name) for name in self._worker_names)
        await asyncio.gather(*map(self._launch, workers))

    async def _found(self, name: str) -> Program:
        """A program that a part runs, said once."""
        program = await programs.find(name)
        if program.name not in self._programs:
            self._programs[program.name] = program
            self.progress.say(f"{program.name}: {program}")
        return program

    async def _launch(self, part: Part) -> None:
        process = self._process(part.name, part.command, part.values)
        self._parts[part.name], self._processes[part.name] = part, process
        _begin(process)
        self._write_state()
        await self._until_ready(part, process)
        self.progress.say(f"{part.name}: ready")

    async def _until_ready(self, part: Part, process: ManagedProcess) -> None:
        try:
            async with asyncio.timeout(part.patience):
                while not await part.ready():
                    if not process.running:
                        raise StackFailed(
                            f"{part.name} ended with {process.exit_code}{_of(part)}; its log, {process.log}, "
                            f"ends with:\n{process.last_lines()}"
                        )
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise StackFailed(
                f"{part.name} was not ready within {part.patience:.0f} s{_of(part)}; its log, {process.log}, "
                f"ends with:\n{process.last_lines()}"
            ) from None

    async def _once(self, name: str, command: list[str], values: dict[str, str]) -> None:
        """Run a program of the start to its end."""
        process = self._process(name, command, values)
        _begin(process)
        try:
            if not await process.gone(within=120) or process.exit_code != 0:
                raise StackFailed(f"{name} failed; its log, {process.log}, ends with:\n{process.last_lines()}")
        finally:
            process.kill()

    def _process(self, name: str, command: list[str], values: Mapping[str, str]) -> ManagedProcess:
        return ManagedProcess(
            name,
            command,
            environment=parts.environment(values) | {MARK: str(self.directory)},
            log=self.layout.logs / f"{name}.log",
            directory=tools.PROJECT,
        )

    async def stop(self) -> None:
        """End everything, whoever depends on others first; nothing is left running."""
        if not self._claim.lost():
            # Whoever asks from now on hears that it is ending.
            (self.directory / "state.json").unlink(missing_ok=True)
        try:
            for names in _STOP_ORDER:
                going = [process for name, process in self._processes.items() if name.rstrip("0123456789") in names]
                await asyncio.gather(*(process.stop() for process in going))
            if not self._claim.lost():
                # Children of parts that were killed, and the servers of people.
                await clean_leftovers(self.directory, Progress(quiet=True))
        finally:
            self._claim.release()

    def _write_state(self, *, complete: bool = False) -> None:
        own = processes.identify(os.getpid())
        assert own is not None
        state = State(
            supervisor=own,
            processes={name: one.identity for name, one in self._processes.items() if one.running and one.identity},
            ended=self._ended,
            info=self.info if complete or all(event.is_set() for event in self._ready.values()) else None,
        )
        write_state(self.directory, state)


def _of(part: Part) -> str:
    """What a part runs, for whoever reads of its failure."""
    return "".join(f" ({program.path}: {program})" for program in part.programs)


def _make_socket_directory(path: Path) -> None:
    """Make the directory of our sockets, which lies where others may make one of the same name."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise StackFailed(f"{path}, where the sockets of this stack belong, is somebody else's: remove it")


def _begin(process: ManagedProcess) -> None:
    try:
        process.start()
    except OSError as error:
        raise StackFailed(f"{process.name} cannot be started: {error.filename}: {error.strerror}") from None


async def clean_leftovers(directory: Path, progress: Progress) -> None:
    """End what a killed stack left behind. Whoever calls holds the claim to the directory."""
    left = processes_of(directory)
    if left:
        progress.say(f"ending what an earlier stack left behind: {', '.join(describe(one) for one in left)}")
    await asyncio.gather(*(end_leftover(one) for one in left))
    await end_servers(directory)
    # JupyterHub would end whatever process has the number by now.
    (directory / "jupyterhub" / "proxy.pid").unlink(missing_ok=True)
    (directory / "state.json").unlink(missing_ok=True)


async def end_servers(directory: Path) -> None:
    """End the servers of people, which outlive JupyterHub."""
    data = directory / "jupyterhub"
    if not data.is_dir():
        return
    ending = await asyncio.create_subprocess_exec(sys.executable, "-m", "hub.machine", str(data), cwd=tools.PROJECT)
    if await ending.wait() != 0:
        raise StackFailed(f"servers of people still run; see {data}/records")


async def make_database(layout: Layout, name: str) -> None:
    """Make an empty database, unless it is there."""
    connection = await asyncpg.connect(layout.database_url("postgres"))
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
            quoted = await connection.fetchval("SELECT quote_ident($1)", name)
            await connection.execute(f"CREATE DATABASE {quoted}")
    finally:
        await connection.close()


async def hub_token(layout: Layout, user: str) -> str:
    """A JupyterHub token of a user, who becomes known there if need be. It lives for an hour."""
    admin = secrets.load_or_make(layout.keys).hub_admin_token
    base = httpx.URL(layout.url("hub_proxy"))
    headers = {"Authorization": f"token {admin}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=15) as client:
        path = f"/hub/api/users/{quote(user, safe='')}"
        made = await client.post(path)
        if made.status_code not in (201, 409):
            made.raise_for_status()
        answer = await client.post(f"{path}/tokens", json={"note": "nbhub hub-token", "expires_in": 3600})
        answer.raise_for_status()
        token: str = answer.json()["token"]
        return token
