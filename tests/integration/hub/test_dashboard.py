"""What passes between a visitor and a web program: everything, as it is, in both directions."""

import hashlib
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets import Origin, Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hub.processes import PROC, children
from hub.records import Records
from models.domain.server_spec import ServerSpec
from tests.integration.hub.harness import USER, HubUnderTest, until

# A path as people have it: what looks like a placeholder, and a letter that is two characters.
FILE = unicodedata.normalize("NFD", "probé {port} {base_url}.py")
MEGABYTE = 1024 * 1024
# What the proxy may need for itself: Python, tornado, JupyterHub.
PROXY_BYTES = 150 * MEGABYTE
FOREIGN = "https://evil.example"


class Dashboard:
    """A running probe and its visitor."""

    def __init__(self, hub: HubUnderTest, spec: ServerSpec) -> None:
        self.hub, self.spec = hub, spec
        self.path = f"/user/{USER}/{spec.hub_name}"
        self.headers = {"Authorization": f"token {hub.user_token()}"}
        self.visitor = httpx.Client(base_url=f"{hub.url}{self.path}/", headers=self.headers, timeout=60)
        self.stream = f"{hub.url.replace('http', 'ws', 1)}{self.path}"

    def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = self.visitor.get("seen").json()
        return found

    def most_memory(self) -> int:
        """The most that the proxy ever had in memory, in bytes."""
        (process,) = self.hub.processes(self.spec)
        (proxy,) = [
            pid
            for pid in _tree(process["pid"])
            if b"dashboard.py" in (PROC / str(pid) / "cmdline").read_bytes()
            and (PROC / str(pid) / "exe").resolve().name.startswith("python")
        ]
        status = (PROC / str(proxy) / "status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _tree(pid: int) -> list[int]:
    return [pid, *(found for child in children(pid) for found in _tree(child.pid))]


@pytest.fixture(scope="module")
def dashboard(hub: HubUnderTest) -> Iterator[Dashboard]:
    home = hub.roots["notebooks"] / USER
    (home / FILE).write_text(Path(__file__).with_name("probe.py").read_text())
    spec = hub.spec(application="probe", file_path=FILE)
    hub.spawn(spec)
    dashboard = Dashboard(hub, spec)
    yield dashboard
    dashboard.visitor.close()
    hub.end(spec)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_page_of_the_dashboard_may_ask_its_program(dashboard: Dashboard, method: str) -> None:
    """Browsers name the origin with every one of these, and with a GET of a module script."""
    answer = dashboard.visitor.request(method, "deep/path?a=b%2Fc", headers={"Origin": dashboard.hub.url})
    assert answer.status_code == 200, answer.text
    assert answer.json()["method"] == method
    assert answer.json()["uri"] == "/deep/path?a=b%2Fc"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_may_not(dashboard: Dashboard, method: str, origin: str) -> None:
    assert dashboard.visitor.request(method, "", headers={"Origin": origin}).status_code == 403


def test_websockets_are_for_pages_of_the_dashboard(dashboard: Dashboard) -> None:
    own = Origin(dashboard.hub.url)
    with connect(f"{dashboard.stream}/socket", additional_headers=dashboard.headers, origin=own) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"
        connection.send(bytes(MEGABYTE))
        assert connection.recv() == bytes(MEGABYTE)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{dashboard.stream}/socket", additional_headers=dashboard.headers, origin=Origin(FOREIGN))
    assert refused.value.response.status_code == 403


def test_the_program_chooses_the_subprotocol(dashboard: Dashboard) -> None:
    offered = [Subprotocol("a"), Subprotocol("b")]
    with connect(
        f"{dashboard.stream}/socket", additional_headers=dashboard.headers, subprotocols=offered
    ) as connection:
        assert connection.subprotocol == "b"


def test_why_a_websocket_closes_is_told_in_both_directions(dashboard: Dashboard) -> None:
    with connect(f"{dashboard.stream}/socket", additional_headers=dashboard.headers) as connection:
        connection.send("close 4001 the session is over")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "the session is over")
    with connect(f"{dashboard.stream}/socket", additional_headers=dashboard.headers) as connection:
        connection.close(4002, "seen enough")
    until(lambda: dashboard.seen()["closed"] == [4002, "seen enough"], 10, "the program knows why")


