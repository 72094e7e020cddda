"""How values and failures become payloads: typed, tolerant of newer writers, and encrypted."""

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cryptography.fernet import Fernet
from msgspec import UNSET, Struct, UnsetType
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.messages import Cleaned, Done, FailedStart, PlanSeen, Seen, ServerWish, Woken, WorkflowRun
from models.domain import errors
from models.domain.errors import (
    DependencyUnavailable,
    DomainError,
    HubRefused,
    HubThrottled,
    SpawnFailed,
    VolumeUnavailable,
)
from models.domain.values import ServerStatus, Subject, Wish
from models.ledger.operations import OperationError
from models.records.server_settling import ServerPlan
from models.records.servers import TemplateData
from workflows.codec import PayloadUnreadable
from workflows.plugin import MsgspecPayloadConverter, data_converter, plugin, raise_as_application_error

KEY = Fernet.generate_key().decode()
ID = UUID("0197f3a2-7b3c-7c1a-9d55-2f6f3c0a1b2c")
TEMPLATE = TemplateData(
    id="t",
    name="Difference engine",
    description="für Ada",
    type="private",
    application_type="jupyterlab",
    hardware="cpuMedium",
    public=False,
    creator="ada@example.org",
    server_name="lab",
    datasets=["d"],
)
PLAN = ServerPlan(
    server_id=ID,
    owner_id=ID,
    hub_user="ada@example.org",
    hub_name="lab-1",
    template=TEMPLATE,
    wish=Wish.RUNNING,
    generation=3,
    observed=ServerStatus.STOPPED,
    observed_generation=2,
    process_generation=None,
    process_floor=3,
    initialized=False,
    share_expires_at=datetime(2026, 10, 21, 7, 28, 0, 123456, UTC),
    operation=None,
)


class Patch(Struct, frozen=True, kw_only=True):
    """A struct that tells null from absent."""

    name: str | None | UnsetType = UNSET


@pytest.fixture
def converter() -> DataConverter:
    return data_converter(f"1:{KEY}")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Subject("server", ID), Subject),
        (WorkflowRun(subject=ID, workflow_id="server-1", run_id="r"), WorkflowRun),
        (PlanSeen(plan=PLAN, start_patience=1200.5), PlanSeen),
        (PlanSeen(plan=None, start_patience=0), PlanSeen),
        (ServerWish(server_id=ID, generation=2**40), ServerWish),
        (FailedStart(server_id=ID, generation=1, error=OperationError(code="C", message="m")), FailedStart),
        (Done(done=True), Done),
        (Seen(watched=1), Seen),
        (Woken(count=2), Woken),
        (Cleaned(rows=3), Cleaned),
        (Patch(), Patch),
        (Patch(name=None), Patch),
        (Patch(name="x"), Patch),
        (Wish.STOPPED, Wish),
        (ID, UUID),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime),
        (timedelta(seconds=1.5), timedelta),
        ("für Ada \U0001f600 \x00", str),
        (b"\x00\xff", bytes),
        (None, type(None)),
        ([Wish.RUNNING], list[Wish]),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_values_come_back_as_they_were(converter: DataConverter, value: object, kind: type) -> None:
    payloads = await converter.encode([value])
    [found] = await converter.decode(payloads, [kind])
    assert found == value
    assert type(found) is type(value)


async def test_values_are_encrypted(converter: DataConverter) -> None:
    [payload] = await converter.encode([PlanSeen(plan=PLAN, start_patience=1)])
    assert payload.metadata["encoding"] == b"binary/encrypted"
    for plain in (b"ada@example.org", b"Difference", b"PlanSeen", b"json"):
        assert plain not in payload.SerializeToString()
    with pytest.raises(PayloadUnreadable):
        await data_converter(f"1:{Fernet.generate_key().decode()}").decode([payload], [PlanSeen])


async def test_without_keys_payloads_are_json_for_everybody() -> None:
    [payload] = await data_converter("").encode([ServerWish(server_id=ID, generation=1)])
    assert payload.metadata["encoding"] == b"json/plain"
    assert msgspec.json.decode(payload.data) == {"server_id": str(ID), "generation": 1}


async def test_where_there_are_keys_a_plain_payload_has_no_value(converter: DataConverter) -> None:
    with pytest.raises(ApplicationError, match="not encrypted") as raised:
        await converter.decode([json('{"done": true}')], [Done])
    assert raised.value.non_retryable
    accepting = data_converter(f"1:{KEY}", accept_plain=True)
    assert await accepting.decode([json('{"done": true}'), *await converter.encode([1])], [Done, int]) == [
        Done(done=True),
        1,
    ]


async def test_absent_is_not_null() -> None:
    assert [payload.data for payload in await data_converter("").encode([Patch(), Patch(name=None)])] == [
        b"{}",
        b'{"name":null}',
    ]


