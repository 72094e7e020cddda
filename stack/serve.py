"""Runs a stack in the foreground until it is told to end: `nbhub up` and `nbhub demo`."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stack import answers, demo, tools
from stack.progress import Progress
from stack.state import Info, StackFailed
from stack.supervisor import Stack
from stack.watch import Watch

Tell = Callable[[Info], None]

# What a shell says of a program that was interrupted before it had done what it was asked for.
SUBDOMAINS = "NBHUB_STACK_SUBDOMAINS"
_INTERRUPTED = 130


async def serve(directory: Path, *, workers: int, ends: str, tell: Tell) -> int:
    """Run a stack and watch over it, until a signal; the exit code. `ends` says how people end it."""
    _end_on_signals()
    code = _INTERRUPTED
    with suppress(asyncio.CancelledError):
        async with Stack(directory, workers=workers, subdomains=_subdomains()) as stack:
            code = 0
            tell(stack.info)
            print(f"{ends} ends it.", flush=True)
            await Watch(stack).run()
    return code


async def show(directory: Path, *, stay: bool, tell: Tell) -> int:
    """Run a stack and tell the story of the main job on it; the exit code."""
    _end_on_signals()
    code = _INTERRUPTED
    with suppress(asyncio.CancelledError):
        async with Stack(directory, subdomains=_subdomains()) as stack:
            tell(stack.info)
            if stack.info.isolation is not None and stack.info.isolation.why_none:
                raise StackFailed(f"the story needs a sandbox. {stack.info.isolation.why_none}")
            with answers.expected(stack.layout):
                await demo.tell(stack, modules=tools.LMOD.exists())
            code = 0
            if stay:
                print("Everything stays up for you to look around; Ctrl-C ends it:", flush=True)
                tell(stack.info)
                await Watch(stack).run()
            print("The links end with the stack: without --exit it stays up for you to look around.", flush=True)
    return code


def _subdomains() -> bool:
    """Whether each person's servers are to have an origin of their own."""
    return os.environ.get(SUBDOMAINS) == "true"


def _end_on_signals() -> None:
    """Have Ctrl-C, `nbhub down` and a closed terminal cancel this task, also while the stack starts.

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
