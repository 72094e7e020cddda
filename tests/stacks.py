"""The stack that tests run on, with the faults that they put into it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client

from stack import parts, secrets, supervisor
from stack.state import StackFailed


class Stack(supervisor.Stack):
    """The whole system, and what only tests do to it."""

    def __init__(
        self, directory: Path, *, fault_injection: bool = False, settings: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """With `fault_injection` it has crash points."""
        self._faults = directory.resolve() / "faults" if fault_injection else None
        points = {} if self._faults is None else {"NBHUB_CRASH_POINTS": str(self._faults)}
        # Nothing here fails as a power failure does: what a killed process has written, the system has.
        super().__init__(directory, settings={**(settings or {}), **points}, **{"durable": False, **more})

    async def _start(self) -> None:
        if self._faults is not None:
            self._faults.mkdir(exist_ok=True)
        await super()._start()

    @property
    def data_root(self) -> Path:
        """The shared file system."""
        return self.layout.data_root

    async def temporal_client(self) -> Client:
        """A plain client of the stack's Temporal."""
        return await Client.connect(self.info.temporal)

    @asynccontextmanager
    async def without_reconciler(self) -> AsyncIterator[None]:
        """No pass of the reconciler is under way meanwhile, and none begins. A worker has to be there."""
        schedule = (await self.temporal_client()).get_schedule_handle("reconcile")
        await schedule.pause()
        try:
            async with asyncio.timeout(60):
                while (await schedule.describe()).info.running_actions:
                    await asyncio.sleep(0.1)
            yield
        finally:
            await schedule.unpause()

    def kill(self, part: str) -> None:
        """End a part as a power failure would."""
        self.process(part).kill()

    def freeze(self, part: str) -> None:
        """Make a part stand still."""
        self.process(part).send(signal.SIGSTOP)

    def thaw(self, part: str) -> None:
        """Let a part that stands still go on."""
        self.process(part).send(signal.SIGCONT)

    def ended(self, part: str) -> bool:
        """Whether a part that was started does not run any more."""
        return not self.process(part).running

    async def died(self, part: str, *, within: float = 60) -> None:
        """Returns once a part has ended."""
        if not await self.process(part).gone(within=within):
            raise StackFailed(f"{part} still lives after {within:.0f} s")

    def arm(self, point: str) -> None:
        """Make the next process that reaches a crash point end there."""
        self._point(point).touch()

    def armed(self, point: str) -> bool:
        """Whether nobody has reached an armed crash point yet."""
        return self._point(point).exists()

    def _point(self, point: str) -> Path:
        assert self._faults is not None, "the stack was started without fault injection"
        return self._faults / point

    async def lose(self, part: str) -> None:
        """Stop Temporal and lose its database."""
        assert part == "temporal", "only Temporal's database can be lost"
        await self.stop_part(part)
        for file in parts.temporal_database(self.layout).parent.iterdir():
            file.unlink()

    async def stop_part(self, part: str) -> None:
        """End a part gently."""
        await self.process(part).stop()

    async def rotate_keys(self) -> None:
        """Have new keys of the payload codec and of the spec, and the API and workers use them."""
        self._secrets = secrets.rotate(self.layout.keys)
        for name in ("api", *self._worker_names):
            await self.stop_part(name)
        await self._start_api()
        await self._start_workers()
