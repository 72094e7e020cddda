"""What the clients make of the answers of JupyterHub and its truth service, above all where those are not healthy."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError

from integrations.hub_connection import HubConnection
from integrations.jupyterhub import PAGE_SIZE, JupyterHub, Progress
from integrations.truth import Failure, Process, Truth
from models.domain.errors import DomainError, HubRefused, HubThrottled, HubUnavailable, HubUserMissing, SpawnFailed
from models.domain.profiles import Unavailable
from workflows.plugin import raise_as_application_error

TOKEN = "t0ken-of-the-worker"
HUB = "http://hub.test"
TRUTH = f"{HUB}/services/nbhub-truth"
USER = "alice@example.org"
NAME = "lab"

Answer = httpx.Response | Exception
Call = Callable[["Script"], Awaitable[object]]


class Script(httpx.AsyncBaseTransport):
    """A hub that gives these answers in this order, and no other."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        assert self.answers, f"nothing more was to be asked, but {request.method} {request.url} was"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def asked(self) -> list[str]:
        """The requests, as method and path."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]


class Breaking(httpx.AsyncByteStream):
    """A body that ends in the middle, with an error of the connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")


def client(script: Script, url: str = HUB) -> JupyterHub:
    return JupyterHub(HubConnection(TOKEN, transport=script), url)


def truth(script: Script, url: str = TRUTH) -> Truth:
    return Truth(HubConnection(TOKEN, transport=script), url)


def version(number: str) -> httpx.Response:
    return httpx.Response(200, json={"version": number})


def user(**servers: dict[str, Any]) -> httpx.Response:
    return httpx.Response(
        200, json={"name": USER, "servers": {name: {"name": name} | model for name, model in servers.items()}}
    )


def refusal(status: int, message: str = "no") -> httpx.Response:
    return httpx.Response(status, json={"status": status, "message": message})


def html(status: int) -> httpx.Response:
    return httpx.Response(status, html="<html><h1>404 : Not Found</h1></html>")


def is_retried(error: DomainError) -> bool:
    """Whether Temporal tries again what ended with this error."""
    with pytest.raises(ApplicationError) as raised:
        raise_as_application_error(error)
    return not raised.value.non_retryable


