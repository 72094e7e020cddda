"""What operators run where API and workers are: `python -m operating doctor`, or `nbhub admin doctor`."""

import argparse
import asyncio
import logging
import sys
from typing import NoReturn

import structlog

from models.domain.environment import SettingsInvalid
from models.domain.process import leave
from models.domain.settings import Settings
from operating import doctor

_USAGE = 2


def run() -> NoReturn:
    """The program."""
    leave(main())


def main() -> int:
    """Run a command; the exit code tells how it went."""
    words = sys.argv[1:]
    arguments = _parsed(words[1:] if words[:1] == ["admin"] else words)
    # What is printed is the answer; what the SDK says of a replay is in it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for quiet in ("asyncio", "temporalio"):
        logging.getLogger(quiet).setLevel(logging.CRITICAL)
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as error:
        print(error, file=sys.stderr)
        return _USAGE
    found = asyncio.run(doctor.examine(settings))
    doctor.show(found, as_json=arguments.json)
    return doctor.exit_of(found)


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("nbhub admin", description="For those who run Notebooks Hub, where it runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    examines = commands.add_parser(
        "doctor",
        help="say what is wrong with this installation, and what to do",
        description="Look at every part with the settings of the process in whose place this runs. Exit codes: 0 all "
        "is well, 1 something has failed, 9 something should not stay as it is, 2 the settings cannot be read.",
    )
    examines.add_argument("--json", action="store_true", help="as JSON")
    return parser.parse_args(words)


if __name__ == "__main__":
    leave(main())
