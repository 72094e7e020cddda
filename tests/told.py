"""Tells what tests measured, and how long files of them take: a log that was cut off says where time went."""

import time

import pytest

LONG = 10.0
"""Seconds: what takes less is not worth a line."""


class FilesTold:
    """A line to each file that took long, as soon as its process goes on to another, and to what a test recorded."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._began = time.monotonic()
        self._files: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            for name, value in report.user_properties:
                self._reporter.write_line(f"\n== {name}: {value}")
        # Only who hears the reports of other processes knows whose they are.
        if (node := getattr(report, "node", None)) is None:
            return
        worker, file = node.gateway.id, report.nodeid.partition("::")[0]
        if self._files.get(worker) != file:
            self._tell(worker)
            self._files[worker] = file
            self._since[worker] = self._heard.get(worker, self._began)
        self._heard[worker] = time.monotonic()

    def pytest_terminal_summary(self) -> None:
        for worker in self._files:
            self._tell(worker)

    def _tell(self, worker: str) -> None:
        took = self._heard.get(worker, 0) - self._since.get(worker, 0)
        if took >= LONG:
            now = self._heard[worker] - self._began
            self._reporter.write_line(f"\n== {now:4.0f} s: {self._files[worker]} took {took:.0f} s")
