"""What a server can reach, tried from a kernel: itself and the hub, nothing else of the machine, and no neighbour."""

import contextlib
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hub import processes
from hub.relay import addresses_of_this_machine
from models.domain.server_spec import ServerSpec
from stack.notebook import Notebook
from tests.integration.hub.harness import OTHER, HubUnderTest, until

TRY = """
import socket, subprocess, sys, urllib.error, urllib.request
def answers(address, port, family=socket.AF_INET):
    with socket.socket(family) as client:
        client.settimeout(2)
        try:
            client.connect((address, port))
        except OSError:
            return False
        return True
"""
# A page that a program shows without any sign-in, as the web applications of servers do.
PAGE = """
page = subprocess.Popen(
    [sys.executable, "-c", '''
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a secret of bob")
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
'''], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
port = int(page.stdout.readline())
print(port, urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode())
"""


def listening_ports() -> set[int]:
    """The ports of this machine that something listens at."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}


def of_the_server(monitor: int) -> set[int]:
    """All processes below a server's monitor."""
    found, new = set(), {monitor}
    while new:
        found |= new
        new = {child.pid for pid in new for child in processes.children(pid)}
    return found


async def test_no_port_of_the_machine_answers_a_kernel_but_the_hubs(hub: HubUnderTest, kernel: Notebook) -> None:
    hub_port = int(hub.environment["NBHUB_HUB_PORT"])
    with ExitStack() as listeners:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
            listener = listeners.enter_context(socket.socket(family))
            listener.bind((address, 0))
            listener.listen()
        ports, addresses = listening_ports(), [one.partition("/")[0] for one in addresses_of_this_machine()]
        assert {hub_port, int(hub.environment["NBHUB_HUB_TRUTH_PORT"]), urlsplit(hub.url).port} <= ports
        code = f"""
import os
own = {{int(line.split()[1].rpartition(":")[2], 16) for line in open("/proc/net/tcp").readlines()[1:]}}
for address, family in {[("127.0.0.1", 2), ("::1", 10), *((address, 2) for address in addresses)]}:
    print([port for port in {sorted(ports)} if port not in own - {{{hub_port}}} and answers(address, port, family)])
"""
        said = (await kernel.run(TRY + code)).splitlines()
        assert said == [f"[{hub_port}]", "[]", *("[]" for _ in addresses)]


async def test_no_socket_of_the_machine_without_a_file_answers_a_kernel(kernel: Notebook) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0nbhub-test-of-a-network")
        listener.listen()
        code = """
client = socket.socket(socket.AF_UNIX)
try:
    client.connect("\\0nbhub-test-of-a-network")
    print("connected")
except OSError as problem:
    print(problem.strerror)
"""
        assert (await kernel.run(TRY + code)).strip() == "Connection refused"


async def test_a_page_that_asks_for_no_sign_in_is_its_own_servers_alone(hub: HubUnderTest, kernel: Notebook) -> None:
    """Also a twin: two processes of one kernel find each other over their own loopback."""
    other = hub.spec(hub_user=OTHER, hardware="cpuSmall")
    hub.spawn(other)
    try:
        async with hub.notebook(other) as theirs:
            port, _, page = (await theirs.run(TRY + PAGE)).strip().partition(" ")
            assert page == "a secret of bob"
            (server,) = hub.processes(other)
            way_in = {int(port), *listening_ports_of(server["pid"])}
            assert len(way_in) == 2
            asked = f"print([port for port in {sorted(way_in)} if answers('127.0.0.1', port)])"
            assert (await kernel.run(TRY + asked)).strip() == "[]"
            # The way in is the machine's, for the proxy, and asks for a sign-in.
            path = urlsplit(hub.url_of(other)).path
            async with httpx.AsyncClient(timeout=30) as stranger:
                for of_machine in way_in - {int(port)}:
                    answer = await stranger.get(f"http://127.0.0.1:{of_machine}{path}/api/contents")
                    assert answer.status_code == 403
    finally:
        hub.end(other)


def listening_ports_of(monitor: int) -> set[int]:
    """The ports of the machine's network at which a server's relay listens."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    by_inode = {line[9]: int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}
    found = set()
    for pid in of_the_server(monitor):
        # Into bubblewrap's own processes, which listen nowhere, only root may look.
        with contextlib.suppress(PermissionError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                inode = os.readlink(descriptor).removeprefix("socket:[").rstrip("]")
                if inode in by_inode:
                    found.add(by_inode[inode])
    return found


async def test_a_kernel_reaches_the_hub(hub: HubUnderTest, kernel: Notebook) -> None:
    """The twin."""
    code = """
import os
token = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user", headers=token)
print(urllib.request.urlopen(request).status)
"""
    assert (await kernel.run(TRY + code)).strip() == "200"


@pytest.mark.parametrize("victim", ["relay", "monitor"])
def test_a_server_and_its_way_in_end_together(hub: HubUnderTest, spec: ServerSpec, victim: str) -> None:
    (server,) = hub.processes(spec)
    everything = {process for pid in of_the_server(server["pid"]) if (process := processes.identify(pid)) is not None}
    relays = [process for process in everything if b"relay.py" in Path(f"/proc/{process.pid}/cmdline").read_bytes()]
    assert len(relays) == 2
    pids = {"relay": [process.pid for process in relays], "monitor": [server["pid"]]}
    os.kill(max(pids[victim]), signal.SIGKILL)
    until(lambda: not any(processes.is_alive(process) for process in everything), 20, "nothing of it is left")
    until(lambda: hub.processes(spec) == [], 20, "and nothing is told to live")
    until(lambda: not hub.model(spec).get("ready"), 20, "the hub sees it")


def test_a_stop_leaves_nothing_of_the_network(hub: HubUnderTest, spec: ServerSpec) -> None:
    (server,) = hub.processes(spec)
    everything = {process for pid in of_the_server(server["pid"]) if (process := processes.identify(pid)) is not None}
    hub.end(spec)
    assert not any(processes.is_alive(process) for process in everything)


async def test_a_server_is_reached_by_the_next_hub_too(hub: HubUnderTest, spec: ServerSpec) -> None:
    hub.kill()
    hub.start()
    async with hub.notebook(spec) as notebook:
        assert (await notebook.run("print(6 * 7)")).strip() == "42"