async def error_of(awaitable: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as raised:
        await awaitable
    assert TOKEN not in str(raised.value)
    return raised.value


async def all_progress(hub: JupyterHub) -> list[Progress]:
    return [event async for event in hub.progress(USER, NAME)]


CALLS: dict[str, Call] = {
    "major_version": lambda script: client(script).major_version(),
    "server": lambda script: client(script).server(USER, NAME),
    "knows": lambda script: client(script).knows(USER, NAME),
    "elsewhere": lambda script: client(script).elsewhere(USER, NAME),
    "active": lambda script: client(script).active(USER),
    "remove_user": lambda script: client(script).remove_user(USER),
    "ensure_user": lambda script: client(script).ensure_user(USER),
    "end_sessions": lambda script: client(script).end_sessions(USER, []),
    "start": lambda script: client(script).start(USER, NAME, "Lab", {}),
    "progress": lambda script: all_progress(client(script)),
    "stop": lambda script: client(script).stop(USER, NAME),
    "remove": lambda script: client(script).remove(USER, NAME),
    "processes": lambda script: truth(script).processes("s"),
    "end_processes": lambda script: truth(script).end_processes("s", 3),
    "everything": lambda script: truth(script).everything(),
    "failure": lambda script: truth(script).failure("s", 3),
    "make_share_code": lambda script: client(script).make_share_code(USER, NAME, 60, HUB),
    "shared_with": lambda script: client(script).shared_with(USER, NAME),
    "end_share_codes": lambda script: client(script).end_share_codes(USER, NAME),
    "unshare": lambda script: client(script).unshare(USER, NAME, "bob"),
}
# Those that read what a successful answer holds.
_WITHOUT_CONTENT = (
    *("ensure_user", "remove_user", "end_sessions", "start", "progress", "stop", "remove"),
    *("end_share_codes", "unshare"),
)
READERS = [name for name in CALLS if name not in _WITHOUT_CONTENT]

SILENCES: dict[str, Exception] = {
    "refused": httpx.ConnectError("refused"),
    "no connection in time": httpx.ConnectTimeout("connect"),
    "no answer in time": httpx.ReadTimeout("read"),
    "reset": httpx.ReadError("reset"),
    "not HTTP": httpx.RemoteProtocolError("what?"),
    "all connections busy": httpx.PoolTimeout("pool"),
}


@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize("name", CALLS)
async def test_a_hub_that_does_not_answer_is_asked_again(name: str, silence: str) -> None:
    error = await error_of(CALLS[name](Script(SILENCES[silence])))
    assert type(error) is HubUnavailable
    assert is_retried(error)


STATUSES: list[tuple[int, type[DomainError]]] = [
    (302, HubUnavailable),
    (401, HubRefused),
    (403, HubRefused),
    (405, HubRefused),
    (429, HubThrottled),
    (502, HubUnavailable),
    (503, HubUnavailable),
    (504, HubUnavailable),
]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        pytest.param(
            name,
            status,
            kind,
            id=f"{name}-{status}",
        )
        for name in CALLS
        for status, kind in STATUSES
    ],
)
async def test_only_what_may_heal_is_tried_again(name: str, status: int, kind: type[DomainError]) -> None:
    error = await error_of(CALLS[name](Script(refusal(status))))
    assert type(error) is kind
    assert is_retried(error) is issubclass(kind, HubUnavailable)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_revoked_token_is_named_as_the_reason(status: int) -> None:
    error = await error_of(client(Script(refusal(status, "Missing or invalid credentials."))).server(USER, NAME))
    assert "Missing or invalid credentials." in error.message
    assert "nbhub-worker" in error.hint


GARBAGE: dict[str, httpx.Response] = {
    "nothing": httpx.Response(200),
    "HTML": httpx.Response(200, html="<html>"),
    "truncated": httpx.Response(200, content=b'{"name": "alice", "servers": {"lab": {"na'),
    "null": httpx.Response(200, json=None),
    "a list": httpx.Response(200, json=[]),
    "another object": httpx.Response(200, json={"detail": 1}),
    "wrong types": httpx.Response(
        200,
        json={
            "name": 1,
            "items": 1,
            "version": 1,
            "servers": 1,
            "processes": 1,
            "reason": 1,
            "accept_url": 1,
        },
    ),
    "not UTF-8": httpx.Response(
        200,
        content=b'{"name": "\xff", "items": ["\xff"], "version": "\xff", "servers": ["\xff"], '
        b'"processes": ["\xff"], "reason": "\xff", "accept_url": "\xff"}',
    ),
}
# What was not asked for is no trouble: these have a meaning without it.
_MEANINGFUL = {("failure", "another object")}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        pytest.param(
            name,
            what,
            id=f"{name}-{what}",
        )
        for name in READERS
        for what in GARBAGE
        if (name, what) not in _MEANINGFUL
    ],
)
async def test_an_answer_that_cannot_be_read_is_none(name: str, what: str) -> None:
    answer = GARBAGE[what]
    script = Script(httpx.Response(answer.status_code, headers=answer.headers, content=answer.content))
    error = await error_of(CALLS[name](script))
    assert type(error) is HubUnavailable
    assert is_retried(error)


async def test_a_version_that_is_no_number_cannot_be_read() -> None:
    assert type(await error_of(client(Script(version("main"))).major_version())) is HubUnavailable


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-3"}, 1),
        ({"Retry-After": "86400"}, 60),
        ({"Retry-After": "inf"}, 60),
        ({"Retry-After": "nan"}, 1),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 5),
        ({}, 5),
    ],
    ids=str,
)
async def test_a_busy_hub_says_when_to_come_back(header: dict[str, str], seconds: float) -> None:
    script = Script(version("6.1.0"), httpx.Response(429, headers=header, json={"message": "too many"}))
    error = await error_of(client(script).start(USER, NAME, "Lab", {}))
    assert isinstance(error, HubThrottled)
    assert error.retry_after == seconds


