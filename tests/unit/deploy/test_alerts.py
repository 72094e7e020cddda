"""Each alert fires by the fault that it tells of, after its time, and does not while all is well."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.domain import metrics
from tests.project import PROJECT

RULES = PROJECT / "deploy" / "prometheus" / "alerts.yml"
MINUTES = 90

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus")

STARTS = 'nbhub_operations_total{kind="server.start",outcome="%s"}'
REPLAYS = 'temporal_workflow_task_execution_failed_total{failure_reason="NonDeterminismError"}'
WAITING = 'temporal_activity_schedule_to_start_latency_seconds_bucket{le="%s"}'
WELL = {
    "nbhub_http_requests_in_progress": "0x90",
    'nbhub_http_requests_total{status="200"}': "0+100x90",
    'nbhub_http_requests_total{status="503"}': "0+0x90",
    'nbhub_dependency_up{dependency="vault"}': "1x90",
    'temporal_num_pollers{poller_type="workflow_task"}': "5x90",
    'nbhub_operation_oldest_unsettled_seconds{kind="server.start"}': "20x90",
    # Seconds: it is as old as the clock of the test, which begins at 0.
    "nbhub_reconcile_last_success_timestamp_seconds": "0+60x90",
    REPLAYS: "0x90",
    WAITING % "0.1": "0+100x90",
    WAITING % "1": "0+100x90",
    WAITING % "+Inf": "0+100x90",
    STARTS % "succeeded": "0+2x90",
    STARTS % "failed": "0x90",
    "nbhub_unknown_servers": "0x90",
}
"""A sample to each minute."""

FAULTS: dict[str, dict[str, str]] = {
    "ApiAway": {"nbhub_http_requests_in_progress": ""},
    "DependencyDown": {'nbhub_dependency_up{dependency="vault"}': "1x10 0x80"},
    "NoWorker": {'temporal_num_pollers{poller_type="workflow_task"}': "5x10 0x80"},
    "OperationStuck": {'nbhub_operation_oldest_unsettled_seconds{kind="server.start"}': "20+60x90"},
    "ReconcileStalled": {"nbhub_reconcile_last_success_timestamp_seconds": "0+60x10 600x80"},
    "WorkflowsFailToReplay": {REPLAYS: "0x80 1x9"},
    "WorkersSlow": {WAITING % "0.1": "0x90"},
    "StartsFail": {STARTS % "failed": "0+1x90"},
    "RequestsFail": {'nbhub_http_requests_total{status="503"}': "0+5x90"},
    "UnknownServers": {"nbhub_unknown_servers": "1x90"},
}
HARMLESS: dict[str, dict[str, str]] = {
    # Of two processes one does not reach it.
    "DependencyDown": {'nbhub_dependency_up{dependency="vault",instance="other"}': "0x90"},
    # It waits for what is away, and for that there is an alert.
    "OperationStuck": {
        'nbhub_operation_oldest_unsettled_seconds{kind="server.start"}': "20+60x90",
        'nbhub_dependency_up{dependency="vault",instance="other"}': "0x90",
    },
    # Another worker looks.
    "ReconcileStalled": {'nbhub_reconcile_last_success_timestamp_seconds{instance="other"}': "0x90"},
    "StartsFail": {STARTS % "failed": "0x85 1 2 2 2 2"},
    "RequestsFail": {'nbhub_http_requests_total{status="503"}': "0x85 5 10 15 20 25"},
}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def fired(series: dict[str, str], tmp_path: Path) -> set[str]:
    """The alerts that Prometheus would fire in the end."""
    assert PROMTOOL is not None
    shutil.copy(RULES, tmp_path)
    values = {name: value for name, value in (WELL | series).items() if value}
    # It tells of one that fires only where the test says that none does.
    none = [{"eval_time": f"{MINUTES}m", "alertname": one["alert"], "exp_alerts": []} for one in alerts()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": value} for name, value in values.items()],
        "alert_rule_test": none,
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": [test]}))
    told = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    output = told.stdout + told.stderr
    found = set(re.findall(r"alertname: (\w+)", output))
    assert (told.returncode == 0) == (not found), output
    return found


@needs_promtool
def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    assert fired({}, tmp_path) == set()


@needs_promtool
@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_fires_by_its_fault_and_no_other_does(alert: str, tmp_path: Path) -> None:
    assert fired(FAULTS[alert], tmp_path) == {alert}


@needs_promtool
@pytest.mark.parametrize("alert", HARMLESS)
def test_an_alert_does_not_fire_by_what_is_none(alert: str, tmp_path: Path) -> None:
    assert fired(HARMLESS[alert], tmp_path) == set()


def test_each_alert_has_its_fault_here_and_what_to_do_in_the_runbook() -> None:
    names = {one["alert"] for one in alerts()}
    assert names == FAULTS.keys()
    page = (PROJECT / "docs" / "operations.md").read_text()
    section = page.partition("## When an alert fires")[2].partition("\n## ")[0]
    assert names == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_alerts_are_made_of_metrics_that_there_are() -> None:
    ours = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples} | {
        family.name + suffix
        for family in metrics.REGISTRY.collect()
        for suffix in ("", "_total", "_bucket", "_count", "_sum")
    }
    used = {name for one in alerts() for name in re.findall(r"\bnbhub_\w+", one["expr"])}
    assert used
    assert used <= ours
