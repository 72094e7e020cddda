"""The demo as a newcomer starts it: its story, the links that it ends with, and what its processes weigh then."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from stack.state import Info, processes_of, read_state

PROGRAM = Path(sys.executable).with_name("nbhub")


@dataclass
class Demo:
    """A demo whose story was told, and that stays up."""

    directory: Path
    process: asyncio.subprocess.Process
    told: str
    links: list[str]

    @property
    def info(self) -> Info:
        state = read_state(self.directory)
        assert state is not None
        assert state.info is not None
        return state.info


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    directory = tmp_path_factory.mktemp("demo")
    process = await asyncio.create_subprocess_exec(PROGRAM, "demo", "--dir", directory, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    told, links = "", list[str]()
    try:
        async with asyncio.timeout(400):
            while "Ctrl-C ends it" not in (line := (await process.stdout.readline()).decode()):
                assert not process.stdout.at_eof()
                told += line
            while "People" not in (line := (await process.stdout.readline()).decode()):
                links += [word for word in line.split() if word.startswith("http")]
        yield Demo(directory, process, told.partition("The story")[2], links)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await process.wait()


def test_the_story_is_told_to_its_end(demo: Demo) -> None:
    told = demo.told
    assert "6 * 7 = 42" in told
    assert "reads 'forty-two cells'; cannot write: Read-only file system" in told
    assert "reads 'forty-two cells'; writes too" in told
    assert "is loaded, MICROSCOPE=confocal" in told
    assert told.count("secret: fingerprint") == 2, "of the owner and of the recipient"
    assert told.count("secret: not there") == 2, "of who was not given it, and after the revoke"
    assert told.count(demo.info.temporal_ui) == 21, "each operation with the link to its workflow"


@pytest.mark.parametrize(("part", "megabytes"), [("api", 200), ("worker", 250)])
def test_a_process_stays_small(demo: Demo, part: str, megabytes: int) -> None:
    status = Path(f"/proc/{demo.info.pids[part]}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) / 1024 <= megabytes, resident


async def test_it_ends_with_links_that_live_and_stays_up_until_ctrl_c(demo: Demo) -> None:
    assert len(demo.links) == 6
    async with httpx.AsyncClient(follow_redirects=True, timeout=30) as client:
        for link in demo.links:
            assert (await client.get(link)).status_code < 500, link
    demo.process.send_signal(signal.SIGINT)
    assert await demo.process.wait() == 0
    assert processes_of(demo.directory) == []