# What a start is answered, what a look shows then (None: there is no look), and what it comes to.
STARTS: dict[str, tuple[Answer, Answer | None, type[DomainError] | None]] = {
    "ready at once": (httpx.Response(201), None, None),
    "under way": (httpx.Response(202), None, None),
    "already running": (refusal(400, "lab is already running"), user(lab={"ready": True}), None),
    "already starting": (refusal(400, "lab is pending spawn"), user(lab={"pending": "spawn"}), None),
    "refused": (refusal(400, "no more servers"), user(lab={"stopped": True}), HubRefused),
    "refused and never known": (refusal(400, "no more servers"), user(), HubRefused),
    "refused, and then the hub was gone": (refusal(400), httpx.ReadTimeout("read"), HubUnavailable),
    "refused, and then the user was gone": (refusal(400), refusal(404), HubUserMissing),
    "forbidden by a policy": (refusal(403, "not today"), user(), HubRefused),
    "forbidden, running": (refusal(403, "not today"), user(lab={"ready": True}), HubRefused),
    "revoked token": (refusal(403), refusal(403), HubRefused),
    "conflict": (refusal(409), user(), HubRefused),
    "unprocessable": (refusal(422), user(), HubRefused),
    "failed at once": (refusal(500, "out of memory"), user(lab={"stopped": True}), SpawnFailed),
    "failed without a word": (httpx.Response(500, html="<html>"), user(), SpawnFailed),
    "no such user": (refusal(404), None, HubUserMissing),
    "throttled": (httpx.Response(429), None, HubThrottled),
    "hub is away": (httpx.Response(503), None, HubUnavailable),
    "timed out, perhaps after the effect": (httpx.ReadTimeout("read"), None, HubUnavailable),
}


@pytest.mark.parametrize("case", STARTS)
async def test_what_a_start_comes_to(case: str) -> None:
    answer, look, kind = STARTS[case]
    script = Script(version("6.1.0"), answer, *([look] if look else []))
    starting = client(script).start(USER, NAME, "Lab", {"spec": "a.b.c"})
    if kind is None:
        await starting
    else:
        error = await error_of(starting)
        assert type(error) is kind
        assert is_retried(error) is issubclass(kind, HubUnavailable)
        assert error.message
    assert not script.answers, "the look was taken"


@pytest.mark.parametrize(
    ("status", "message", "kind", "told"),
    [
        (400, "RStudio is not installed here.", HubRefused, "RStudio is not installed here."),
        (500, "out of memory", SpawnFailed, "out of memory"),
        (400, "", HubRefused, "JupyterHub refuses the start (400)."),
        (400, "x" * 9000, HubRefused, "x" * 500),
    ],
)
async def test_people_are_told_what_jupyterhub_said(
    status: int, message: str, kind: type[DomainError], told: str
) -> None:
    error = await error_of(
        client(Script(version("6.1.0"), refusal(status, message), user())).start(USER, NAME, "Lab", {})
    )
    assert (type(error), error.message) == (kind, told)
    assert error.hint


async def test_a_start_whose_answer_was_lost_is_not_made_twice() -> None:
    script = Script(
        version("6.1.0"),
        httpx.ReadTimeout("read"),
        version("6.1.0"),
        refusal(400, "lab is pending spawn"),
        user(lab={"pending": "spawn"}),
    )
    hub = client(script)
    assert is_retried(await error_of(hub.start(USER, NAME, "Lab", {})))
    await hub.start(USER, NAME, "Lab", {})
    assert not script.answers


