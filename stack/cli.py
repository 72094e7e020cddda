"""`nbhub`: the embedded stack from the command line."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TextIO

import msgspec

from hub import processes
from hub.processes import Process

# What is imported inside functions takes a second, which most commands do not need.
from models.domain.process import leave
from stack import control
from stack.layout import Layout, layout_of
from stack.process import describe
from stack.programs import ToolMissing
from stack.progress import Progress
from stack.state import Claim, Ended, Info, StackFailed, State, processes_of, read_state, supervisor_of

_PROJECT = Path(__file__).resolve().parent.parent
PEOPLE = (
    "alice, bob, carol @example.org, dave @elsewhere.org, admin @example.org (the password is the part before the @)"
)
_MOST_WORKERS = 32
# The first start installs what is missing.
_PATIENCE_SECONDS = 600
# What a stack that ends in order has for it: the longest that its parts may take, one after another.
_END_SECONDS = 120


def run() -> NoReturn:
    """The program `nbhub`."""
    leave(main())


def main() -> int:
    """Run a command; the exit code tells how it went."""
    try:
        try:
            return _run(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` has; what is still to be written at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    arguments = parse(words)
    try:
        code: int = arguments.run(arguments)
    except (StackFailed, ToolMissing) as failure:
        print(f"nbhub: {failure}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as failure:
        print(f"nbhub: {failure.filename or arguments.directory}: {failure.strerror or failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def _default_directory() -> Path:
    """That of the project, from anywhere in it; elsewhere the one of the current directory."""
    here = Path.cwd()
    return (_PROJECT if here.is_relative_to(_PROJECT) else here) / ".nbhub"


def _workers(word: str) -> int:
    number = int(word)
    if not 1 <= number <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"there can be 1 to {_MOST_WORKERS} workers, not {number}")
    return number


def parse(words: list[str]) -> argparse.Namespace:
    """Understand a command line; ends the program, telling how it is used, where it cannot."""
    parser = argparse.ArgumentParser(prog="nbhub", description="Notebooks Hub with all its real parts on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir",
        dest="directory",
        type=Path,
        default=_default_directory(),
        help="where the stack keeps everything (by default .nbhub, of the project when called in it)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", parents=[common], help="start the stack; Ctrl-C ends it")
    up.add_argument("--detach", action="store_true", help="leave it running and return")
    up.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)
    up.add_argument("--workers", type=_workers, default=1, help="number of worker processes")
    up.set_defaults(run=_up)
    commands.add_parser("down", parents=[common], help="end the stack").set_defaults(run=_down)
    status = commands.add_parser("status", parents=[common], help="where everything is; fails unless all of it runs")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)
    restart = commands.add_parser("restart", parents=[common], help="end a part and start it again; servers live on")
    restart.add_argument("part", help="as `nbhub status` names it: api, worker, jupyterhub, vault, ...")
    restart.set_defaults(run=_restart)
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
    return parser.parse_args(words)


def _up(arguments: argparse.Namespace) -> int:
    if arguments.detach:
        return _detach(arguments)
    from stack import serve

    ends = "`nbhub down`" if arguments.detached else "Ctrl-C"
    return asyncio.run(serve.serve(arguments.directory, workers=arguments.workers, ends=ends, tell=_tell))


def _detach(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is not None:
        return _follow(directory, supervisor)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = directory / "supervisor.log"
    command = [sys.executable, "-m", "stack.cli", "up", "--detached", "--dir", str(directory)]
    command += ["--workers", str(arguments.workers)]
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


def _follow(directory: Path, supervisor: Process) -> int:
    """Wait until the stack that somebody else started is up."""
    print(f"nbhub: a stack runs here already (pid {supervisor.pid})", file=sys.stderr)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while supervisor_of(directory) == supervisor and time.monotonic() < deadline:
        state = read_state(directory)
        if state is not None and state.info is not None and state.supervisor == supervisor:
            gone = _gone(state)
            _tell_gone(gone, state.info, sys.stderr)
            return 1 if gone else 0
        time.sleep(0.1)
    print("nbhub: it ends, or does not come up: start it again once `nbhub down` has ended it", file=sys.stderr)
    return 1


def _down(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is None and not processes_of(directory):
        print("nbhub: no stack is up here", file=sys.stderr)
        return 0
    if supervisor is not None:
        # One that stands still hears nothing.
        processes.send(supervisor, signal.SIGCONT)
        processes.send(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while supervisor_of(directory) == supervisor:
            if time.monotonic() > deadline:
                print(f"nbhub: pid {supervisor.pid} did not end within {_END_SECONDS} s: killed", file=sys.stderr)
                processes.send(supervisor, signal.SIGKILL)
            time.sleep(0.05)
    asyncio.run(_clean(directory))
    return 0


async def _clean(directory: Path) -> None:
    """End what a supervisor left behind that was killed."""
    from stack.supervisor import clean_leftovers

    with Claim(directory):
        await clean_leftovers(directory, Progress())


def _running(directory: Path) -> State:
    directory = directory.resolve()
    supervisor = supervisor_of(directory)
    if supervisor is None:
        left = processes_of(directory)
        if left:
            names = ", ".join(describe(one) for one in left)
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
    pids = {name: one.pid for name, one in state.processes.items() if processes.is_alive(one)}
    info = msgspec.structs.replace(state.info, pids=pids)
    gone = _gone(state)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(info) | {"ended": msgspec.to_builtins(gone)}, indent=2))
    else:
        _tell(info)
        _tell_programs(info)
        _tell_gone(gone, info, sys.stdout)
    return 1 if gone else 0


def _gone(state: State) -> dict[str, Ended]:
    """The parts that do not run, also those whose end nobody has noticed yet."""
    unnoticed = Ended(since=time.time(), exit_code=None, given_up=False)
    return state.ended | {
        name: unnoticed
        for name, one in state.processes.items()
        if name not in state.ended and not processes.is_alive(one)
    }


def _tell_gone(gone: dict[str, Ended], info: Info, output: TextIO) -> None:
    for name, ended in sorted(gone.items()):
        since = datetime.fromtimestamp(ended.since).astimezone()
        next_step = f"`nbhub restart {name}` tries again" if ended.given_up else "it is being started again"
        how = "" if ended.exit_code is None else f", exit code {ended.exit_code}"
        print(
            f"not running: {name}, since {since:%Y-%m-%d %H:%M:%S} ({time.time() - ended.since:.0f} s){how}; "
            f"{next_step}; its log is {info.log_dir}/{name}.log",
            file=output,
        )


def _restart(arguments: argparse.Namespace) -> int:
    _running(arguments.directory)
    asyncio.run(control.ask_restart(_layout(arguments.directory).control_socket, arguments.part))
    print(f"{arguments.part}: ready again")
    return 0


def _layout(directory: Path) -> Layout:
    """The layout of a stack that runs."""
    return layout_of(directory, running=True)


def _tell(info: Info) -> None:
    rows = {
        "The page": f"{info.api}/ui",
        "The command": f"nbhub login {info.api}",
        "API, with its documentation": f"{info.api}/docs",
        "JupyterHub": info.jupyterhub,
        "Temporal's web UI": info.temporal_ui,
        "Sign-in provider": info.issuer,
        "Vault": info.vault,
        "Data": info.data_root,
        "Logs": info.log_dir,
        "People": PEOPLE,
    }
    if info.isolation is not None:
        rows["Isolation of servers"] = str(info.isolation)
    for name, value in rows.items():
        print(f"  {name + ':':29}{value}", flush=True)


def _tell_programs(info: Info) -> None:
    print("What runs, and where it comes from:")
    for name, program in info.programs.items():
        print(f"  {name + ':':29}{program.version}, from {program.origin}\n{'':31}{program.path}")


def _token(arguments: argparse.Namespace) -> int:
    print(asyncio.run(_access_token(arguments)))
    return 0


async def _access_token(arguments: argparse.Namespace) -> str:
    """That of a development user; raises `StackFailed` when there is no such person."""
    from stack import answers
    from stack.sign_in import NoSuchPerson, tokens

    state = _running(arguments.directory)
    assert state.info is not None
    try:
        with answers.expected(_layout(arguments.directory)):
            return str((await tokens(state.info.api, arguments.email))["access_token"])
    except NoSuchPerson:
        raise StackFailed(f"there is no {arguments.email} here; there are {PEOPLE}") from None


def _rotate_keys(arguments: argparse.Namespace) -> int:
    from stack import secrets

    directory: Path = arguments.directory.resolve()
    if not directory.is_dir():
        raise StackFailed(f"there was never a stack in {directory}: it has no keys")
    # A stack that runs uses its keys.
    with Claim(directory):
        secrets.rotate(_layout(directory).keys)
    print("New keys are used from the next start on; the old ones stay for what was encrypted and signed with them.")
    return 0


def _hub_token(arguments: argparse.Namespace) -> int:
    print(asyncio.run(_hub_token_of(arguments)))
    return 0


async def _hub_token_of(arguments: argparse.Namespace) -> str:
    from stack import answers
    from stack.sign_in import hub_user
    from stack.supervisor import hub_token

    token, layout = await _access_token(arguments), _layout(arguments.directory)
    with answers.expected(layout):
        return await hub_token(layout, await hub_user(layout.url("api"), token))


def _demo(arguments: argparse.Namespace) -> int:
    from stack import serve

    return asyncio.run(serve.show(arguments.directory, stay=not arguments.exit, tell=_tell))


if __name__ == "__main__":
    leave(main())
