"""Activities that look after what nobody asked for: they wake what was forgotten, and look at what really runs."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from uuid import UUID

import msgspec
import structlog
from temporalio import activity

from activities.messages import Seen, Woken
from activities.share_links import ShareLinks
from activities.waking import Wake, wake_all
from integrations.truth import Process, Truth
from models.domain import metrics
from models.domain.errors import DomainError
from models.domain.ids import parse_id
from models.domain.profiles import Unavailable
from models.domain.settings import Settings
from models.domain.values import Subject
from models.ledger import operations
from models.records import server_shares, server_watch, unavailable
from models.records.server_watch import ACTIVITY_STEP, MOST_WATCHED, ObservedServer

log = structlog.get_logger(__name__)

# The most that one pass wakes; the next pass goes on with the rest.
_WAKE_LIMIT = 500
# Shared servers that one pass looks at.
_SHARED = 50
# Seconds after which it is written again with what no server can be started, whatever the database has.
_SAID_AGAIN = 600.0


class Watching:
    """Looks at everything that is under way or runs."""

    def __init__(self, truth: Truth, links: ShareLinks, settings: Settings, wake: Wake) -> None:
        self._truth = truth
        self._links = links
        self._settings = settings
        self._wake = wake
        self._unavailable: tuple[Unavailable | None, float] = None, 0.0

    @activity.defn
    async def wake_stalled(self) -> Woken:
        """Wake every subject with work to do on which nothing happened for a while."""
        stalled = await operations.stalled(self._settings.stalled_after, _WAKE_LIMIT)
        woken = await wake_all(self._wake, stalled)
        if stalled:
            # Also what could not be told: it comes after the others the next time.
            await operations.touch(stalled)
        metrics.WOKEN.inc(len(woken))
        return Woken(count=len(woken))

    @activity.defn
    async def observe_servers(self) -> Seen:
        """Compare every server of which a process lives, or should, with what really runs; write what differs."""
        # Versions first: whatever changes while we look makes our write miss.
        rows = await self._watched()
        alive = defaultdict(list)
        found = await self._truth.everything()
        for process in found.servers:
            alive[process.server_id].append(process)
        vanished = [row for row in rows.values() if row.runs and not alive[str(row.id)]]
        for row in vanished:
            with _others_go_on(row.id):
                await self._note_vanished(row)
        await self._note_activity(rows, alive)
        others = [identity for identity in map(parse_id, alive) if identity is not None and identity not in rows]
        unwanted, unknown = await self._look_after(others, alive) if others else (0, 0)
        # People come by a link without our hearing of it.
        some_are_shared = any(row.shared for row in rows.values())
        for server in await server_shares.take_to_look_at(_SHARED) if some_are_shared else ():
            with _others_go_on(server), suppress(DomainError):
                await self._links.look(server)
        await self._note_unavailable(found.unavailable)
        metrics.UNKNOWN_SERVERS.set(unknown)
        metrics.reconciled()
        return Seen(watched=len(rows), vanished=len(vanished), unwanted=unwanted, unknown=unknown)

    async def _note_unavailable(self, told: Unavailable | None) -> None:
        """Keep what no server can be started with. What was said before is written again only now and then."""
        known, until = self._unavailable
        if told is not None and (told != known or time.monotonic() > until):
            await unavailable.note(told)
            self._unavailable = told, time.monotonic() + _SAID_AGAIN

    async def _note_vanished(self, row: ObservedServer) -> None:
        # A second look, at this server alone: the first may be older than the start.
        if not await self._truth.processes(str(row.id)):
            generation = row.generation if row.process_generation is None else row.process_generation
            failure = await self._truth.ending(str(row.id), generation)
            known = {} if failure is None else msgspec.structs.asdict(failure)
            if await server_watch.note_vanished(row.id, row.generation, row.version, **known):
                metrics.STOPPED_BY_ITSELF.inc()

    async def _note_activity(self, rows: dict[UUID, ObservedServer], alive: dict[str, list[Process]]) -> None:
        moments: dict[UUID, datetime] = {}
        for row in rows.values():
            seen = max((one.last_activity for one in alive[str(row.id)] if one.last_activity), default=None)
            if seen is not None and (row.last_activity is None or seen > row.last_activity + ACTIVITY_STEP):
                moments[row.id] = seen
        if moments:
            await server_watch.note_activity(moments)

    async def _watched(self) -> dict[UUID, ObservedServer]:
        found: dict[UUID, ObservedServer] = {}
        after: UUID | None = None
        while True:
            page = await server_watch.watched(after, MOST_WATCHED)
            found |= {row.id: row for row in page}
            if len(page) < MOST_WATCHED:
                return found
            after = page[-1].id

    async def _look_after(self, others: list[UUID], alive: dict[str, list[Process]]) -> tuple[int, int]:
        """Processes of servers that are stopped or gone: what is proven ours and unwanted goes, others are reported."""
        known = {row.id: row for row in await server_watch.observed(others)}
        deleted = await server_watch.tombstones([identity for identity in others if identity not in known])
        unwanted = unknown = 0
        for identity in others:
            row = known.get(identity)
            with _others_go_on(identity):
                if row is None and identity in deleted:
                    generation = max(process.generation for process in alive[str(identity)])
                    await self._truth.end_processes(str(identity), generation)
                    unwanted += 1
                elif row is None:
                    log.warning("unknown_server_process", server=str(identity))
                    unknown += 1
                elif row.rests:
                    processes = await self._truth.processes(str(identity))
                    if processes and await server_watch.note_unwanted(identity, processes[0].generation, row.version):
                        await self._wake(Subject("server", identity))
                        unwanted += 1
        return unwanted, unknown


@contextmanager
def _others_go_on(server: UUID) -> Iterator[None]:
    """Whatever is wrong with one server keeps no other from being looked at."""
    try:
        yield
    except Exception:
        log.exception("server_not_looked_at", server=str(server))