@pytest.mark.parametrize(
    ("number", "body"),
    [
        ("5.5.1", {"spec": "a.b.c"}),
        ("6.0.0b2", {"display_name": "Lab", "user_options": {"spec": "a.b.c"}}),
        ("10.0.0", {"display_name": "Lab", "user_options": {"spec": "a.b.c"}}),
    ],
)
async def test_options_are_where_the_version_wants_them(number: str, body: object) -> None:
    script = Script(version(number), httpx.Response(202), httpx.Response(202))
    hub = client(script)
    for _ in range(2):
        await hub.start(USER, NAME, "Lab", {"spec": "a.b.c"})
    start = "POST /hub/api/users/alice%40example.org/servers/lab"
    assert script.asked == ["GET /hub/api/", start, start], "the version is asked once"
    assert httpx.Response(200, content=script.requests[1].content).json() == body


async def test_a_hub_that_was_away_may_come_back_as_another_version() -> None:
    script = Script(version("5.5.1"), httpx.ConnectError("gone"), version("6.1.0"))
    hub = client(script)
    assert await hub.major_version() == 5
    assert await hub.major_version() == 5
    await error_of(hub.stop(USER, NAME))
    assert await hub.major_version() == 6


# Unless a proxy says so: one that has just begun knows no route yet, and answers 404 in HTML.
@pytest.mark.parametrize("name", ["server", "knows", "ensure_user", "shared_with"])
async def test_a_404_of_a_proxy_is_no_answer(name: str) -> None:
    assert type(await error_of(CALLS[name](Script(html(404))))) is HubUnavailable


async def test_a_404_of_a_proxy_fails_no_start() -> None:
    error = await error_of(client(Script(version("6.1.0"), html(404))).start(USER, NAME, "Lab", {}))
    assert is_retried(error)


@pytest.mark.parametrize("name", ["processes", "end_processes", "everything", "failure"])
async def test_a_404_of_a_proxy_proves_nothing_about_processes(name: str) -> None:
    assert type(await error_of(CALLS[name](Script(html(404))))) is HubUnavailable


@pytest.mark.parametrize("name", ["processes", "end_processes", "everything"])
async def test_a_404_of_the_truth_service_is_no_empty_list(name: str) -> None:
    assert type(await error_of(CALLS[name](Script(refusal(404))))) is HubUnavailable


@pytest.mark.parametrize("what", ["failure", "ending"])
async def test_what_did_not_fail_or_end_has_no_reason(what: str) -> None:
    script = Script(refusal(404), httpx.Response(200, json={"reason": "died", "log": "the end", "generation": 3}))
    ask = getattr(truth(script), what)
    assert await ask("a/b", 3) is None
    assert await ask("s", 3) == Failure(reason="died", log="the end")
    assert script.asked[0] == f"GET /services/nbhub-truth/{what}/a%2Fb?generation=3"


@pytest.mark.parametrize(
    ("model", "active"),
    [
        ({"ready": True}, True),
        ({"pending": "spawn", "stopped": True}, True),
        ({"pending": "stop", "ready": True}, True),
        ({"pending": "check", "stopped": True}, True),
        ({"stopped": False}, True),
        ({"stopped": True}, False),
        ({}, True),
        (None, False),
    ],
    ids=str,
)
async def test_a_server_is_active_unless_it_is_known_to_be_stopped(model: dict[str, Any] | None, active: bool) -> None:
    script = Script(user() if model is None else user(lab=model, other={"ready": True}))
    found = await client(script).server(USER, NAME)
    assert (found.user, found.name, found.active) == (USER, NAME, active)
    assert script.asked == ["GET /hub/api/users/alice%40example.org?include_stopped_servers=1"]


def spec(payload: bytes) -> str:
    return f"head.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.signature"


