"""What commands have in common: who one is, what of a list is meant, and how to print."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Struct

from nbhub import Hub
from nbhub.cli.exits import SignedOut, UsageProblem
from nbhub.cli.grammar import OfEveryCommand, Option
from nbhub.cli.output import print_json, print_record, print_table, word
from nbhub.credentials import TOKEN_VARIABLE
from nbhub.profiles import Profiles
from nbhub.synchronous.transport import TIMEOUT_SECONDS

RETRIES = 4
"""Somebody waits: about eight seconds."""


@dataclass(frozen=True)
class Common(OfEveryCommand):
    """Options of every command."""

    json: Annotated[bool, Option("print JSON, as the API has it")] = False
    profile: Annotated[str | None, Option("the profile of `nbhub login` to use")] = None

    def hub(self, *, retries: int = RETRIES, timeout: float = TIMEOUT_SECONDS) -> Hub:
        """Notebooks Hub as one sees it. Raises `SignedOut`."""
        if not os.environ.get(TOKEN_VARIABLE) and Profiles().find(self.profile) is None:
            raise SignedOut
        _tell_pauses()
        return Hub(profile=self.profile, agent="(+cli)", max_retries=retries, timeout=timeout)

    def show(self, record: Struct) -> None:
        """Print one record."""
        if self.json:
            print_json(record)
        else:
            print_record(record)

    def list(self, records: Any, columns: str, limit: int | None = None) -> None:
        """Print a list, by default all of it, of which people see these columns."""
        self.table(read_of(records, limit), columns)

    def table(self, found: Sequence[Any], columns: str) -> None:
        """Print records, of which people see these columns."""
        if self.json:
            print_json(found)
        else:
            print_table(found, columns.split())

    def lines(self, found: Sequence[str]) -> None:
        """Print words, one to a line."""
        if self.json:
            print_json(found)
        elif found:
            print(*map(word, found), sep="\n")
        else:
            print("nothing here", file=sys.stderr)


def _tell_pauses() -> None:
    """Have whoever waits for a while know for what."""
    import logging

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(f"nbhub: {record.getMessage()}", file=sys.stderr)

    log = logging.getLogger("nbhub")
    log.handlers = [Told()]
    log.setLevel(logging.INFO)


def read_of(records: Any, limit: int | None) -> list[Any]:
    """The first of a list, by default all of it. Raises `UsageProblem`."""
    if limit is not None and limit < 1:
        raise UsageProblem("--limit is at least 1")
    found = []
    for record in records if limit is None else records.in_pages_of(min(limit, 1000)):
        found.append(record)
        if limit is not None and len(found) == limit:
            break
    return found


@dataclass(frozen=True)
class Narrowed:
    """Options of lists: what of them is meant, and in which order."""

    name: Annotated[str | None, Option("with this in its name")] = None
    sort: Annotated[Literal["newest", "oldest", "name", "updated"], Option("in which order")] = "newest"
    limit: Annotated[int | None, Option("at most so many")] = None

    def query(self) -> dict[str, str | None]:
        """How the client says it."""
        return {"q": self.name, "sort": _SORTS[self.sort]}


_SORTS = {"newest": None, "oldest": "-newest", "name": "name", "updated": "updated"}


@dataclass(frozen=True)
class Waiting:
    """Options of every command that begins an operation."""

    no_wait: Annotated[bool, Option("print the operation and return at once")] = False
    timeout: Annotated[float | None, Option("seconds to wait at most; the work goes on")] = None


COMMON = Common()
NARROWED = Narrowed()
WAITING = Waiting()
Watch = Annotated[bool, Option("show it again whenever it has changed, until Ctrl-C")]
Limit = Annotated[int | None, Option("at most so many")]
Owner = Annotated[str | None, Option("of this owner alone, for admins")]
Yes = Annotated[bool, Option("do not ask", short="-y")]
DryRun = Annotated[bool, Option("tell what it would come to, and do nothing")]
