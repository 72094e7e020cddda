"""`nbhub ops`, and `nbhub api` for what has no command."""

import json as json_format
import sys
from typing import Annotated, Any, Literal

import msgspec

from nbhub.cli.exits import UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, Common, Limit, Watch
from nbhub.cli.watching import show_again

operations = Commands("ops", "Operations: what was asked for, and how far it is.")


COLUMNS = "id kind status actor created_at"
Status = Annotated[
    Literal["queued", "running", "succeeded", "failed", "cancelled"] | None, Option("in this state alone")
]


@operations.command("list")
def list_operations(
    *,
    status: Status = None,
    subject: Annotated[str | None, Option("the id of what it is about")] = None,
    kind: Annotated[str | None, Option("such as server.start")] = None,
    limit: Limit = 50,
    watch: Watch = False,
    common: Common = COMMON,
) -> None:
    """List operations, newest first."""
    with common.hub() as hub:
        found = hub.operations.list(subject=subject, status=status, kind=kind)
        if watch:
            show_again(hub, found, COLUMNS, "operation", limit, common)
        else:
            common.list(found, COLUMNS, limit)


@operations.command("show")
def show(id: str, /, *, common: Common = COMMON) -> None:
    """Show an operation."""
    with common.hub() as hub:
        common.show(hub.operations.get(id).state)


@operations.command("watch")
def watch(
    id: str,
    /,
    *,
    timeout: Annotated[float | None, Option("seconds to wait at most")] = None,
    common: Common = COMMON,
) -> None:
    """Follow an operation to its end."""
    with common.hub() as hub:
        state = follow(hub.operations.get(id), timeout)
        if common.json:
            common.show(state)


@operations.command("results")
def results(id: str, /, *, limit: Limit = None, common: Common = COMMON) -> None:
    """List what a share or a revoke came to for each person, group and organisation."""
    with common.hub() as hub:
        common.list(hub.operations.get(id).results(), "entity type outcome detail", limit)


@operations.command("cancel")
def cancel(id: str, /, *, common: Common = COMMON) -> None:
    """Take an operation back: a start becomes a stop, what was not begun is removed."""
    with common.hub() as hub:
        state = hub.operations.get(id).cancel()
        if common.json:
            common.show(state)


def api(
    method: str,
    path: str,
    /,
    *,
    field: Annotated[list[str] | None, Option("name=value of the body; name:=JSON", short="-f")] = None,
    common: Common = COMMON,
) -> None:
    """Send any request of the API, and print what it answers. A body is read from stdin, or made of fields.

    A query belongs to the path: `nbhub api GET '/servers?name=lab'`.
    """
    body: Any = msgspec.UNSET
    if field:
        body = dict(map(_field, field))
    elif method.upper() in ("POST", "PATCH", "PUT") and not sys.stdin.isatty() and (text := sys.stdin.read().strip()):
        try:
            body = json_format.loads(text)
        except ValueError as error:
            raise UsageProblem(f"stdin is no JSON: {error}") from None
    if not path.startswith("/"):
        raise UsageProblem(f"a path begins with a slash: /{path}")
    with common.hub() as hub:
        content = hub.request(method.upper(), path, body=body).content
    if content:
        sys.stdout.buffer.write(content)
        if sys.stdout.isatty():
            print()


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageProblem(f"{text} is no field: name=value")
    if name.endswith(":"):
        try:
            return name[:-1], json_format.loads(value)
        except ValueError:
            raise UsageProblem(f"{value} is no JSON") from None
    return name, value
