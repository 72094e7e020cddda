"""`nbhub`: the embedded stack from the command line."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import httpx
import msgspec

from models.process import leave
from stack import demo, secrets, tools
from stack.layout import MadeByAnotherVersion, PortTaken, layout_of
from stack.process import ProcessIdentity
from stack.programs import ToolMissing
from stack.progress import Progress
from stack.sign_in import SignInFailed, api_tokens
from stack.state import Claim, Info, StackFailed, State, processes_of, read_state, supervisor_of
from stack.supervisor import Stack, clean_leftovers, hub_token

DEFAULT_DIRECTORY = Path(".nbhub")
PEOPLE = (
    "alice, bob, carol @example.org, dave @elsewhere.org, admin @example.org (the password is the part before the @)"
)
# The first start installs what is missing.
_PATIENCE_SECONDS = 600
# What a stack that ends in order has for it: the longest that its parts may take, one after another.
_END_SECONDS = 120


def run() -> NoReturn:
    """The program `nbhub`."""
    leave(main())


def main() -> int:
    """Run a command; the exit code tells how it went."""
    arguments = parse(sys.argv[1:])
    try:
        code: int = arguments.run(arguments)
    except (StackFailed, ToolMissing, PortTaken, MadeByAnotherVersion, SignInFailed, demo.DemoFailed) as failure:
        print(f"nbhub: {failure}", file=sys.stderr)
        return 1
    except httpx.HTTPError as failure:
        print(f"nbhub: a part of the stack does not answer ({failure!r}); look at its log", file=sys.stderr)
        return 1
    return code


def parse(words: list[str]) -> argparse.Namespace:
    """Understand a command line; ends the program, telling how it is used, where it cannot."""
    return _parser().parse_args(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbhub", description="Notebooks Hub with all its real parts on this machine.")
    parser.set_defaults(directory=DEFAULT_DIRECTORY)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir",
        dest="directory",
        type=Path,
        default=DEFAULT_DIRECTORY,
        help="where the stack keeps everything (.nbhub)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", parents=[common], help="start the stack; Ctrl-C ends it")
    up.add_argument("--detach", action="store_true", help="leave it running and return")
    up.add_argument("--workers", type=int, default=1, help="number of worker processes")
    up.set_defaults(run=_up)
    commands.add_parser("down", parents=[common], help="end the stack").set_defaults(run=_down)
    status = commands.add_parser("status", parents=[common], help="where everything is; fails when no stack is up")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)
    token = commands.add_parser("token", parents=[common], help="an access token of a development user")
    token.add_argument("email")
    token.set_defaults(run=_token)
    hub = commands.add_parser("hub-token", parents=[common], help="a JupyterHub token of a development user")
    hub.add_argument("email")
    hub.set_defaults(run=_hub_token)
    commands.add_parser(
        "rotate-keys", parents=[common], help="new keys for payloads and orders, beside the old ones; at the next start"
    ).set_defaults(run=_rotate_keys)
    show = commands.add_parser("demo", parents=[common], help="start the stack and show the main job as it happens")
    show.add_argument("--exit", action="store_true", help="end when the story is told")
    show.set_defaults(run=_demo)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    if arguments.detach:
        return _detach(arguments)
    return asyncio.run(_serve(arguments.directory, arguments.workers))


async def _serve(directory: Path, workers: int) -> int:
    _end_on_signals()
    stack = Stack(directory, workers=workers)
    code = 130
    with suppress(asyncio.CancelledError):
        async with stack:
            code = 0
            _tell(stack.info)
            print("Ctrl-C ends it.", flush=True)
            await asyncio.Event().wait()
    return code


def _end_on_signals() -> None:
    """Ctrl-C, `nbhub down` and a closed terminal cancel this task, also while the stack starts.

    They do so once: what ends must not be cut off in the middle of it.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    told = False

    def end() -> None:
        nonlocal told
        if not told:
            Progress().say("ending")
            task.cancel()
        told = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)


