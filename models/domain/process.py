"""What a process of ours does beside its work, how it ends, and which of its threads go first."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NoReturn

_BEHIND = 10


def threads_behind(number: int, name: str) -> ThreadPoolExecutor:
    """Threads for what takes long or blocks: where there are too few processors, the event loop goes before them.

    In Linux each thread has a niceness of its own. Without it the loop is one of many that wait for their turn.
    """
    return ThreadPoolExecutor(number, thread_name_prefix=name, initializer=os.nice, initargs=(_BEHIND,))


@asynccontextmanager
async def meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have works done that never end while the context lives; then they are cancelled, and have ended."""
    tasks = [asyncio.create_task(one) for one in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def leave(code: int) -> NoReturn:
    """End this process with an exit code, without taking the interpreter down.

    For programs that used Temporal's SDK, as their last step. Threads of its core may still finish a call, and crash an
    interpreter that is being taken down (https://github.com/temporalio/sdk-python/issues/300): a program that did its
    work would end by SIGSEGV. What was written and logged is written out; `atexit` and destructors do not run.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
