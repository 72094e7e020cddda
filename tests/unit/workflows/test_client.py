"""A wake-up that Temporal does not take costs a request two seconds and never its success."""

import asyncio
from typing import Any, cast

import pytest

from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Subject
from tests.slow_link import SlowLink
from workflows.client import Workflows, connect

SUBJECT = Subject("server", new_id())


async def lost_within(workflows: Workflows) -> float:
    """After how many seconds a wake-up is given up."""
    began = asyncio.get_running_loop().time()
    assert not await workflows.wake(SUBJECT)
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_wake_up_is_given_up_in_time_while_temporal(how: str) -> None:
    async with SlowLink("127.0.0.1", 9) as link:
        if how == "refuses":
            link.refuse()
        else:
            link.hold()
        settings = Settings(database_url="postgresql:///x", temporal_address=f"127.0.0.1:{link.port}")
        workflows = Workflows(await connect(settings), settings)
        for _ in range(2):
            # Two seconds, and a slow machine.
            assert await lost_within(workflows) < 4


async def test_a_defect_in_waking_is_no_failure_of_what_was_committed() -> None:
    class Broken:
        async def start_workflow(self, *_: object, **__: object) -> None:
            raise KeyError("no")

    workflows = Workflows(cast(Any, Broken()), Settings(database_url="postgresql:///x"))
    assert not await workflows.wake(SUBJECT)


async def test_a_kind_that_no_workflow_works_on_is_no_failure_of_what_was_committed() -> None:
    class Unasked:
        async def start_workflow(self, *_: object, **__: object) -> None:
            raise AssertionError("nothing can be started for it")

    workflows = Workflows(cast(Any, Unasked()), Settings(database_url="postgresql:///x"))
    assert not await workflows.wake(Subject("template", new_id()))
