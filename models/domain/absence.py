"""Tells in the log that a part is away: at once, then rarely, and when it is back."""

import time

import structlog

log = structlog.get_logger(__name__)

_AGAIN_SECONDS = 60.0


class Absence:
    """The absence of one part, as one process sees it."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._since: float | None = None
        self._told = 0.0

    def noticed(self, error: BaseException) -> None:
        """It could not be reached."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now - self._told < _AGAIN_SECONDS:
            return
        self._told = now
        log.warning("part_is_away", part=self._part, seconds=round(now - self._since), error=type(error).__name__)

    def over(self) -> None:
        """It was reached."""
        if self._since is not None:
            log.info("part_is_back", part=self._part, seconds=round(time.monotonic() - self._since))
        self._since = None