@pytest.mark.parametrize(("status", "told"), [(200, 502), (302, 502), (401, 401), (404, 404), (500, 500)])
def test_a_handshake_that_is_no_websocket_is_refused(dashboard: Dashboard, status: int, told: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{dashboard.stream}/answers/{status}", additional_headers=dashboard.headers)
    assert refused.value.response.status_code == told


def test_a_form_of_many_files_arrives(dashboard: Dashboard) -> None:
    files = [("files", (f"{number}.txt", b"x")) for number in range(150)]
    request = dashboard.visitor.build_request("POST", "upload", files=files)
    answer = dashboard.visitor.send(request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["digest"] == hashlib.sha256(request.read()).hexdigest()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_file_passes_without_being_held(dashboard: Dashboard, chunked: bool) -> None:
    size, chunk = 300 * MEGABYTE, bytes(MEGABYTE)
    headers = {} if chunked else {"Content-Length": str(size)}
    answer = dashboard.visitor.put("upload", content=(chunk for _ in range(size // MEGABYTE)), headers=headers)
    assert answer.json() == {"size": size, "digest": hashlib.sha256(bytes(size)).hexdigest()}
    assert dashboard.most_memory() < PROXY_BYTES


def test_a_slow_visitor_slows_the_program_down(dashboard: Dashboard) -> None:
    size = 300 * MEGABYTE
    with dashboard.visitor.stream("GET", f"download?chunks={size // (64 * 1024)}") as answer:
        assert answer.headers["Content-Length"] == str(size)
        before = -1
        # Until nothing moves any more: what is on the way fills the buffers of four connections.
        while (served := dashboard.seen()["served"]) != before:
            before = served
            until(lambda: dashboard.seen(), 1, "the program answers others meanwhile")
        assert served < size
        assert sum(map(len, answer.iter_raw())) == size
    assert dashboard.most_memory() < PROXY_BYTES


def test_a_program_is_told_that_the_visitor_left(dashboard: Dashboard) -> None:
    with dashboard.visitor.stream("GET", "download") as answer:
        next(answer.iter_raw())
    until(lambda: dashboard.seen()["left"], 20, "the program knows that nobody listens")


def test_half_an_answer_is_not_taken_for_the_whole(dashboard: Dashboard) -> None:
    record = Records(dashboard.hub.data_dir).living(dashboard.spec.server_id)
    assert record is not None
    # Not through JupyterHub's own proxy, which waits for the rest.
    address = f"http://127.0.0.1:{record.port}{dashboard.path}/download?break=1"
    for path in (address, f"{address}&chunks=9"):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(path, headers=dashboard.headers)


def test_events_come_at_once(dashboard: Dashboard) -> None:
    with dashboard.visitor.stream("GET", "events") as answer:
        assert next(answer.iter_lines()) == "data: one"


def test_a_program_may_answer_before_it_was_told_all(dashboard: Dashboard) -> None:
    """The answer comes although the request has not ended."""
    address = urlsplit(dashboard.hub.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        head = [
            f"PUT {dashboard.path}/refusal HTTP/1.1",
            f"Host: {address.netloc}",
            f"Authorization: {dashboard.headers['Authorization']}",
            "Content-Length: 1000000",
        ]
        connection.sendall("\r\n".join([*head, "", "x"]).encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_the_address_without_its_last_slash_leads_to_the_dashboard(dashboard: Dashboard) -> None:
    answer = dashboard.visitor.get(f"{dashboard.hub.url}{dashboard.path}?tab=2")
    assert answer.status_code in (301, 302)
    assert answer.headers["Location"] == f"{dashboard.path}/?tab=2"
    assert dashboard.visitor.get(f"{dashboard.hub.url}{answer.headers['Location']}").json()["uri"] == "/?tab=2"


def test_an_address_may_be_escaped(dashboard: Dashboard) -> None:
    escaped = dashboard.path.replace("@", "%40")
    assert dashboard.visitor.get(f"{dashboard.hub.url}{escaped}/x%40y").json()["uri"] == "/x%40y"


def test_only_the_port_is_filled_in_and_once(dashboard: Dashboard) -> None:
    told = dashboard.visitor.get("").json()
    port = told["variables"]["PROBE_PORT"]
    assert told["arguments"] == [f"/home/jovyan/{FILE}", port, f"--file=/home/jovyan/{FILE}", "--braces={}"]
    assert port.isdigit()


def test_a_program_sees_its_own_headers_and_nothing_of_the_hub(dashboard: Dashboard) -> None:
    cookies = "jupyterhub-session-id=a; mine=b; jupyterhub-user-x=c"
    told = dashboard.visitor.get("", headers={"Cookie": cookies, "X-Mine": "d"})
    headers = told.json()["headers"]
    assert headers["Cookie"] == "mine=b"
    assert headers["X-Mine"] == "d"
    assert headers["Host"] == urlsplit(dashboard.hub.url).netloc
    assert "Authorization" not in headers
    assert told.headers.get_list("Set-Cookie") == ["first=1; Path=/", "second=2; Path=/"]
