"""What was measured beside the most that it may be: a line that people read, and its part of the JSON object."""

from collections.abc import Iterator
from typing import Any


def word(value: float, goal: float | None) -> str:
    """Whether a goal is met; nothing where there is none."""
    return "" if goal is None else "missed" if value > goal else "met"


def verdict(value: float, goal: float | None, **more: float) -> dict[str, Any]:
    """A measure in the JSON object, and what `more` is known of it."""
    found: dict[str, Any] = {"value": round(value, 3), **more}
    return found if goal is None else found | {"goal": goal, "missed": value > goal}


def told(name: str, value: float, goal: float | None = None, unit: str = "", **more: float) -> dict[str, Any]:
    """A measure in the JSON object; its line is printed."""
    most = "" if goal is None else f" (goal ≤ {goal:g}{unit}: {word(value, goal)})"
    beside = "".join(f", {what.replace('_', ' ')} {one:.3g}" for what, one in more.items())
    print(f"  {name}: {value:.3g}{unit}{beside}{most}", flush=True)
    return verdict(value, goal, **{what: round(one, 3) for what, one in more.items()})


def missed(results: object, *at: str) -> Iterator[str]:
    """Where in the JSON object goals are missed."""
    if isinstance(results, dict):
        if results.get("missed") is True:
            yield f"{': '.join(at)} {results['value']:g} > {results['goal']:g}"
        for name, part in results.items():
            yield from missed(part, *at, str(name))
