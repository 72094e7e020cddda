"""What one server can take from the others of its machine, tried from a kernel while a neighbour's kernel works."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.records import Records
from models.domain.server_spec import ServerSpec
from stack.notebook import Notebook
from tests.integration.hub.harness import OTHER, HubUnderTest, cgroups_can_be_made, until

pytestmark = pytest.mark.skipif(not cgroups_can_be_made(), reason="this machine lets nobody here make cgroups")
MEMORY = 600 * 1024**2
# Not a matter of speed: on a machine that others use, too.
ANSWERS_WITHIN_SECONDS = 60


class Neighbours:
    """A server that is attacked from, and one of somebody else."""

    def __init__(self, hub: HubUnderTest, spec: ServerSpec, hostile: Notebook, other: Notebook) -> None:
        self.hub, self.spec, self.hostile, self.other = hub, spec, hostile, other

    async def try_both(self, code: str) -> str:
        """Run hostile code, see that the neighbour's kernel answers meanwhile, and return what the code printed."""
        attack = asyncio.ensure_future(self.hostile.run(code))
        async with asyncio.timeout(ANSWERS_WITHIN_SECONDS):
            assert (await self.other.run("print(sum(range(1000)))")).strip() == "499500"
        return (await attack).strip()

    def file(self, *names: str) -> str:
        """The first file of this name in the server's cgroups: versions 1 and 2 have other names."""
        record = Records(self.hub.data_dir).living(self.spec.server_id)
        assert record is not None
        found = [Path(directory, name) for directory in record.cgroups for name in names]
        return next(file.read_text() for file in found if file.exists())


@pytest.fixture
async def neighbours(hub: HubUnderTest) -> AsyncIterator[Neighbours]:
    hostile, other = hub.spec(hardware="tiny"), hub.spec(hub_user=OTHER, hardware="cpuSmall")
    for spec in (hostile, other):
        hub.spawn(spec)
    async with hub.notebook(hostile) as attacking, hub.notebook(other) as working:
        yield Neighbours(hub, hostile, attacking, working)
    for spec in (hostile, other):
        hub.end(spec)


async def test_all_of_a_servers_processes_have_its_memory_together(neighbours: Neighbours) -> None:
    bomb = """
import subprocess, sys
taking = "taken = bytearray(b'x' * 200 * 1024**2); print(flush=True); import signal; signal.pause()"
bombs = []
for _ in range(6):
    bombs.append(subprocess.Popen([sys.executable, "-c", taking], stdout=subprocess.PIPE))
    bombs[-1].stdout.readline()
print([bomb.poll() for bomb in bombs].count(-9) >= 3)
for bomb in bombs:
    bomb.kill()
"""
    # Each of them alone is within the limit; some were killed for the others to live.
    assert await neighbours.try_both(bomb) == "True"
    assert int(neighbours.file("memory.max_usage_in_bytes", "memory.peak", "memory.current")) <= MEMORY
    assert neighbours.hub.api.get("").status_code == 200


async def test_all_of_a_servers_processes_have_its_processors_together(neighbours: Neighbours) -> None:
    bomb = """
import resource, subprocess, sys, time
began = time.monotonic()
loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
time.sleep(4)
for loop in loops:
    loop.kill()
    loop.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, time.monotonic() - began)
"""
    used, passed = map(float, (await neighbours.try_both(bomb)).split())
    assert used <= 0.5 * passed + 0.5


async def test_a_server_has_so_many_processes_and_threads(neighbours: Neighbours) -> None:
    bomb = """
import threading
threading.stack_size(64 * 1024)
enough, threads = threading.Event(), []
try:
    while len(threads) < 10_000:
        threads.append(threading.Thread(target=enough.wait))
        threads[-1].start()
except RuntimeError as problem:
    print(problem, len(threads) <= 4096)
enough.set()
"""
    assert await neighbours.try_both(bomb) == "can't start new thread True"


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm", "/dev", "/", "/opt"])
async def test_what_is_in_memory_holds_a_part_of_it(neighbours: Neighbours, directory: str) -> None:
    bomb = f"""
import errno, os
written = 0
try:
    with open({directory!r} + "/bomb", "wb") as file:
        while written < 2 * 1024**3:
            written += file.write(bytes(1024**2))
except OSError as problem:
    print(errno.errorcode[problem.errno], written)
if os.path.exists({directory!r} + "/bomb"):
    os.unlink({directory!r} + "/bomb")
"""
    refusal, written = (await neighbours.try_both(bomb)).split()
    assert refusal in ("ENOSPC", "EROFS", "EACCES")
    assert int(written) <= MEMORY // 2
    # The twin: what is left serves.
    assert (await neighbours.hostile.run("open('/tmp/small', 'w').write('x'); print('written')")).strip() == "written"


async def test_servers_are_ended_first_when_the_machines_memory_ends(neighbours: Neighbours) -> None:
    code = """
try:
    open("/proc/self/oom_score_adj", "w").write("-500")
except OSError as problem:
    print(problem.strerror)
print(open("/proc/self/oom_score_adj").read())
"""
    assert int((await neighbours.try_both(code)).split()[-1]) >= 0
    assert neighbours.hub.process is not None
    (server,) = neighbours.hub.processes(neighbours.spec)
    # What watches over the server is not the victim for it.
    assert adjustment(server["pid"]) == adjustment(neighbours.hub.process.pid)
    assert int((await neighbours.hostile.run("print(open('/proc/1/oom_score_adj').read())")).strip()) >= 900


async def test_output_without_end_fills_no_disk(neighbours: Neighbours) -> None:
    flood = """
import subprocess, time
flood = subprocess.Popen("exec yes 0123456789 > /proc/1/fd/2", shell=True)
time.sleep(3)
flood.kill()
print("flooded")
"""
    assert await neighbours.try_both(flood) == "flooded"
    assert neighbours.hub.log_of(neighbours.spec).stat().st_size < 20 * 1024**2
    # The server goes on, and says what comes after it.
    await neighbours.hostile.run("print('still here', file=open('/proc/1/fd/2', 'a'))")
    until(lambda: "still here" in neighbours.hub.log_of(neighbours.spec).read_text(), 20, "the log goes on")


def adjustment(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_nothing_is_left_of_a_servers_cgroups(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    record = Records(hub.data_dir).living(spec.server_id)
    assert record is not None
    assert record.cgroups
    assert all(Path(directory).is_dir() for directory in record.cgroups)
    hub.end(spec)
    assert not any(Path(directory).exists() for directory in record.cgroups)
