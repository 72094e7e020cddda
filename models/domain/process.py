"""How a process of ours ends."""

import logging
import os
import sys
from typing import NoReturn


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
