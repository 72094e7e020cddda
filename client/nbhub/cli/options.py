"""What all commands have: who one is, and how to print."""

import os
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Struct

from nbhub import Hub
from nbhub.cli.exits import SignedOut, UsageProblem
from nbhub.cli.grammar import OfEveryCommand, Option
from nbhub.cli.output import clear, print_json, print_record, print_table
from nbhub.credentials import TOKEN_VARIABLE
from nbhub.profiles import Profiles

_WATCH_SECONDS = 2.0
RETRIES = 4
"""Somebody waits: about eight seconds."""


@dataclass(frozen=True)
class Common(OfEveryCommand):
    """Options of every command."""

    json: Annotated[bool, Option("print JSON, as the API has it")] = False
    profile: Annotated[str | None, Option("the profile of `nbhub login` to use")] = None

    def hub(self) -> Hub:
        """Notebooks Hub as one sees it. Raises `SignedOut`."""
        if not os.environ.get(TOKEN_VARIABLE) and Profiles().find(self.profile) is None:
            raise SignedOut
        return Hub(profile=self.profile, agent="(+cli)", max_retries=RETRIES)

    def show(self, record: Struct) -> None:
        """Print one record."""
        if self.json:
            print_json(record)
        else:
            print_record(record)

    def list(self, records: Any, columns: str, limit: int | None = None, *, watch: bool = False) -> None:
        """Print a list, by default all of it, of which people see these columns; with `watch` again and again."""
        if limit is not None and limit < 1:
            raise UsageProblem("--limit is at least 1")
        shown = None
        while True:
            found = _read(records, limit)
            if found != shown:
                clear(sys.stdout, watch)
                print_json(found) if self.json else print_table(found, columns.split())
            if not watch:
                return
            shown = found
            sys.stdout.flush()
            time.sleep(_WATCH_SECONDS)


def _read(records: Any, limit: int | None) -> list[Any]:
    found = []
    for record in records if limit is None else records.in_pages_of(min(limit, 1000)):
        found.append(record)
        if limit is not None and len(found) == limit:
            break
    return found


@dataclass(frozen=True)
class Waiting:
    """Options of every command that begins an operation."""

    no_wait: Annotated[bool, Option("print the operation and return at once")] = False
    timeout: Annotated[float | None, Option("seconds to wait at most; the work goes on")] = None


COMMON = Common()
WAITING = Waiting()
Watch = Annotated[bool, Option("show it again whenever it has changed, until Ctrl-C")]
Limit = Annotated[int | None, Option("at most so many")]
Yes = Annotated[bool, Option("do not ask", short="-y")]
