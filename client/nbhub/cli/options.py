"""What all commands have: who one is, and how to print."""

import os
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Struct

from nbhub import Hub
from nbhub.cli.exits import SignedOut, UsageProblem
from nbhub.cli.grammar import OfEveryCommand, Option
from nbhub.cli.output import print_json, print_record, print_table
from nbhub.credentials import TOKEN_VARIABLE
from nbhub.profiles import Profiles

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

    def list(self, records: Any, columns: str, limit: int | None = None) -> None:
        """Print a list, by default all of it, of which people see these columns."""
        if limit is not None and limit < 1:
            raise UsageProblem("--limit is at least 1")
        found = []
        for record in records if limit is None else records.in_pages_of(min(limit, 1000)):
            found.append(record)
            if limit is not None and len(found) == limit:
                break
        if self.json:
            print_json(found)
        else:
            print_table(found, columns.split())


@dataclass(frozen=True)
class Waiting:
    """Options of every command that begins an operation."""

    no_wait: Annotated[bool, Option("print the operation and return at once")] = False
    timeout: Annotated[float | None, Option("seconds to wait at most; the work goes on")] = None


COMMON = Common()
WAITING = Waiting()
Limit = Annotated[int | None, Option("at most so many")]
Yes = Annotated[bool, Option("do not ask", short="-y")]
