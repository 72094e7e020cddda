"""A list that is shown again whenever something of it has changed, which the stream of events tells."""

import sys
import threading
import time
from typing import Any, NoReturn

from nbhub import Hub
from nbhub.cli.options import Common, read_of
from nbhub.cli.output import clear
from nbhub.errors import ConnectionFailed, RateLimited, Unavailable
from nbhub.models import Reset

_TOGETHER_SECONDS = 0.3
"""What changes within it is shown at once."""
_AWAY_SECONDS = 2.0


class Changes:
    """Hears of changes in a thread of its own, while the list is read and shown."""

    def __init__(self, hub: Hub, kind: str) -> None:
        self._hub, self._kind = hub, kind
        self._some = threading.Event()
        self._ended: Exception | None = None
        self._over = False
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        try:
            for change in self._hub.events():
                if isinstance(change, Reset) or change.kind == self._kind:
                    self._some.set()
        except Exception as error:
            # Also whatever comes of connections that are closed, at the end: then nobody listens any more.
            if not self._over:
                self._ended = error
                self._some.set()

    def stop(self) -> None:
        """Hear of no more; the thread ends when its connection is closed."""
        self._over = True

    def check(self) -> None:
        """Raise what has ended the stream, if anything has."""
        if self._ended is not None:
            raise self._ended

    def wait(self) -> None:
        """Return after something has changed. Raises as `check`."""
        # In parts: a wait without an end hears no Ctrl-C everywhere.
        while not self._some.wait(1):
            pass
        self.check()
        time.sleep(_TOGETHER_SECONDS)
        self._some.clear()


def show_again(hub: Hub, records: Any, columns: str, kind: str, limit: int | None, common: Common) -> None:
    """Show a list, and again after each change of something of this `kind`, until Ctrl-C.

    A Notebooks Hub that is away for a while is waited for.
    """
    changes = Changes(hub, kind)
    try:
        _show(changes, records, columns, limit, common)
    finally:
        changes.stop()


def _show(changes: Changes, records: Any, columns: str, limit: int | None, common: Common) -> NoReturn:
    shown, away = None, False
    while True:
        try:
            found = read_of(records, limit)
        except (ConnectionFailed, RateLimited, Unavailable) as error:
            changes.check()
            if not away:
                print(f"nbhub: {error}\n  Looking again until it is back", file=sys.stderr)
            away = True
            time.sleep(_AWAY_SECONDS)
            continue
        if found != shown:
            clear(sys.stdout, again=True)
            common.table(found, columns)
            sys.stdout.flush()
        shown, away = found, False
        changes.wait()
