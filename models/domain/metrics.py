"""What a process tells Prometheus of itself: every metric of API and workers, and the address that serves them.

A label is one of a few values that are known beforehand: a route's template, a kind, a status. No id, no name and no
e-mail address is one, so the number of series does not grow with use.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from importlib import metadata

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

log = structlog.get_logger(__name__)

REGISTRY = CollectorRegistry()
"""Those of this process, without the library's own of interpreter and process."""

LOOK_SECONDS = 15.0
"""So often what is not counted as it happens is looked at; Prometheus asks about as often."""

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_OPERATION_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)

BUILD = Info("nbhub_build", "Version and commit of the process.", registry=REGISTRY)
REQUESTS = Counter(
    "nbhub_http_requests", "Requests that were answered.", ["method", "path", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "nbhub_http_request_seconds",
    "From a request's head to the end of its answer; event streams, which last, are left out.",
    ["method", "path"],
    buckets=_REQUEST_SECONDS,
    registry=REGISTRY,
)
REQUESTS_NOW = Gauge("nbhub_http_requests_in_progress", "Requests under way.", registry=REGISTRY)
LOOP_LAG = Histogram(
    "nbhub_loop_lag_seconds",
    "How late the event loop does what is due; looked at twice a second.",
    buckets=_LAG_SECONDS,
    registry=REGISTRY,
)
DEPENDENCY_UP = Gauge(
    "nbhub_dependency_up",
    "1 if the last look at what the service depends on found it well, else 0.",
    ["dependency"],
    registry=REGISTRY,
)
DEPENDENCY_SECONDS = Gauge("nbhub_dependency_seconds", "How long that look took.", ["dependency"], registry=REGISTRY)
OPERATIONS = Counter("nbhub_operations", "Operations that ended.", ["kind", "outcome"], registry=REGISTRY)
OPERATION_SECONDS = Histogram(
    "nbhub_operation_seconds",
    "From the request to the end of an operation that succeeded.",
    ["kind"],
    buckets=_OPERATION_SECONDS,
    registry=REGISTRY,
)
START_SECONDS = Histogram(
    "nbhub_start_phase_seconds",
    "Time in each phase of a start that succeeded.",
    ["phase"],
    buckets=_OPERATION_SECONDS,
    registry=REGISTRY,
)
STREAMS = Gauge("nbhub_event_streams", "Event streams that are open.", registry=REGISTRY)
RECONCILED_AT = Gauge(
    "nbhub_reconcile_last_success_timestamp_seconds",
    "When this worker last compared all that should run with what runs; 0: never.",
    registry=REGISTRY,
)
WOKEN = Counter(
    "nbhub_woken", "Things on which nothing had happened for long, and which were woken.", registry=REGISTRY
)
STOPPED_BY_ITSELF = Counter(
    "nbhub_servers_vanished", "Servers that ended although nobody here had asked for it.", registry=REGISTRY
)
UNKNOWN_SERVERS = Gauge(
    "nbhub_unknown_servers",
    "Processes of unknown servers, at the last look.",
    registry=REGISTRY,
)
AUDIT_UNSEALED = Gauge(
    "nbhub_audit_oldest_unsealed_seconds",
    "How long the first row of the audit that has no seal has waited for one; 0: none waits.",
    registry=REGISTRY,
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STREAMS = "/events"
# What a series is of is found once for each: `labels` would look it up anew.
_requests: dict[tuple[str, str, int], Counter] = {}
_seconds: dict[tuple[str, str], Histogram] = {}


def count_request(method: str, path: str, status: int, seconds: float) -> None:
    """Count a request by its route's template; `-` where there is none."""
    method = method if method in _METHODS else "other"
    counter = _requests.get((method, path, status))
    if counter is None:
        counter = _requests[method, path, status] = REQUESTS.labels(method, path, status)
    counter.inc()
    if path.endswith(_STREAMS):
        return
    histogram = _seconds.get((method, path))
    if histogram is None:
        histogram = _seconds[method, path] = REQUEST_SECONDS.labels(method, path)
    histogram.observe(seconds)


def count_operation(kind: str, outcome: str, seconds: float, steps: Mapping[str, float]) -> None:
    """Count an operation that has ended, with the seconds that it and its steps took."""
    OPERATIONS.labels(kind, outcome).inc()
    if outcome == "succeeded":
        OPERATION_SECONDS.labels(kind).observe(seconds)
        for step, taken in steps.items():
            START_SECONDS.labels(step).observe(taken)


def say_build(commit: str) -> None:
    """Show which version this process is of."""
    BUILD.info({"version": metadata.version("notebooks-hub"), "commit": commit})


class Looked:
    """A gauge that shows what the last look found, and nothing of what it did not find any more."""

    def __init__(self, name: str, about: str, labels: list[str]) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._found: list[tuple[tuple[str, ...], float]] = []
        REGISTRY.register(self)

    def found(self, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """Show these, each with the values of the labels."""
        self._found = list(values)

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for labels, value in self._found:
            family.add_metric(labels, value)
        yield family


CONNECTIONS = Looked("nbhub_database_connections", "Connections to PostgreSQL, by their state.", ["state"])
SERVERS = Looked("nbhub_servers", "Servers, by what is wished and what is.", ["wish", "observed"])
UNSETTLED = Looked("nbhub_operations_unsettled", "Operations that have not ended.", ["kind", "status"])
OLDEST = Looked(
    "nbhub_operation_oldest_unsettled_seconds",
    "Age of the oldest operation that has not ended.",
    ["kind"],
)


def serve(address: str, *, after: int = 0) -> None:
    """Serve the metrics at `host:port`, or so many ports after it, in a thread of its own; empty: nowhere.

    Nobody is turned away because the metrics cannot be served: that is logged, and an alert tells of what is not there.
    """
    if not address:
        return
    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port) + after, host.strip("[]"), REGISTRY)
    except OSError as error:
        log.error("metrics_not_served", address=f"{host}:{int(port) + after}", error=str(error))


async def watch_loop() -> None:
    """Measure for ever how late this event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.5
        await asyncio.sleep(0.5)
        LOOP_LAG.observe(max(0.0, loop.time() - due))


def reconciled() -> None:
    """Note that all was compared just now."""
    RECONCILED_AT.set(time.time())
