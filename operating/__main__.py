"""What operators run where API and workers are: `python -m operating doctor`, or `nbhub admin doctor`; and others."""

import argparse
import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import structlog

from models.domain.environment import SettingsInvalid
from models.domain.process import leave
from models.domain.settings import Settings
from operating import doctor, settings_shown, support_bundle

_USAGE = 2


def run() -> NoReturn:
    """The program."""
    leave(main())


def main() -> int:
    """Run a command; the exit code tells how it went."""
    words = sys.argv[1:]
    arguments = _parsed(words[1:] if words[:1] == ["admin"] else words)
    if arguments.command == "settings":
        return settings_shown.run(arguments.what, os.environ, as_json=arguments.json)
    # What is printed is the answer; what the SDK says of a replay is in it.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    for quiet in ("asyncio", "temporalio"):
        logging.getLogger(quiet).setLevel(logging.CRITICAL)
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as error:
        print(error, file=sys.stderr)
        return _USAGE
    if arguments.command == "support-bundle":
        file = arguments.file or Path(f"nbhub-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
        try:
            return support_bundle.run(settings, arguments.log, file)
        except OSError as error:
            print(f"nbhub: {error.filename}: {error.strerror}", file=sys.stderr)
            return 1
    found = asyncio.run(doctor.examine(settings))
    doctor.show(found, as_json=arguments.json)
    return doctor.exit_of(found)


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("nbhub admin", description="For those who run Notebooks Hub, where it runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    examines = commands.add_parser(
        "doctor",
        help="say what is wrong with this installation, and what to do",
        description="Look at every part with the settings of the process in whose place this runs. Exit codes: 0 all "
        "is well, 1 something has failed, 9 something should not stay as it is, 2 the settings cannot be read.",
    )
    examines.add_argument("--json", action="store_true", help="as JSON")
    bundle = commands.add_parser(
        "support-bundle",
        help="write what whoever helps has to know into a file, without secrets",
        description="Versions, settings without secrets, what doctor finds, the schema, sizes of tables, operations "
        "that have not ended, and the ends of logs. Exit codes: 0 it is written, 1 it is not: something in it looks "
        "like a secret, or a file cannot be read or written; 2 the settings cannot be read.",
    )
    bundle.add_argument("file", nargs="?", type=Path, help="where to; by default here, by the time")
    bundle.add_argument("--log", action="append", default=[], type=Path, help="the end of this log, too")
    settings = commands.add_parser(
        "settings",
        help="check the settings, or show them without secrets",
        description="Read the settings as an API or worker process would here. Exit codes: 0 all is well, 1 a process "
        "would not start with them, 9 something is set that no process reads.",
    )
    settings.add_argument("what", choices=("check", "show"))
    settings.add_argument("--json", action="store_true", help="as JSON")
    return parser.parse_args(words)


if __name__ == "__main__":
    leave(main())
