"""What an API process looks at for Prometheus, beside what it counts as it happens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from api.health import Probes, run_checks
from api.http.services import Services
from models.database import engine
from models.domain import metrics
from models.domain.process import meanwhile


@contextlib.asynccontextmanager
async def measuring(services: Services) -> AsyncIterator[None]:
    """Look while the context lives, unless nobody is told."""
    if not services.settings.metrics_address:
        yield
        return
    async with meanwhile(metrics.watch_loop(), _look(services)):
        yield


async def _look(services: Services) -> None:
    probes = Probes(services)
    while True:
        metrics.CONNECTIONS.found(((state,), number) for state, number in engine.connections().items())
        metrics.STREAMS.set(len(services.operation_events.streams))
        for dependency, check in (await services.health.shared(lambda: run_checks(probes.all()))).items():
            metrics.DEPENDENCY_UP.labels(dependency).set(check.status == "ok")
            metrics.DEPENDENCY_SECONDS.labels(dependency).set(check.latency_ms / 1000)
        await asyncio.sleep(metrics.LOOK_SECONDS)
