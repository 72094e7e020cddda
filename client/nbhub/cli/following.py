"""Follows an operation on stderr, a line to a step. Ctrl-C leaves it alone: the work goes on."""

import sys
from typing import TypeVar

from nbhub.cli.exits import Exit
from nbhub.cli.output import word
from nbhub.models import OperationState, Step
from nbhub.synchronous.operations import Operation

T = TypeVar("T")

_SIGNS = {"succeeded": "✓", "failed": "✗", "cancelled": "✗"}


class Detached(Exception):
    """Whoever waited has stopped waiting."""

    code = Exit.DETACHED

    def __init__(self, operation: OperationState) -> None:
        self.operation = operation
        super().__init__(
            f"{operation.kind} goes on; follow it with: nbhub ops watch {operation.id}\n"
            f"  take it back with: nbhub ops cancel {operation.id}"
        )


def follow(operation: Operation[T], timeout: float | None = None) -> T:
    """What an operation comes to. Raises `Detached`, or as `Operation.wait`."""
    told: set[str] = set()
    if sys.stderr.isatty():
        print("  Ctrl-C leaves it to itself", file=sys.stderr)
    try:
        if not operation.state.ended:
            for state in operation.events(timeout):
                _tell(state, told)
        return operation.wait()
    except KeyboardInterrupt:
        raise Detached(operation.state) from None


def _tell(state: OperationState, told: set[str]) -> None:
    for step in state.steps:
        if step.ended_at is not None and _key(step) not in told:
            told.add(_key(step))
            seconds = (step.ended_at - step.started_at).total_seconds()
            detail = f"  {word(step.detail)}" if step.detail else ""
            print(f"{_SIGNS.get(step.status, '✓')} {word(step.name)}  {seconds:.1f} s{detail}", file=sys.stderr)
        elif step.attempt and step.attempt > 1 and (tried := f"{_key(step)} {step.attempt}") not in told:
            told.add(tried)
            print(f"… {word(step.name)}: try {step.attempt}  {word(step.detail)}", file=sys.stderr)
    if state.waits_for and state.waits_for not in told:
        told.add(state.waits_for)
        print(f"… {word(state.waits_for)}", file=sys.stderr)
    if state.ended:
        for one in state.left_out:
            print(f"  left out: {word(one.kind)} {word(one.id)}: {word(one.reason)}", file=sys.stderr)


def _key(step: Step) -> str:
    return f"{step.name} {step.started_at}"