@pytest.mark.parametrize(
    ("options", "generation"),
    [
        ({"spec": spec(b'{"generation": 7}')}, 7),
        ({"spec": spec(b'{"generation": 12, "more": "x"}')}, 12),
        (None, None),
        ({}, None),
        ({"spec": None}, None),
        ({"spec": 3}, None),
        ({"spec": "no dots"}, None),
        ({"spec": "a.%%%.c"}, None),
        ({"spec": "a.é.c"}, None),
        ({"spec": "a.b.c"}, None),
        ({"spec": spec(b"\xff")}, None),
        ({"spec": spec(b"[1]")}, None),
        ({"spec": spec(b'"text"')}, None),
        ({"spec": spec(b'{"generation": "7"}')}, None),
        ({"spec": spec(b'{"generation": 7.5}')}, None),
        ({"spec": spec(b"{}")}, None),
        pytest.param(
            {"spec": spec(b"[" * 100_000 + b"]" * 100_000)},
            None,
            id="deep",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_options_that_people_wrote_do_no_harm(options: dict[str, Any] | None, generation: int | None) -> None:
    """Anybody may start their own server with any options, without us."""
    found = await client(Script(user(lab={"ready": True, "user_options": options}))).server(USER, NAME)
    assert (found.ready, found.generation) == (True, generation)


@pytest.mark.parametrize(
    ("answer", "known"),
    [(refusal(404), False), (user(), False), (user(other={}), False), (user(lab={"stopped": True}), True)],
)
async def test_whether_jupyterhub_has_a_record(answer: httpx.Response, known: bool) -> None:
    assert await client(Script(answer)).knows(USER, NAME) is known


async def test_a_user_that_is_missing_is_said_to_be() -> None:
    error = await error_of(client(Script(refusal(404))).server(USER, NAME))
    assert type(error) is HubUserMissing
    assert not is_retried(error)


@pytest.mark.parametrize("status", [201, 409])
async def test_a_user_is_made_once(status: int) -> None:
    script = Script(httpx.Response(status, json={"name": USER}))
    await client(script).ensure_user(USER)
    assert script.asked == ["POST /hub/api/users/alice%40example.org"]


@pytest.mark.parametrize("status", [204, 400, 404])
async def test_a_users_removal_is_asked_for_and_proven_by_a_look(status: int) -> None:
    script = Script(refusal(status), user(lab={"ready": True}, other={"stopped": True}), refusal(404))
    hub = client(script)
    await hub.remove_user(USER)
    assert await hub.active(USER) == ["lab"]
    assert await hub.active(USER) is None
    assert script.asked[0] == "DELETE /hub/api/users/alice%40example.org"


async def test_sessions_are_ended_but_for_some() -> None:
    script = Script(httpx.Response(204))
    await client(script).end_sessions(USER, ["here"])
    assert script.asked == ["DELETE /hub/api/users/alice%40example.org/sessions"]


async def test_a_hub_of_an_earlier_version_is_asked_again_until_it_can_end_sessions() -> None:
    error = await error_of(CALLS["end_sessions"](Script(refusal(404))))
    assert isinstance(error, HubUnavailable)
    assert "restart" in error.hint


@pytest.mark.parametrize("status", [202, 204, 400, 404])
@pytest.mark.parametrize(("name", "body"), [("stop", b""), ("remove", b'{"remove":true}')])
async def test_a_stop_of_what_is_not_there_is_no_error(name: str, body: bytes, status: int) -> None:
    """No answer is a proof, so none that a look can make good is an error."""
    script = Script(refusal(status))
    await CALLS[name](script)
    assert script.asked == ["DELETE /hub/api/users/alice%40example.org/servers/lab"]
    assert script.requests[0].content == body


@pytest.mark.parametrize("name", ["stop", "remove"])
async def test_a_stop_that_meets_a_check_is_tried_again(name: str) -> None:
    error = await error_of(CALLS[name](Script(refusal(500, "lab is pending check"))))
    assert is_retried(error)


def page(names: list[str], following: int | None, server: str = "other") -> httpx.Response:
    items = [{"name": name, "servers": {server: {"name": server, "ready": True}}} for name in names]
    after = None if following is None else {"offset": following, "limit": PAGE_SIZE, "url": "ignored"}
    return httpx.Response(200, json={"items": items, "_pagination": {"offset": 0, "total": 9, "next": after}})


async def test_a_server_of_another_user_is_found_on_whatever_page() -> None:
    idle = httpx.Response(200, json={"items": [{"name": "idle"}], "_pagination": {"next": {"offset": 600}}})
    script = Script(page(["a", "b"], 200), page([USER], 400, NAME), idle, page(["c"], None, NAME))
    found = await client(script).elsewhere(USER, NAME)
    assert found is not None
    assert (found.user, found.name, found.ready) == ("c", NAME, True)
    assert [dict(request.url.params) for request in script.requests] == [
        {"state": "active", "offset": offset, "limit": "200"} for offset in ("0", "200", "400", "600")
    ]
    # Without it JupyterHub leaves out whatever is beyond the first page, and says nothing.
    assert {request.headers["accept"] for request in script.requests} == {"application/jupyterhub-pagination+json"}


@pytest.mark.parametrize("second", [httpx.ReadTimeout("read"), httpx.Response(502), httpx.Response(200, content=b"{")])
async def test_half_a_list_is_no_list(second: Answer) -> None:
    script = Script(page(["a"], 200), second)
    assert type(await error_of(client(script).elsewhere(USER, NAME))) is HubUnavailable


@pytest.mark.parametrize(
    ("raw", "quoted"),
    [
        ("alice@example.org", "alice%40example.org"),
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("a?b#c&d", "a%3Fb%23c%26d"),
        ("50%2F", "50%252F"),
        ("jörg", "j%C3%B6rg"),
        ("a;b:c", "a%3Bb%3Ac"),
    ],
)
async def test_names_cannot_leave_their_place_in_an_address(raw: str, quoted: str) -> None:
    script = Script(
        httpx.Response(204),
        httpx.Response(201, json={"accept_url": "/x"}),
        refusal(404),
        httpx.Response(200, json={"processes": []}),
    )
    hub = client(script)
    await hub.stop(raw, raw)
    await hub.make_share_code(raw, raw, 60, HUB)
    await hub.shared_with(raw, raw)
    await truth(script).processes(raw)
    assert script.asked == [
        f"DELETE /hub/api/users/{quoted}/servers/{quoted}",
        f"POST /hub/api/share-codes/{quoted}/{quoted}",
        f"GET /hub/api/shares/{quoted}/{quoted}?offset=0&limit=200",
        f"GET /services/nbhub-truth/servers/{quoted}",
    ]


async def test_every_request_carries_the_token_and_slashes_do_not_double() -> None:
    script = Script(version("6.1.0"), httpx.Response(200, json={"servers": []}))
    await client(script, f"{HUB}/").major_version()
    await truth(script, f"{TRUTH}/").everything()
    assert script.asked == ["GET /hub/api/", "GET /services/nbhub-truth/servers"]
    assert {request.headers["authorization"] for request in script.requests} == {f"token {TOKEN}"}


async def test_processes_are_those_that_live() -> None:
    living = {"server_id": "s", "hub_user": USER, "hub_name": NAME, "generation": 3, "alive": True, "pid": 7}
    process = Process(server_id="s", hub_user=USER, hub_name=NAME, generation=3)
    script = Script(
        httpx.Response(200, json={"processes": [living]}),
        httpx.Response(200, json={"processes": []}),
        httpx.Response(200, json={"servers": [living]}),
    )
    service = truth(script)
    assert await service.processes("s") == [process]
    assert await service.end_processes("s", 3) == []
    assert (await service.everything()).servers == [process]
    assert script.asked[1] == "DELETE /services/nbhub-truth/servers/s?up_to_generation=3"


async def test_what_no_server_is_started_with_is_told_by_name() -> None:
    told = {"applications": {"vscode": "not installed"}, "hardware": {}}
    lives = {"servers": [], "spawner": "local", "complete": True}
    service = truth(Script(*(httpx.Response(200, json=one) for one in (lives | {"unavailable": told}, lives))))
    assert (await service.everything()).unavailable == Unavailable(applications={"vscode": "not installed"})
    assert (await service.everything()).unavailable is None, "one that is older than the question"


async def events(*answers: Answer) -> list[Progress]:
    return await all_progress(client(Script(*answers)))


async def test_progress_is_read_event_by_event() -> None:
    body = (
        b'data: {"progress": 0, "message": "Server requested"}\n\n'
        b"\n"
        b": a comment\n"
        b'data: {"progress": 100, "ready": true, "message": "Server ready", "url": "/user/x/"}\n\n'
    )
    assert await events(httpx.Response(200, content=body)) == [
        Progress(message="Server requested"),
        Progress(message="Server ready", progress=100, ready=True),
    ]


@pytest.mark.parametrize("status", [400, 404])
async def test_without_a_spawn_there_is_no_progress(status: int) -> None:
    assert await events(refusal(status, "lab is not starting")) == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, stream=Breaking(b'data: {"progress": 10}\n\ndata: {"pro')),
        httpx.Response(200, content=b'data: {"progress": 10}\n\ndata: {"pro\n\n'),
        httpx.Response(200, content=b'data: {"progress": 10}\n\ndata: {"progress": "ten"}\n\n'),
    ],
    ids=["connection lost", "truncated", "wrong types"],
)
async def test_progress_that_breaks_off_is_no_end_of_the_spawn(answer: httpx.Response) -> None:
    seen: list[Progress] = []

    async def follow() -> None:
        async for event in client(Script(answer)).progress(USER, NAME):
            seen.append(event)  # noqa: PERF401 - what came before the error counts

    error = await error_of(follow())
    assert type(error) is HubUnavailable
    assert seen == [Progress(progress=10)]


