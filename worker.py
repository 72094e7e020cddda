"""One worker process: settings → clients → activities → Worker. Run as many as wanted: `python worker.py`."""

import asyncio
import inspect
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.access import Access
from activities.expiry import Expiry
from activities.filesystem import Filesystem
from activities.groups import Groups
from activities.modulefiles import Modulefiles
from activities.persons import Persons
from activities.records import Records
from activities.server_logs import ServerLogs
from activities.share_links import ShareLinks
from activities.sign_outs import SignOuts
from activities.starts import Starts
from activities.stops import Stops
from activities.values import Values
from activities.watching import Watching
from integrations.file_threads import CALL_SECONDS, FileThreads
from integrations.hub_connection import HubConnection
from integrations.jupyterhub import JupyterHub
from integrations.truth import Truth
from integrations.turns import Turns
from integrations.vault import Vault
from models.database import engine
from models.database.engine import DATABASE_ERRORS
from models.domain import logging, metrics
from models.domain.absence import Absence
from models.domain.environment import SettingsInvalid
from models.domain.process import leave, meanwhile
from models.domain.settings import Settings
from models.ledger import heartbeats, seals
from models.ledger.heartbeats import Role
from models.records import figures
from workflows import rules, runtime
from workflows.access import AccessWorkflow
from workflows.client import Workflows, connect
from workflows.dataset import DatasetWorkflow
from workflows.group import GroupWorkflow
from workflows.janitor import JanitorWorkflow
from workflows.module import ModuleWorkflow
from workflows.person import UserWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.schedules import converge
from workflows.secret import SecretWorkflow
from workflows.server import ServerWorkflow
from workflows.server_log import ServerLogWorkflow
from workflows.server_shares import ServerShareWorkflow
from workflows.sign_out import SignOutWorkflow

log = structlog.get_logger(__name__)

T = TypeVar("T")

WORKFLOWS: Sequence[type] = (
    ServerWorkflow,
    UserWorkflow,
    SignOutWorkflow,
    DatasetWorkflow,
    ModuleWorkflow,
    SecretWorkflow,
    GroupWorkflow,
    AccessWorkflow,
    ServerShareWorkflow,
    ServerLogWorkflow,
    ReconcileWorkflow,
    JanitorWorkflow,
)

# Temporal's database may be lost while this process lives; so often it is looked at.
_CONVERGE_EVERY = 30.0
_TRY_AGAIN = 0.5
_SAY_GOODBYE = 2.0
# What is raised by the database, or Temporal's client, when they cannot be reached.
_AWAY: tuple[type[Exception], ...] = (*DATABASE_ERRORS, RPCError, RuntimeError)
_GRACE = timedelta(seconds=10)


def make_worker(
    client: Client, settings: Settings, hub: JupyterHub, truth: Truth, vault: Vault, *, activities_at_once: int = 100
) -> Worker:
    """A worker with everything that it can do."""
    wake = Workflows(client, settings).wake
    signing_key = Path(settings.spec_signing_key_file).read_bytes()
    links = ShareLinks(hub, settings)
    # For all that it does with files: of these each person has a share.
    threads = FileThreads(seconds=CALL_SECONDS)
    # The same at Vault: half of what it does at once.
    vault_turns = Turns(4)
    jobs = (
        Records(settings),
        Starts(hub, truth, vault, settings, signing_key, threads, vault_turns, links),
        Stops(hub, truth, links),
        links,
        Persons(hub, settings, wake, threads),
        SignOuts(hub),
        Groups(hub, settings, wake),
        Filesystem(settings, threads),
        Modulefiles(settings, threads),
        Values(vault, vault_turns),
        Access(settings, wake, links),
        ServerLogs(truth),
        Watching(truth, links, settings, wake),
        Expiry(settings, wake),
    )
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=[activity for job in jobs for activity in _activities_of(job)],
        max_concurrent_activities=activities_at_once,
        graceful_shutdown_timeout=_GRACE,
        deployment_config=rules.deployment(),
        # A worker that died is waited for no longer before another one replays its workflows.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        # A cancelled activity learns of it with its next heartbeat: within a second, not a minute.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


def _activities_of(job: object) -> list[Callable[..., Any]]:
    """Its methods that are activities, by the mark that `activity.defn` leaves on them."""
    methods = inspect.getmembers(job, inspect.ismethod)
    return [method for _, method in methods if hasattr(method, "__temporal_activity_definition")]


