"""What the operators' program sets for its process, a test's process has no longer than the test."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    configured, levels = (
        structlog.get_config(),
        {name: logging.getLogger(name).level for name in ("asyncio", "temporalio")},
    )
    yield
    structlog.configure(**configured)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