async def test_a_share_code_is_a_link_for_browsers() -> None:
    script = Script(
        httpx.Response(201, json={"accept_url": "/hub/accept-share?code=c", "expires_at": "2026-10-21T07:28:00Z"})
    )
    code = await client(script).make_share_code(USER, NAME, 600, "https://hub.example.org/")
    assert code is not None
    assert code.url == "https://hub.example.org/hub/accept-share?code=c"
    assert code.expires_at is not None
    assert code.expires_at.isoformat() == "2026-10-21T07:28:00+00:00"
    assert script.requests[0].content == b'{"expires_in":600}'


async def test_a_server_that_jupyterhub_does_not_know_has_no_share_code() -> None:
    assert await client(Script(refusal(404))).make_share_code(USER, NAME, 600, HUB) is None


@pytest.mark.parametrize("status", [200, 204, 404])
async def test_links_and_shares_are_ended_of_one_server(status: int) -> None:
    script = Script(*(httpx.Response(status, json={}) for _ in range(3)))
    hub = client(script)
    await hub.end_share_codes(USER, NAME)
    await hub.unshare(USER, NAME, "bob")
    await hub.unshare(USER, NAME)
    place = "alice%40example.org/lab"
    assert script.asked == [
        f"DELETE /hub/api/share-codes/{place}",
        f"PATCH /hub/api/shares/{place}",
        f"DELETE /hub/api/shares/{place}",
    ]
    assert script.requests[1].content == b'{"user":"bob"}'


def shares(names: list[str], following: int | None = None) -> httpx.Response:
    items: list[dict[str, Any]] = [{"user": {"name": name}, "group": None} for name in names]
    after = None if following is None else {"offset": following, "limit": 50, "url": "ignored"}
    return httpx.Response(
        200, json={"items": [*items, {"user": None, "group": {"name": "team"}}], "_pagination": {"next": after}}
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (shares(["carol", "bob"]), {"users": ["bob", "carol"], "groups": ["team"]}),
        (refusal(404), {"users": [], "groups": []}),
    ],
)
async def test_with_whom_a_server_is_shared(answer: httpx.Response, found: dict[str, list[str]]) -> None:
    assert await client(Script(answer)).shared_with(USER, NAME) == found


async def test_every_page_of_shares_is_read() -> None:
    script = Script(shares(["bob"], 50), shares(["carol"]))
    assert (await client(script).shared_with(USER, NAME))["users"] == ["bob", "carol"]


async def test_a_connection_can_be_closed() -> None:
    connection = HubConnection(TOKEN, transport=Script())
    await connection.close()
    with pytest.raises(RuntimeError):
        await JupyterHub(connection, HUB).stop(USER, NAME)
