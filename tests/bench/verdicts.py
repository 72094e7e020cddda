"""What was measured beside the most that it may be: a line that people read, and its part of the JSON object."""

from collections.abc import Iterator, Mapping
from typing import Any

Measured = dict[str, Any]
"""A `value` with its `unit`, its `goal` and whether that is `missed`, where there are such, and what else is known."""

_OWN = {"value", "unit", "goal", "missed"}


def verdict(
    value: float, goal: float | None = None, unit: str = "", beside: Mapping[str, float] | None = None
) -> Measured:
    """A measure in the JSON object, and what is known `beside` it."""
    found: Measured = {"value": round(value, 3), **({"unit": unit.strip()} if unit else {})}
    found |= {name: round(one, 3) for name, one in (beside or {}).items()}
    return found if goal is None else found | {"goal": goal, "missed": value > goal}


def told(
    name: str, value: float, goal: float | None = None, unit: str = "", beside: Mapping[str, float] | None = None
) -> Measured:
    """A measure in the JSON object; its line is printed."""
    found = verdict(value, goal, unit, beside)
    print(f"  {name}: {in_words(found)}", flush=True)
    return found


def in_words(measured: Measured) -> str:
    """The value, what is known beside it, and its goal."""
    unit = f" {measured['unit']}" if "unit" in measured else ""
    known = {name: number(one) for name, one in measured.items() if name not in _OWN}
    if "low" in known:
        known[""] = f"{known.pop('low')} to {known.pop('high')}"
    beside = "".join(f", {name.replace('_', ' ')} {one}".replace("  ", " ") for name, one in known.items())
    words = f"{number(measured['value'])}{unit}{beside}"
    if "goal" not in measured:
        return words
    return f"{words} (goal ≤ {number(measured['goal'])}{unit}: {'missed' if measured['missed'] else 'met'})"


def number(value: float) -> str:
    """Three digits, or all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def missed(results: object, *at: str) -> Iterator[str]:
    """Where in the JSON object goals are missed."""
    if isinstance(results, dict):
        if results.get("missed") is True:
            yield f"{': '.join(at)} {results['value']:g} > {results['goal']:g}"
        for name, part in results.items():
            yield from missed(part, *at, str(name))
