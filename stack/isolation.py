"""What keeps people's servers apart on this machine: found out by trying, since the kernel decides, and said."""

import asyncio
import os
import subprocess

from msgspec import Struct

from hub.limits import LimitsMissing, parents
from stack.programs import Program

_PATIENCE_SECONDS = 20
SLIRP4NETNS = "NBHUB_STACK_SLIRP4NETNS"
_NETWORKS = {
    "closed": f"a network of its own, in which it reaches the hub alone (into the internet: {SLIRP4NETNS})",
    "internet": "a network of its own, in which it reaches the hub and the public internet",
    "host": "NO NETWORK OF ITS OWN: it reaches all that this machine does, other people's servers too",
}
"""What a server reaches, by the setting."""


class Isolation(Struct, frozen=True, kw_only=True):
    """What the stack gives people's servers."""

    spawner: str
    """As `NBHUB_HUB_SPAWNER` has it."""
    limits: str
    """As `NBHUB_HUB_LIMITS` has it."""
    network: str = "host"
    """As `NBHUB_HUB_NETWORK` has it."""
    why_none: str = ""
    """Why there is no sandbox, and what to do; empty where there is one."""

    def __str__(self) -> str:
        limits = (
            "cgroups limit each server's memory, processors and processes"
            if self.limits == "cgroup"
            else "NO LIMITS of a server as a whole, but of each of its processes: no cgroups can be made here"
        )
        if not self.why_none:
            return f"each server in a sandbox of its own (bubblewrap), with {_NETWORKS[self.network]}; {limits}"
        return (
            "NONE: servers are plain processes of yours and can read all that you can; those with datasets, modules, "
            f"groups or secrets are refused. {self.why_none}; {limits}"
        )


async def found_out(bubblewrap: Program) -> Isolation:
    """Return what this machine can give, having made a sandbox that does nothing."""
    said = ""
    own = "internet" if os.environ.get(SLIRP4NETNS) else "closed"
    for network, more in ((own, ("--unshare-net",)), ("host", ())):
        try:
            trial = await asyncio.create_subprocess_exec(
                *(str(bubblewrap.path), "--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", *more),
                *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
                *("--ro-bind", "/", "/", "--proc", "/proc", "true"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            async with asyncio.timeout(_PATIENCE_SECONDS):
                output, _ = await trial.communicate()
        except (OSError, TimeoutError) as problem:
            return _none(str(problem) or "it did not end")
        if trial.returncode == 0:
            return Isolation(spawner="bubblewrap", limits=_limits(), network=network)
        said = output.decode(errors="replace")
    return _none(said)


def _limits() -> str:
    try:
        parents()
    except LimitsMissing:
        return "none"
    return "cgroup"


def _none(said: str) -> Isolation:
    return Isolation(
        spawner="local",
        limits=_limits(),
        why_none=(
            f"bubblewrap makes no sandbox here ({said.strip()[-200:]}): allow user namespaces "
            "(user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), or name by "
            "NBHUB_STACK_BUBBLEWRAP a program that may make them"
        ),
    )
