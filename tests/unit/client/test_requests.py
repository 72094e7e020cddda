"""How requests are sent: once more where that is safe, with a fresh token, and to nobody else."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

import nbhub.asynchronous.transport
import nbhub.synchronous.hub
import nbhub.synchronous.transport
from nbhub import AsyncHub, Hub
from nbhub.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Stale,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from nbhub.models import DeviceCode, Secret, Tokens
from nbhub.profiles import Profile, Profiles
from nbhub.retries import read_retry_after
from tests.unit.client.documented import ID, SCHEMAS, URL, sample

DATASET: dict[str, Any] = sample(SCHEMAS["DatasetView"])
TOKEN = "token"
Answer = httpx2.Response | Exception


def refused(status: int, **headers: str) -> httpx2.Response:
    error = {"statusCode": status, "name": "AnError", "code": "A_CODE", "message": "no", "hint": "do otherwise"}
    return httpx2.Response(status, json={"error": error}, headers=headers)


class Script:
    """Answers in this order, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self) -> list[str | None]:
        return [one.headers.get("idempotency-key") for one in self.requests]


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in no time."""
    pauses: list[float] = []
    monkeypatch.setattr(nbhub.synchronous.transport, "sleep", pauses.append)
    monkeypatch.setattr(nbhub.synchronous.hub, "sleep", pauses.append)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(nbhub.asynchronous.transport, "sleep", sleep)
    return pauses


def hub_of(script: Script, token: str = TOKEN, **more: Any) -> Hub:
    return Hub(URL, token, transport=httpx2.MockTransport(script.handle), **more)


def test_a_write_keeps_its_key_through_all_retries_and_the_next_has_another(slept: list[float]) -> None:
    script = Script(
        httpx2.ConnectError("down"),
        httpx2.ReadError("cut off"),
        refused(503),
        httpx2.Response(200, json=DATASET),
        httpx2.Response(200, json=DATASET),
    )
    hub = hub_of(script)
    assert hub.datasets.create("ice").name == "text"
    hub.datasets.create("ice")
    first = script.keys[0]
    assert first is not None
    assert script.keys[:4] == [first] * 4
    assert script.keys[4] not in (None, first)
    assert len({request.content for request in script.requests[:4]}) == 1
    assert len(slept) == 3
    assert slept == sorted(slept)


async def test_the_asynchronous_client_does_the_same(slept: list[float]) -> None:
    script = Script(httpx2.ConnectError("down"), refused(503), httpx2.Response(200, json=DATASET))
    async with AsyncHub(URL, "token", transport=httpx2.MockTransport(script.handle)) as hub:
        assert (await hub.datasets.create("ice")).name == "text"
    assert len(set(script.keys)) == 1
    assert len(slept) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_asked_to_come_back_comes_back_then(slept: list[float], status: int) -> None:
    script = Script(refused(status, **{"Retry-After": "7"}), httpx2.Response(200, json="alice@example.org"))
    assert hub_of(script).whoami() == "alice@example.org"
    assert slept == [7]


def test_who_is_asked_to_come_back_much_later_is_told(slept: list[float]) -> None:
    script = Script(refused(429, **{"Retry-After": "3600"}))
    with pytest.raises(RateLimited) as caught:
        hub_of(script).whoami()
    assert caught.value.retry_after == 3600
    assert slept == []


def test_a_time_to_come_back_may_be_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < (read_retry_after(format_datetime(then, usegmt=True)) or 0) < 31
    assert read_retry_after("0") == 0
    assert read_retry_after("soon") is None
    assert read_retry_after("-5") is None
    assert read_retry_after("") is None


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 422, 500, 502])
def test_what_another_try_would_not_change_is_tried_once(slept: list[float], status: int) -> None:
    script = Script(refused(status))
    with pytest.raises(ApiError) as caught:
        hub_of(script).datasets.create("ice")
    assert (caught.value.status, caught.value.code, caught.value.hint) == (status, "A_CODE", "do otherwise")
    assert len(script.requests) == 1


def test_a_conflict_after_a_lost_answer_may_be_with_oneself(slept: list[float]) -> None:
    """The request whose answer was lost may still hold what it changes."""
    script = Script(httpx2.ReadTimeout("slow"), refused(409), httpx2.Response(200, json=DATASET))
    assert hub_of(script).datasets.create("ice").name == "text"
    assert len(set(script.keys)) == 1
    stays = Script(httpx2.ReadTimeout("slow"), *[refused(409) for _ in range(5)])
    with pytest.raises(Conflict):
        hub_of(stays).datasets.create("ice")


def test_nobody_tries_for_ever(slept: list[float]) -> None:
    script = Script(*[httpx2.ConnectError("down") for _ in range(9)])
    with pytest.raises(ConnectionFailed, match=URL):
        hub_of(script, max_retries=2).whoami()
    assert len(script.requests) == 3


def test_a_sign_in_is_never_sent_twice(slept: list[float]) -> None:
    """A code and a refresh token are good once."""
    script = Script(httpx2.ReadError("cut off"))
    with pytest.raises(ConnectionFailed):
        hub_of(script).sign_in.refresh("token")
    assert script.keys == [None]
    assert "authorization" not in script.requests[0].headers


def coded(status: int, code: str, **headers: str) -> httpx2.Response:
    error = {"statusCode": status, "name": "AnError", "code": code, "message": "no"}
    return httpx2.Response(status, json={"error": error}, headers=headers)


BEGUN = DeviceCode(device_code="secret", user_code="BCDF", verification_uri=URL, expires_in=600, interval=5)
PENDING = coded(400, "AUTHORIZATION_PENDING")


def test_a_code_that_is_typed_elsewhere_is_asked_about_no_faster_than_is_wanted(slept: list[float]) -> None:
    script = Script(
        PENDING,
        coded(429, "SLOW_DOWN", **{"retry-after": "10"}),
        PENDING,
        coded(429, "THROTTLED", **{"retry-after": "40"}),
        PENDING,
        httpx2.ReadError("cut off"),
        coded(503, "PROVIDER_UNAVAILABLE"),
        httpx2.Response(200, json=sample(SCHEMAS["TokenView"])),
    )
    assert hub_of(script).sign_in.complete_on_device(BEGUN).access_token == "text"
    assert slept == [5, 5, 10, 10, 40, 15, 30, 60]
    assert script.keys == [None] * 8
    assert not any("authorization" in one.headers for one in script.requests)
    assert "secret" not in repr(BEGUN)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(coded(403, "SIGN_IN_DENIED"), Forbidden), (coded(400, "SIGN_IN_UNKNOWN"), Invalid)],
)
def test_a_code_that_was_decided_is_asked_about_no_more(
    slept: list[float], answer: httpx2.Response, kind: type[ApiError]
) -> None:
    script = Script(PENDING, answer)
    with pytest.raises(kind):
        hub_of(script).sign_in.complete_on_device(BEGUN)


def test_nobody_waits_longer_for_an_answer_than_the_code_lasts(slept: list[float]) -> None:
    over = DeviceCode(device_code="x", user_code="x", verification_uri=URL, expires_in=-1, interval=5)
    with pytest.raises(ConnectionFailed):
        hub_of(Script(httpx2.ConnectError("down"))).sign_in.complete_on_device(over)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, Stale),
        (413, Invalid),
        (415, Invalid),
        (422, Invalid),
        (429, RateLimited),
        (502, Unavailable),
        (503, Unavailable),
        (418, ApiError),
    ],
)
def test_a_refusal_has_its_class(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind) as caught:
        hub_of(Script(refused(status)), max_retries=0).whoami()
    assert type(caught.value) is kind


def test_a_refusal_names_what_is_wrong() -> None:
    detail = {"path": "/name", "code": "pattern", "message": "has a slash", "info": {}}
    error = {"statusCode": 422, "name": "E", "code": "VALIDATION_FAILED", "message": "Not valid.", "details": [detail]}
    with pytest.raises(Invalid) as caught:
        hub_of(Script(httpx2.Response(422, json={"error": error}))).datasets.create("a/b")
    assert str(caught.value) == "Not valid.\n  name: has a slash"
    assert caught.value.details[0].code == "pattern"


def test_whoever_else_answers_is_told_apart() -> None:
    with pytest.raises(UnexpectedAnswer):
        hub_of(Script(httpx2.Response(200, text="<html>Welcome</html>"))).whoami()
    with pytest.raises(NotFound, match="/whoami answers 404"):
        hub_of(Script(httpx2.Response(404, text="<html>nginx</html>"))).whoami()


def test_pages_are_followed_by_their_cursor_alone() -> None:
    """The address in a link may be that of a proxy, or of somebody who wants a token."""
    link = {"Link": '<https://mallory.test/datasets?limit=2&cursor=abc-_1>; rel="next"'}
    script = Script(httpx2.Response(200, json=[DATASET] * 2, headers=link), httpx2.Response(200, json=[DATASET]))
    assert len(hub_of(script).datasets.list(owner="bob@example.org").all()) == 3
    assert [str(one.url) for one in script.requests] == [
        f"{URL}/datasets?owner=bob%40example.org",
        f"{URL}/datasets?owner=bob%40example.org&cursor=abc-_1",
    ]


def test_a_redirect_is_not_followed_with_the_token() -> None:
    script = Script(httpx2.Response(302, headers={"Location": "https://mallory.test/"}))
    with pytest.raises(ApiError):
        hub_of(script).whoami()
    assert len(script.requests) == 1


def test_no_whole_address_is_asked() -> None:
    with pytest.raises(ValueError, match="slash"):
        hub_of(Script()).request("GET", "https://mallory.test/")


def test_what_is_in_a_name_stays_one_segment() -> None:
    script = Script(*[refused(404) for _ in range(3)])
    for name in ("../secrets", "a?b#c", ".."):
        with pytest.raises(NotFound):
            hub_of(script).groups.get(name)
    paths = [one.url.raw_path.decode() for one in script.requests]
    assert paths == ["/groups/..%2Fsecrets", "/groups/a%3Fb%23c", "/groups/%2E%2E"]


def test_a_record_that_was_read_is_changed_if_it_is_still_that() -> None:
    script = Script(
        httpx2.Response(200, json=DATASET, headers={"ETag": '"3-abc"'}),
        refused(412),
        httpx2.Response(200, json=DATASET),
    )
    hub = hub_of(script)
    read = hub.datasets.get(ID)
    with pytest.raises(Stale):
        hub.datasets.update(read, description="x")
    hub.datasets.update(ID, description="x")
    assert [one.headers.get("if-match") for one in script.requests] == [None, '"3-abc"', None]


def test_no_value_and_no_token_is_in_a_text() -> None:
    secret: dict[str, Any] = sample(SCHEMAS["SecretView"])
    script = Script(httpx2.Response(200, json=secret), refused(422))
    hub = hub_of(script, "the-token")
    made = hub.secrets.create("KEY", value="the-value")
    with pytest.raises(Invalid) as caught:
        hub.secrets.update(made, value="the-value")
    tokens = Tokens(
        access_token="the-token", expires_at=1, expires_in=1, id_token="the-token", scope="", token_type="Bearer"
    )
    texts = [repr(one) for one in (hub, hub.secrets, made, caught.value, tokens)] + [str(caught.value), str(tokens)]
    assert isinstance(made, Secret)
    assert not [one for one in texts if "the-value" in one or "the-token" in one]
    assert json.loads(script.requests[0].content)["value"] == "the-value"


TOKENS = {"expires_at": 1, "expires_in": 1, "id_token": "i", "scope": "", "token_type": "Bearer"}


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """Somebody is signed in here."""
    for variable in ("NBHUB_URL", "NBHUB_TOKEN", "NBHUB_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NBHUB_CONFIG_DIR", str(tmp_path))
    profiles = Profiles()
    tokens = Tokens(
        access_token="old", expires_at=1, expires_in=1, id_token="i", scope="", token_type="Bearer", refresh_token="r1"
    )
    profiles.keep(Profile(name="work", url=URL), tokens)
    return profiles


def renewing(request: httpx2.Request) -> httpx2.Response:
    if request.url.path == "/auth/refresh":
        assert json.loads(request.read()) == {"refresh_token": "r1"}
        return httpx2.Response(200, json=TOKENS | {"access_token": "new", "refresh_token": "r2"})
    if request.headers.get("authorization") == "Bearer new":
        return httpx2.Response(200, json="alice@example.org")
    return refused(401)


def profile_of(profiles: Profiles) -> Profile:
    found = profiles.find("work")
    assert found is not None
    return found


def test_an_expired_token_is_renewed_and_kept(profiles: Profiles) -> None:
    assert Hub(transport=httpx2.MockTransport(renewing)).whoami() == "alice@example.org"
    kept = profiles.tokens(profile_of(profiles))
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("new", "r2")


def test_what_another_process_has_renewed_is_used(profiles: Profiles, slept: list[float]) -> None:
    """A refresh token is good once: the second to exchange it would end the session of both."""
    mine = profile_of(profiles)
    lock = profiles.lock(mine)
    assert lock is not None
    asked = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        if len(asked) == 1:
            tokens = profiles.tokens(mine)
            assert tokens is not None
            profiles.keep_tokens(mine, Tokens(**{**TOKENS, "access_token": "new", "refresh_token": "r2"}))  # type: ignore[arg-type]
            lock.release()
        return renewing(request)

    assert Hub(transport=httpx2.MockTransport(handle)).whoami() == "alice@example.org"
    assert asked == ["/whoami", "/whoami"]


def test_one_whose_session_has_ended_is_told_to_sign_in(profiles: Profiles) -> None:
    script = Script(refused(401), refused(401))
    with pytest.raises(Unauthorized):
        Hub(transport=httpx2.MockTransport(script.handle)).whoami()
    assert [one.url.path for one in script.requests] == ["/whoami", "/auth/refresh"]


def test_the_tokens_of_a_profile_go_to_its_own_address_alone(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(refused(401), refused(401))
    with pytest.raises(Unauthorized):
        Hub("http://mallory.test", transport=httpx2.MockTransport(script.handle)).whoami()
    monkeypatch.setenv("NBHUB_URL", "http://mallory.test")
    with pytest.raises(Unauthorized):
        Hub(transport=httpx2.MockTransport(script.handle)).whoami()
    assert ["authorization" in one.headers for one in script.requests] == [False, False]


def test_a_token_may_come_of_a_function() -> None:
    tokens = iter(["first", "second", "third"])
    current = ["stale"]

    def token() -> str:
        return current[0]

    def handle(request: httpx2.Request) -> httpx2.Response:
        current[0] = next(tokens)
        return renewing(request)

    find: Callable[[], str] = token
    with pytest.raises(Unauthorized):
        Hub(URL, find, transport=httpx2.MockTransport(handle)).whoami()
    assert next(tokens) == "third"