async def run(settings: Settings) -> None:
    """Work until the process is told to end, then let what is under way come to a good place."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    connection = HubConnection(settings.jupyterhub_token)
    hub, truth = (
        JupyterHub(connection, settings.jupyterhub_url),
        Truth(connection, settings.truth_url, settings.truth_host),
    )
    vault = Vault.from_settings(settings)
    try:
        async with engine.pool(settings):
            # A worker is of no use before these are there; it waits rather than dies.
            if await _reached("PostgreSQL", engine.ping, ended) is None:
                return
            client = await _reached("Temporal", lambda: connect(settings, lazy=False), ended)
            if client is None:
                return
            async with make_worker(client, settings, hub, truth, vault):
                log.info("worker_started", task_queue=settings.temporal_task_queue)
                work = [_keep_converged(client, settings), _beat(Workflows(client, settings)), _keep_sealed()]
                if settings.metrics_address:
                    work += [_measure(), metrics.watch_loop()]
                async with meanwhile(*work):
                    await ended.wait()
                    log.info("worker_ending")
                with suppress(*DATABASE_ERRORS):
                    async with asyncio.timeout(_SAY_GOODBYE):
                        await heartbeats.stop(Role.WORKER)
    finally:
        await connection.close()
        await vault.close()


async def _reached(part: str, reach: Callable[[], Awaitable[T]], ended: asyncio.Event) -> T | None:
    """What `reach` returns once the part is there. None: the process is told to end before."""
    absence = Absence(part)
    ending = asyncio.create_task(ended.wait())
    try:
        while not ended.is_set():
            reaching = asyncio.ensure_future(reach())
            await asyncio.wait((reaching, ending), return_when=asyncio.FIRST_COMPLETED)
            if not reaching.done():
                reaching.cancel()
                break
            try:
                reached = reaching.result()
            except ValueError:
                raise  # an address that nothing can be reached by
            except _AWAY as error:
                absence.noticed(error)
                await asyncio.wait((ending,), timeout=_TRY_AGAIN)
            else:
                absence.over()
                return reached
    finally:
        ending.cancel()
    return None


async def _beat(workflows: Workflows) -> None:
    """Write down that this worker works, as long as it reaches Temporal and the database."""
    absence = Absence("PostgreSQL or Temporal")
    while True:
        try:
            async with asyncio.timeout(heartbeats.BEAT_SECONDS):
                await workflows.ping()
                await heartbeats.beat(Role.WORKER)
        except _AWAY as error:
            absence.noticed(error)
        else:
            absence.over()
        await asyncio.sleep(heartbeats.BEAT_SECONDS)


async def _keep_sealed() -> None:
    """Seal the audit again and again; whichever worker comes first. The log tells the head of the chain."""
    while True:
        try:
            async with asyncio.timeout(seals.EVERY_SECONDS):
                while (made := await seals.seal()) is not None:
                    log.info("audit_sealed", rows=len(made.ids), head=made.head)
        except DATABASE_ERRORS as error:
            log.warning("audit_not_sealed", error=type(error).__name__)
        await asyncio.sleep(seals.EVERY_SECONDS)


async def _measure() -> None:
    """Look for Prometheus at what is not counted as it happens."""
    while True:
        try:
            async with asyncio.timeout(metrics.LOOK_SECONDS):
                await _look_at_figures()
        except DATABASE_ERRORS as error:
            log.warning("not_measured", error=type(error).__name__)
        await asyncio.sleep(metrics.LOOK_SECONDS)


async def _look_at_figures() -> None:
    metrics.CONNECTIONS.found(((state,), number) for state, number in engine.connections().items())
    metrics.SERVERS.found(((one.wish, one.observed), one.number) for one in await figures.servers())
    unsettled = await figures.unsettled()
    metrics.UNSETTLED.found(((one.kind, one.status), one.number) for one in unsettled)
    oldest: dict[str, float] = {}
    for one in unsettled:
        oldest[one.kind] = max(oldest.get(one.kind, 0.0), one.oldest_seconds)
    metrics.OLDEST.found(((kind,), seconds) for kind, seconds in oldest.items())
    metrics.AUDIT_UNSEALED.set((await seals.waiting()).oldest_seconds)
    for operation in await figures.ended():
        metrics.count_operation(operation.kind, operation.status, operation.seconds, operation.steps)


async def _keep_converged(client: Client, settings: Settings) -> None:
    while True:
        try:
            await converge(client, settings)
        except (RPCError, RuntimeError) as error:
            log.warning("schedules_not_converged", error=type(error).__name__)
        await asyncio.sleep(_CONVERGE_EVERY)


def main() -> int:
    """Run a worker; the exit code tells."""
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logging.configure(settings)
    runtime.configure(settings.temporal_metrics_address)
    metrics.say_build(settings.commit)
    metrics.serve(settings.metrics_address)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    leave(main())
