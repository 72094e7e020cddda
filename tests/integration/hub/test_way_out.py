"""A server with a way into the internet, on a machine of the test's own: what is public answers, nothing else does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hub.bubblewrap import sandbox_arguments
from hub.launch import ARGUMENTS_FD, LaunchPlan, encode_plan
from hub.limits import Limits
from hub.network import Network
from hub.records import Records
from hub.seccomp import compiled_filter
from tests.integration.hub.harness import until
from tests.project import PROJECT

HUB_PORT, PORT = 8081, 8888
CLOSED = "203.0.113.0/24"
# An outside beyond a cable: public addresses, private ones, and one of a network that is closed by setting. It answers
# as a web server does, and as one that is asked for names.
MACHINE = """
import socket, subprocess, sys, threading
def run(*command, **more):
    subprocess.run(command, check=True, **more)
def serve(address, port, answer):
    listener = socket.create_server((address, port))
    def answering():
        while True:
            client, _ = listener.accept()
            client.sendall(answer)
            client.close()
    threading.Thread(target=answering, daemon=True).start()
if sys.argv[1:] == ["outside"]:
    print("there", flush=True)
    sys.stdin.readline()
    for address in ("198.51.100.2/24", "10.77.0.2/24", "203.0.113.2/24"):
        run("ip", "address", "add", address, "dev", "cable1")
    run("ip", "link", "set", "cable1", "up")
    serve("0.0.0.0", 80, b"outside")
    serve("0.0.0.0", 53, b"names")
    print("serves", flush=True)
    sys.stdin.readline()
    sys.exit()
outside = subprocess.Popen(
    ["unshare", "--net", sys.executable, __file__, "outside"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)
outside.stdout.readline()
run("ip", "link", "set", "lo", "up")
run("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", str(outside.pid))
for address in ("198.51.100.1/24", "10.77.0.1/24", "203.0.113.1/24"):
    run("ip", "address", "add", address, "dev", "cable0")
run("ip", "link", "set", "cable0", "up")
print("a cable", file=outside.stdin, flush=True)
outside.stdout.readline()
serve("0.0.0.0", 8080, b"the machine")
serve("127.0.0.1", 8081, b"the hub")
# The machine itself reaches all of it.
for address in ("198.51.100.2", "10.77.0.2", "203.0.113.2"):
    assert socket.create_connection((address, 80), 10).recv(10) == b"outside"
with open(sys.argv[1], "rb") as plan:
    run(sys.executable, "-m", "hub.launch", stdin=plan)
print("launched", flush=True)
sys.stdin.readline()
"""
TRY = """
import json, socket, sys
found = {}
for name, device in (("", b""), ("by the cable ", b"tap0")):
    for place in sys.argv[1:]:
        address, _, port = place.rpartition(":")
        with socket.socket() as client:
            client.settimeout(2)
            try:
                if device:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                client.connect((address, int(port)))
                found[name + place] = client.recv(20).decode()
            except OSError:
                found[name + place] = ""
print(json.dumps(found), flush=True)
"""


def as_root_of_a_network(*command: str) -> list[str]:
    return ["unshare", "--net", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), *command]


def can_be_tried() -> bool:
    return bool(shutil.which("slirp4netns") and shutil.which("ip") and os.access("/dev/net/tun", os.W_OK)) and (
        subprocess.run(as_root_of_a_network("true"), check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_be_tried(), reason="slirp4netns, ip, /dev/net/tun and a network of one's own are needed")
def test_what_is_public_answers_and_nothing_private_does(tmp_path: Path, hub_programs: dict[str, str]) -> None:
    home, file = tmp_path / "home", tmp_path / "plan"
    home.mkdir()
    closed = (
        # Private addresses, of who is asked for names too; what a setting closes; the machine by its own addresses.
        *("10.77.0.2:80", "203.0.113.2:80", "198.51.100.1:8080", "10.77.0.1:8080", "127.0.0.1:8080"),
        # What slirp4netns makes of the machine's loopback, and of its resolver.
        *("198.18.171.2:8080", "198.18.171.3:8080", "169.254.169.254:80"),
    )
    opened = {"198.51.100.2:80": "outside", "10.77.0.2:53": "names", f"127.0.0.1:{HUB_PORT}": "the hub"}
    bwrap = hub_programs["NBHUB_HUB_BUBBLEWRAP"]
    plan = LaunchPlan(
        data_dir=tmp_path / "hub",
        server_id="server-1",
        hub_user="alice@example.org",
        hub_name="lab",
        generation=1,
        spawner="bubblewrap",
        port=PORT,
        program=bwrap,
        arguments=("bwrap", "--args", str(ARGUMENTS_FD), "--", sys.executable, "-c", TRY, *closed, *opened),
        hidden_arguments=sandbox_arguments(
            home=home,
            mounts=(),
            files=(),
            readable=(Path(sys.prefix), Path(sys.base_prefix)),
            memory_bytes=1024**3,
            variables={},
            secret_files=(),
            own_network=True,
        ),
        system_calls=compiled_filter(),
        environment={"PATH": "/usr/bin:/bin"},
        directory="/",
        limits=Limits(),
        network=Network(
            hub_host="127.0.0.1",
            hub_port=HUB_PORT,
            slirp4netns=shutil.which("slirp4netns") or "",
            name_servers=("10.77.0.2",),
            closed=(CLOSED,),
        ),
    )
    file.write_bytes(encode_plan(plan))
    script = tmp_path / "machine.py"
    script.write_text(MACHINE)
    records = Records(tmp_path / "hub")
    with subprocess.Popen(
        as_root_of_a_network(sys.executable, str(script), str(file)),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
    ) as machine:
        until(lambda: records.log_file("server-1").exists(), 30, "it is launched")
        until(lambda: not records.is_alive("server-1"), 60, "it has tried all, and nothing of it is left")
        machine.communicate(b"\n", timeout=20)
    said = json.loads(records.log_file("server-1").read_text().splitlines()[-1])
    assert said == {
        **dict.fromkeys(closed, ""),
        **opened,
        **{f"by the cable {place}": "" for place in (*closed, *opened)},
        "by the cable 198.51.100.2:80": "outside",
        "by the cable 10.77.0.2:53": "names",
    }
