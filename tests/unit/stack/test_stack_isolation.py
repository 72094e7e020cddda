"""The stack finds out what keeps people's servers apart, and says it."""

from pathlib import Path

import pytest

from stack import isolation, programs
from stack.isolation import Isolation
from stack.programs import Program

# A user namespace in which no further one can be made, as where the kernel or an administrator allows none.
WITHOUT_NAMESPACES = """\
#!/bin/sh
exec unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"' {bwrap} "$@"
"""


async def test_a_machine_that_makes_sandboxes_gives_each_server_one() -> None:
    given = await isolation.found_out(await programs.find("bubblewrap"))
    assert (given.spawner, given.why_none) == ("bubblewrap", "")
    assert "a sandbox of its own" in str(given)
    assert given.network == "closed"
    assert "reaches the hub alone" in str(given)
    assert ("cgroups limit each server" if given.limits == "cgroup" else "NO LIMITS") in str(given)


async def test_a_setting_gives_servers_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBHUB_STACK_SLIRP4NETNS", "/usr/bin/slirp4netns")
    given = await isolation.found_out(await programs.find("bubblewrap"))
    assert given.network == "internet"
    assert "the hub and the public internet" in str(given)


def test_what_limits_nothing_is_told() -> None:
    assert "NO LIMITS" in str(Isolation(spawner="bubblewrap", limits="none"))


async def test_a_machine_that_makes_no_networks_is_told_to_share_its_own(tmp_path: Path) -> None:
    real = await programs.find("bubblewrap")
    forbidden = tmp_path / "bwrap"
    forbidden.write_text(f'#!/bin/sh\ncase "$*" in *--unshare-net*) exit 1;; esac\nexec {real.path} "$@"\n')
    forbidden.chmod(0o755)
    given = await isolation.found_out(named(forbidden))
    assert (given.spawner, given.network) == ("bubblewrap", "host")
    assert "NO NETWORK OF ITS OWN" in str(given)


async def test_a_machine_without_user_namespaces_is_told_to_give_none(tmp_path: Path) -> None:
    real = await programs.find("bubblewrap")
    forbidden = tmp_path / "bwrap"
    forbidden.write_text(WITHOUT_NAMESPACES.format(bwrap=real.path))
    forbidden.chmod(0o755)
    given = await isolation.found_out(named(forbidden))
    assert given.spawner == "local"
    for said in ("NONE", "can read all that you can", "user.max_user_namespaces", "NBHUB_STACK_BUBBLEWRAP"):
        assert said in str(given)


async def test_a_sandbox_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    given = await isolation.found_out(named(tmp_path / "none"))
    assert given.spawner == "local"
    assert "No such file" in given.why_none


def named(path: Path) -> Program:
    return Program("bubblewrap", path, "0", "a test", 0)
