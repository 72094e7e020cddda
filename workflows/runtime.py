"""What Temporal's SDK does in a process of ours beside its calls: its core logs, and measures."""

import logging
from collections.abc import Mapping, Sequence

import structlog
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

log = structlog.get_logger(__name__)

# Finer than the SDK's own, which has nothing between 100 and 500 ms: Temporal's advice is to look at what is above 200.
# Named without the unit that the metric ends with.
_SECONDS: Mapping[str, Sequence[float]] = dict.fromkeys(
    ("temporal_workflow_task_schedule_to_start_latency", "temporal_activity_schedule_to_start_latency"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5, 30),
)


def configure(metrics_address: str = "") -> None:
    """Have the SDK's core log by this process's logging instead of writing text of its own to standard output.

    Where there is an address (`host:port`), it serves its metrics there; if it cannot, that is logged, and work is done
    all the same. Once in a process, before its first client.
    """
    forwarding = LogForwardingConfig(
        logging.getLogger("temporalio.core"), append_target_to_name=False, prepend_target_on_message=False
    )
    logs = LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    try:
        runtime = Runtime(telemetry=TelemetryConfig(logging=logs, metrics=_served_at(metrics_address)))
    except ValueError as error:
        log.error("metrics_not_served", address=metrics_address, error=str(error))
        runtime = Runtime(telemetry=TelemetryConfig(logging=logs))
    Runtime.set_default(runtime)


def _served_at(address: str) -> PrometheusConfig | None:
    if not address:
        return None
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=_SECONDS,
    )