def json(text: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('{"watched": 2, "invented_later": [1]}', Seen, Seen(watched=2)),
        ("{}", Seen, Seen()),
        (f'{{"kind": "server", "id": "{ID}"}}', Subject, Subject("server", ID)),
        (f'{{"kind": "server", "id": "{ID}"}}', None, {"kind": "server", "id": str(ID)}),
    ],
)
async def test_old_and_new_workers_read_each_other(text: str, kind: type | None, value: object) -> None:
    assert await data_converter("").decode([json(text)], [kind] if kind else None) == [value]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"done": "s3cret"}', Done),
        ('{"done": 1, "x": "s3cret"}', Done),
        ("{}", Done),
        ("s3cret", Done),
        ('{"done": tr', Done),
        ('"s3cret"', Wish),
        ('"s3cret"', UUID),
        ('"s3cret"', list[UUID]),
        ("", Done),
    ],
)
async def test_what_does_not_fit_is_refused_and_never_quoted(text: str, kind: type) -> None:
    with pytest.raises(RuntimeError) as raised:
        await data_converter("").decode([json(text)], [kind])
    logged = "".join(traceback.format_exception(raised.value))
    assert f"a payload is not a valid {kind.__name__}" in logged
    assert "s3cret" not in logged


def test_what_is_no_text_is_refused_and_never_quoted() -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'{"code": "C", "message": "s3cret \xff"}')
    with pytest.raises(RuntimeError) as raised:
        MsgspecPayloadConverter().from_payload(payload, OperationError)
    assert "s3cret" not in repr(raised.value)


@pytest.mark.parametrize("value", [object(), Fernet(KEY), lambda: None], ids=["object", "key", "function"])
async def test_what_is_no_value_is_refused(converter: DataConverter, value: object) -> None:
    with pytest.raises(TypeError):
        await converter.encode([value])


async def test_a_failure_tells_nothing_and_comes_back_whole(converter: DataConverter) -> None:
    failure = Failure()
    spawn = SpawnFailed("RStudio ran out of memory.", log="the last line")
    try:
        raise_as_application_error(spawn)
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    stored = failure.SerializeToString()
    for plain in (b"RStudio", b"last line", b"SPAWN_FAILED", b"raise_as_application_error"):
        assert plain not in stored
    found = await converter.decode_failure(failure)
    assert isinstance(found, ApplicationError)
    assert (found.message, found.type, found.non_retryable) == ("RStudio ran out of memory.", "SpawnFailed", True)
    reason, log = found.details
    assert reason == {"code": "SPAWN_FAILED", "message": "RStudio ran out of memory.", "hint": spawn.hint}
    assert log == "the last line"


async def test_a_failure_within_a_failure_tells_nothing(converter: DataConverter) -> None:
    failure = Failure()
    try:
        try:
            raise ValueError("s3cret inside")
        except ValueError as error:
            raise RuntimeError("s3cret outside") from error
    except RuntimeError as error:
        await converter.encode_failure(error, failure)
    assert b"s3cret" not in failure.SerializeToString()
    found = await converter.decode_failure(failure)
    assert "s3cret outside" in str(found)
    assert "s3cret inside" in str(found.__cause__)


def domain_errors(kind: type[DomainError] = DomainError) -> list[type[DomainError]]:
    below = [one for child in kind.__subclasses__() if child.__module__ == errors.__name__ for one in [child]]
    return [kind, *(one for child in below for one in domain_errors(child))]


@pytest.mark.parametrize("kind", domain_errors(), ids=lambda kind: kind.__name__)
def test_only_a_dependency_that_is_away_is_waited_for(kind: type[DomainError]) -> None:
    error = kind.__new__(kind)
    DomainError.__init__(error, "it broke", hint="do this")
    if isinstance(error, SpawnFailed):
        error.log = "the end"
    with pytest.raises(ApplicationError) as raised:
        raise_as_application_error(error)
    heals = issubclass(kind, DependencyUnavailable)
    assert raised.value.type == kind.__name__
    assert raised.value.non_retryable is not heals
    # What heals by itself is no alarm.
    assert (raised.value.category is ApplicationErrorCategory.BENIGN) is heals
    assert raised.value.details == (
        OperationError(code=error.code, message="it broke", hint="do this"),
        "the end" if kind is SpawnFailed else "",
    )
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("make", "heals"),
    [
        (lambda: HubThrottled("busy", retry_after=30), True),
        (lambda: VolumeUnavailable("away"), True),
        (lambda: HubRefused("no"), False),
        (lambda: SpawnFailed("died", log="the end"), False),
    ],
    ids=["throttled", "volume", "refused", "failed"],
)
def test_errors_as_they_are_made(make: Callable[[], DomainError], heals: bool) -> None:
    with pytest.raises(ApplicationError) as raised:
        raise_as_application_error(make())
    assert raised.value.non_retryable is not heals


def test_workflows_run_in_the_sandbox_or_not_at_all() -> None:
    runner: Any = plugin("").workflow_runner
    with pytest.raises(RuntimeError, match="sandbox"):
        runner(None)
