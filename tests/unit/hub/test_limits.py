"""Limits by cgroup where one is writable, else per process, and then it is said."""

import logging
import os
from pathlib import Path

import pytest

from hub.limits import enter_cgroup, limits_for, remove_cgroup
from models.domain.profiles import Hardware

HARDWARE = Hardware(title="x", cpu=1.5, memory="2G")
LOG = logging.getLogger("test")


def test_by_cgroup(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cgroup.procs").touch()
    limits = limits_for(HARDWARE, str(tmp_path), LOG)
    enter_cgroup(limits, "one")
    group = tmp_path / "nbhub-one"
    assert (group / "memory.max").read_text() == str(2 * 1024**3)
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert int((group / "pids.max").read_text()) > 1000
    assert (group / "cgroup.procs").read_text() == str(os.getpid())
    assert limits.data_bytes is None
    assert not caplog.records
    # Files are in the way here, processes in earnest: neither is a reason to fail.
    remove_cgroup(str(tmp_path), "one")


def test_per_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = limits_for(HARDWARE, str(tmp_path / "none"), LOG)
    assert limits.data_bytes == 2 * 1024**3
    assert len(limits.processors) in (0, 2)
    assert "per process" in caplog.text
    enter_cgroup(limits, "one")
