"""Limits by cgroups; without them nothing is started, unless limits of each process are chosen, and then it is said."""

import logging
import os
from pathlib import Path

import msgspec
import pytest

from hub.limits import LimitsMissing, enter_cgroups, limits_for, make_cgroups, members, parents, remove_cgroups
from models.domain.profiles import Hardware

HARDWARE = Hardware(title="x", cpu=1.5, memory="2G")
LOG = logging.getLogger("test")
FILES = ("memory.max", "memory.swap.max", "cpu.max", "pids.max")


@pytest.fixture
def delegated(tmp_path: Path) -> Path:
    """What a delegated cgroup of version 2 looks like."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("pids\n")
    (tmp_path / "cgroup.procs").touch()
    return tmp_path


def test_a_server_gets_a_cgroup_with_its_limits(delegated: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = limits_for(HARDWARE, "one", True, str(delegated), LOG)
    assert (delegated / "cgroup.subtree_control").read_text() == "+cpu +memory"
    group = delegated / "nbhub-one"
    group.mkdir()
    # The kernel's files; swap is not accounted for everywhere.
    for name in (*FILES[:1], *FILES[2:]):
        (group / name).touch()
    make_cgroups(limits)
    enter_cgroups(limits)
    assert (group / "memory.max").read_text() == str(2 * 1024**3)
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert int((group / "pids.max").read_text()) > 1000
    assert members(limits.cgroups) == {os.getpid()}
    assert limits.data_bytes is None
    assert not caplog.records
    # Files are in the way here, processes in earnest: neither is a reason to fail.
    remove_cgroups(limits.cgroups)


def test_a_limit_that_the_kernel_does_not_take_is_a_failure(delegated: Path) -> None:
    limits = limits_for(HARDWARE, "one", True, str(delegated), LOG)
    with pytest.raises(OSError, match=r"memory\.max"):
        make_cgroups(limits)


@pytest.mark.parametrize("lacking", ["cgroup.controllers", "cgroup.subtree_control", "memory"])
def test_nothing_is_started_without_cgroups(delegated: Path, lacking: str) -> None:
    if lacking == "memory":
        (delegated / "cgroup.controllers").write_text("cpu pids\n")
    else:
        (delegated / lacking).unlink()
        (delegated / lacking).mkdir()
    with pytest.raises(LimitsMissing) as missing:
        limits_for(HARDWARE, "one", True, str(delegated), LOG)
    for said in (str(delegated), "NBHUB_HUB_CGROUP", "NBHUB_HUB_LIMITS=none"):
        assert said in str(missing.value)


def test_limits_of_each_process_are_chosen_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = limits_for(HARDWARE, "one", False, str(tmp_path / "none"), LOG)
    assert limits.data_bytes == 2 * 1024**3
    assert len(limits.processors) in (0, 2)
    assert "per process" in caplog.text
    assert msgspec.to_builtins(limits)["cgroups"] == {}
    enter_cgroups(limits)


def test_the_hubs_own_cgroups_are_found_where_there_are_some() -> None:
    try:
        found = parents()
    except LimitsMissing:
        pytest.skip("this machine lets nobody here make cgroups")
    for place in found:
        group = place / f"nbhub-test-{os.getpid()}"
        group.mkdir()
        try:
            assert members([str(group)]) == set()
        finally:
            remove_cgroups([str(group)])
        assert not group.exists()
