"""How API and worker log: structured events on standard output, JSON unless a person is watching.

Everything passes here, the libraries' own loggers too. Tracebacks are logged without the values of
variables, and an event that was given a secret by mistake loses it. What is told at every request goes a shorter way:
`tell`.
"""

import contextlib
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from models.domain.settings import Settings

_SECRET_WORDS = ("token", "secret", "password", "authorization", "cookie", "credential", "api_key", "private_key")
# Loggers that are too talkative at the level of the rest.
_QUIET = ("httpx", "httpcore", "urllib3", "asyncio", "uvicorn.access")

REQUEST: ContextVar[dict[str, str] | None] = ContextVar("request", default=None)
"""What is told with every event that comes of the request for which a task works."""


class JsonLines(logging.StreamHandler[TextIO]):
    """Writes events, each a line of JSON."""

    def write(self, line: bytes) -> None:
        """Write what is a line of JSON already."""
        self.acquire()
        try:
            # As with any other event, nobody suffers where there is no place to write to.
            with contextlib.suppress(OSError, ValueError):
                self.stream.write(line.decode() + self.terminator)
                self.flush()
        finally:
            self.release()


def tell(logger: str, event: str, **fields: object) -> None:
    """Log an event none of whose fields can be a secret, at a small part of what the processors of all others cost."""
    root = logging.getLogger()
    if root.isEnabledFor(logging.INFO):
        for handler in root.handlers:
            if isinstance(handler, JsonLines):
                said = {"event": event, **fields, **(REQUEST.get() or {})}
                handler.write(msgspec.json.encode(said | {"level": "info", "logger": logger, "at": datetime.now(UTC)}))
                return
    structlog.get_logger(logger).info(event, **fields)


def name_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Say of which request an event comes."""
    return {**(REQUEST.get() or {}), **event}


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of fields whose name says that they are secret."""
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "***"
    return event


def configure(settings: Settings) -> None:
    """Configure structlog and the standard library's logging for this process."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stdout.isatty())
    level = getattr(logging, settings.log_level.upper())
    shared: list[Processor] = [
        name_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        hide_secrets,
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        # Left to the console, a traceback would be printed with the values of variables.
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(default=str),
    ]
    handler = logging.StreamHandler(sys.stdout) if console else JsonLines(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
