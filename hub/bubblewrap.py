"""Servers of this machine, each in a bubblewrap sandbox that shows it only what its order names.

What a server cannot do: see another home, the hub's files or another server's processes; gain a capability; make a
read-only mount writable; reach a port of the machine but the hub's, or another server, unless the network is shared.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hub.launch import ARGUMENTS_FD, FILTER_FD, FIRST_FILE_FD, INFO_FD, READY_FD, REPORTS_FD, LaunchPlan
from hub.network import NetworkMissing, network_for
from hub.offered import check_offered
from hub.order import Order, OrderRefused, check_mount_targets, file_on_machine, resolve_source
from hub.program import DASHBOARD, INSIDE, SEARCH_PATH, SINGLEUSER, program_for
from hub.recorded import RecordedSpawner
from hub.seccomp import FilterMissing, compiled_filter
from models.domain.profiles import HOME

# The person inside every sandbox.
USER, USER_ID = "jovyan", 1000
# What programs need of /etc, and nothing that is about this machine's accounts or services.
_ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "host.conf",
    "hosts",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "lmod",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "profile.d",
    "protocols",
    "R",
    "resolv.conf",
    "services",
    "ssl",
    "terminfo",
    "timezone",
)
# Terminals are login shells. The system's own file would take the server's PATH, and so that of its modules, away.
# They inherit the modules' variables, but not their aliases.
_PROFILE = """\
if [ -n "${BASH_VERSION-}" ]; then
  [ -n "${PS1-}" ] && [ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
  [ -n "${BASH_ENV-}" ] && [ -r "$BASH_ENV" ] && . "$BASH_ENV"
fi
for file in /etc/profile.d/*.sh; do
  [ -r "$file" ] && . "$file"
done
unset file
if [ -n "${PS1-}" ] && [ -n "${LOADEDMODULES-}" ] && command -v module >/dev/null; then
  module refresh
fi
"""
_ROOT_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Each sandbox has its own.
_TEMPORARY, _SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108 -- inside a sandbox nobody else writes there
# With JupyterHub's own variables, all that a server's environment is made of.
ENVIRONMENT = {
    "HOME": str(HOME),
    "USER": USER,
    "LOGNAME": USER,
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "PATH": SEARCH_PATH,
    "TMPDIR": _TEMPORARY,
    # Not in the home, which a person's servers share and which outlives a kill.
    "JUPYTER_RUNTIME_DIR": f"{_TEMPORARY}/jupyter-runtime",
}


class BubblewrapSpawner(RecordedSpawner):
    """Spawns in a sandbox."""

    def plan(self, order: Order) -> LaunchPlan:
        settings, spec = self.hub_settings, order.spec
        bwrap = shutil.which(settings.bubblewrap)
        if bwrap is None:
            raise OrderRefused("sandbox-missing", no_sandbox(settings.bubblewrap))
        try:
            system_calls = compiled_filter()
        except FilterMissing as problem:
            raise OrderRefused(
                "sandbox-missing", f"No server is started without a filter of system calls: {problem}"
            ) from None
        try:
            network = network_for(settings)
        except NetworkMissing as problem:
            raise OrderRefused("network-missing", str(problem)) from None
        if network is not None:
            # Where it is in there; the rest of the address stays.
            self.hub_connect_url = network.hub_url
        check_offered(order, "bubblewrap")
        check_mount_targets(spec.mounts)
        home = resolve_source(spec.home, HOME, settings.allowed_roots)
        mounts = tuple(
            (resolve_source(mount.source, mount.target, settings.allowed_roots), mount.target, mount.read_only)
            for mount in spec.mounts
        )
        if order.file_path:
            file_on_machine(order)
        self.mem_limit, self.cpu_limit = order.hardware.memory_bytes, order.hardware.cpu
        self.notebook_dir, self.default_url = str(HOME), order.application.default_url
        program = program_for(order, self.server.base_url, settings.lmod_init)
        taken = order.secrets.variables.keys() & {**self.get_env(), **ENVIRONMENT, **program.environment}.keys()
        if taken:
            raise OrderRefused(
                "secrets-refused", f"a secret is to be the variable {min(taken)}, which the server needs"
            )
        return LaunchPlan(
            data_dir=settings.data_dir,
            server_id=spec.server_id,
            hub_user=self.user.name,
            hub_name=self.name,
            generation=spec.generation,
            spawner="bubblewrap",
            port=self.port,
            program=bwrap,
            arguments=("bwrap", "--args", str(ARGUMENTS_FD), "--", *program.command),
            hidden_arguments=sandbox_arguments(
                home=home,
                mounts=mounts,
                files=(
                    *files_of_etc(settings.data_dir, network.name_servers if network is not None else ()),
                    *((file, str(INSIDE / file.name)) for file in (DASHBOARD, SINGLEUSER)),
                ),
                readable=(Path(sys.prefix), Path(sys.base_prefix), *map(Path, settings.system_directories)),
                memory_bytes=order.hardware.memory_bytes,
                variables=order.secrets.variables,
                secret_files=tuple(order.secrets.files),
                own_network=network is not None,
            ),
            system_calls=system_calls,
            files=tuple(order.secrets.files.values()),
            secrets=bool(order.spec.secrets),
            environment={**self.get_env(), **ENVIRONMENT, **program.environment},
            directory="/",
            limits=self.limits(order),
            network=network,
        )


def no_sandbox(program: str) -> str:
    """Return what an administrator can do about a sandbox that is missing: nothing is started without one unasked."""
    return (
        f"No server is started, because this machine of JupyterHub has no sandbox: there is no {program}. "
        "An administrator can install bubblewrap, name its program by NBHUB_HUB_BUBBLEWRAP, or give up what keeps "
        "people's servers apart by NBHUB_HUB_SPAWNER=local"
    )


def sandbox_arguments(
    *,
    home: Path,
    mounts: Sequence[tuple[Path, str, bool]],
    files: Sequence[tuple[Path, str]],
    readable: Sequence[Path],
    memory_bytes: int,
    variables: Mapping[str, str],
    secret_files: Sequence[str],
    own_network: bool,
) -> tuple[str, ...]:
    """Return bubblewrap's arguments: an allow-list of what is visible, and no way out of it.

    `variables` are added to the environment inside; the contents of `secret_files` come by descriptor.
    """
    # Memory, too: a half each, so that one that is full leaves the programs something.
    size = str(memory_bytes // 2)
    arguments = [
        *("--unshare-user", "--disable-userns", "--uid", str(USER_ID), "--gid", str(USER_ID), "--cap-drop", "ALL"),
        *("--unshare-pid", "--unshare-ipc", "--new-session"),
        # That is the server's monitor and not the hub.
        "--die-with-parent",
        *("--json-status-fd", str(REPORTS_FD), "--seccomp", str(FILTER_FD)),
        *(("--unshare-net", "--info-fd", str(INFO_FD), "--block-fd", str(READY_FD)) if own_network else ()),
        *("--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", _SHARED_MEMORY),
        # Before what follows, which may lie in the machine's own directory of this name.
        *("--size", size, "--tmpfs", _TEMPORARY),
        *("--ro-bind", "/usr", "/usr"),
    ]
    for name in _ROOT_DIRECTORIES:
        directory = Path("/", name)
        if directory.is_symlink():
            arguments += ["--symlink", os.readlink(directory), str(directory)]
        elif directory.is_dir():
            arguments += ["--ro-bind", str(directory), str(directory)]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for directory in dict.fromkeys(readable):
        if not directory.is_relative_to("/usr"):
            arguments += ["--ro-bind", str(directory), str(directory)]
    for file, inside in files:
        arguments += ["--ro-bind", str(file), inside]
    arguments += ["--bind", str(home), str(HOME)]
    for source, target, read_only in mounts:
        arguments += ["--ro-bind" if read_only else "--bind", str(source), target]
    for name, value in variables.items():
        arguments += ["--setenv", name, value]
    # On the sandbox's own root, which is memory and ends with it.
    for descriptor, target in enumerate(secret_files, FIRST_FILE_FD):
        arguments += ["--perms", "0400", "--file", str(descriptor), target]
    # The sandbox's own root and its devices' directory are memory: nobody may fill it.
    return (*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(HOME))


def files_of_etc(data_dir: Path, name_servers: Sequence[str] = ()) -> tuple[tuple[Path, str], ...]:
    """Return the sandboxes' own files of /etc, made on demand, and where they are inside: those of their one account.

    Running sandboxes show them, so what is right is not written again: they would be empty for a moment.
    """
    directory = data_dir / "etc"
    directory.mkdir(exist_ok=True)
    entries = {
        "passwd": f"{USER}:x:{USER_ID}:{USER_ID}::{HOME}:/bin/bash\n",
        "group": f"{USER}:x:{USER_ID}:\n",
        "profile": _PROFILE,
    }
    if name_servers:
        entries["resolv.conf"] = "".join(f"nameserver {server}\n" for server in name_servers)
    for name, text in entries.items():
        file = directory / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    return tuple((directory / name, f"/etc/{name}") for name in entries)