def _detach(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is not None:
        return _follow(directory, supervisor)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = directory / "supervisor.log"
    command = [sys.executable, "-m", "stack.cli", "up", "--dir", str(directory), "--workers", str(arguments.workers)]
    with log.open("ab") as output:
        told = output.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        with log.open("rb") as written:
            written.seek(told)
            said = written.read()
        sys.stderr.write(said.decode(errors="replace"))
        told += len(said)
        if ended:
            print(f"nbhub: the stack did not start; see {log}", file=sys.stderr)
            return 1
        state = read_state(directory)
        # What a killed stack wrote may still be there: it names another supervisor.
        if state is not None and state.info is not None and state.supervisor.pid == process.pid:
            return 0
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    print(f"nbhub: the stack was not up within {_PATIENCE_SECONDS} s; see {log}", file=sys.stderr)
    return 1


def _follow(directory: Path, supervisor: ProcessIdentity) -> int:
    """Wait until the stack that somebody else started is up."""
    print(f"nbhub: a stack runs here already (pid {supervisor.pid})", file=sys.stderr)
    while supervisor_of(directory) == supervisor:
        state = read_state(directory)
        if state is not None and state.info is not None and state.supervisor == supervisor:
            return 0
        time.sleep(0.1)
    print("nbhub: it ended before it was up", file=sys.stderr)
    return 1


def _down(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is None and not processes_of(directory):
        print("nbhub: no stack is up here", file=sys.stderr)
        return 0
    if supervisor is not None:
        # One that stands still hears nothing.
        supervisor.send(signal.SIGCONT)
        supervisor.send(signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while supervisor_of(directory) == supervisor:
            if time.monotonic() > deadline:
                print(f"nbhub: pid {supervisor.pid} did not end within {_END_SECONDS} s: killed", file=sys.stderr)
                supervisor.send(signal.SIGKILL)
            time.sleep(0.05)
    asyncio.run(_clean(directory))
    return 0


async def _clean(directory: Path) -> None:
    """End what a supervisor left behind that was killed."""
    with Claim(directory):
        await clean_leftovers(directory, Progress())


def _running(directory: Path) -> State:
    directory = directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is None:
        left = processes_of(directory)
        if left:
            names = ", ".join(one.describe() for one in left)
            raise StackFailed(
                f"the supervisor was killed and left behind {names}: `nbhub up` or `nbhub down` ends them"
            )
        raise StackFailed("no stack is up here: start one with `nbhub up`")
    state = read_state(directory)
    if state is None or state.supervisor != supervisor or state.info is None:
        raise StackFailed(f"the stack is still starting, or ending (pid {supervisor.pid})")
    return state


def _status(arguments: argparse.Namespace) -> int:
    state = _running(arguments.directory)
    assert state.info is not None
    pids = {name: one.pid for name, one in state.processes.items() if one.alive()}
    info = msgspec.structs.replace(state.info, pids=pids)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(info), indent=2))
    else:
        _tell(info)
        _tell_programs(info)
        gone = sorted(set(state.processes) - set(pids))
        if gone:
            print(f"not running: {', '.join(gone)}")
    return 0


def _tell(info: Info) -> None:
    rows = {
        "API, with its documentation": f"{info.api}/docs",
        "JupyterHub": info.jupyterhub,
        "Temporal's web UI": info.temporal_ui,
        "Sign-in provider": info.issuer,
        "Vault": info.vault,
        "Data": info.data_root,
        "Logs": info.log_dir,
        "People": PEOPLE,
    }
    for name, value in rows.items():
        print(f"  {name + ':':29}{value}", flush=True)


def _tell_programs(info: Info) -> None:
    print("What runs, and where it comes from:")
    for name, program in info.programs.items():
        print(f"  {name + ':':29}{program.version}, from {program.origin}\n{'':31}{program.path}")


def _token(arguments: argparse.Namespace) -> int:
    state = _running(arguments.directory)
    assert state.info is not None
    print(asyncio.run(api_tokens(state.info.api, arguments.email)).access_token)
    return 0


def _rotate_keys(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    if not directory.is_dir():
        raise StackFailed(f"there was never a stack in {directory}: it has no keys")
    # A stack that runs uses its keys.
    with Claim(directory):
        secrets.rotate(layout_of(directory, running=True).keys)
    print("New keys are used from the next start on; the old ones stay for what was encrypted and signed with them.")
    return 0


def _hub_token(arguments: argparse.Namespace) -> int:
    _running(arguments.directory)
    print(asyncio.run(hub_token(layout_of(arguments.directory, running=True), arguments.email)))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    return asyncio.run(_shown(arguments.directory, stay=not arguments.exit))


async def _shown(directory: Path, *, stay: bool) -> int:
    _end_on_signals()
    code = 130
    with suppress(asyncio.CancelledError):
        async with Stack(directory) as stack:
            _tell(stack.info)
            await demo.tell(stack, modules=tools.LMOD.exists())
            code = 0
            if stay:
                print("\nEverything stays up for you to look around. Ctrl-C ends it.", flush=True)
                await asyncio.Event().wait()
    return code


if __name__ == "__main__":
    leave(main())
