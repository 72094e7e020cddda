"""What client, worker and replayer of Temporal share: how payloads are written, and what surrounds activities."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from models.domain import crash_points
from models.domain.errors import DependencyUnavailable, DomainError, SpawnFailed
from models.ledger.operations import OperationError
from workflows.codec import REFUSED, EncryptionCodec

# Pure values and typed names of activities: sharing them keeps one identity of each class on both sides.
_OURS = ("models", "activities", "integrations")
_PASSED_THROUGH = (*_OURS, "asyncpg", "httpx", "msgspec", "piccolo", "prometheus_client", "structlog")


class MsgspecPayloadConverter(EncodingPayloadConverter):
    """JSON by msgspec, strict about types. What it does not know, such as a secret's class, it refuses."""

    @property
    def encoding(self) -> str:
        """The name under which other SDKs and the web UI know JSON."""
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """Encode any value of plain types, structs, dates and ids; raises `TypeError` for others."""
        return Payload(metadata={"encoding": self.encoding.encode()}, data=msgspec.json.encode(value))

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode to the annotated type. An error never quotes the payload."""
        try:
            return msgspec.json.decode(payload.data, type=Any if type_hint is None else type_hint)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RuntimeError(f"a payload is not a valid {getattr(type_hint, '__name__', type_hint)}") from None


class RefusedPayloadConverter(EncodingPayloadConverter):
    """Ends whatever wants a value of a payload that should have been encrypted."""

    @property
    def encoding(self) -> str:
        """What the codec makes of such a payload."""
        return REFUSED.decode()

    def to_payload(self, value: Any) -> Payload | None:
        """No value is written so."""
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:
        """Raise what fails a workflow or activity, so that it does not stand in the way of ours, and drops a signal."""
        raise ApplicationError("a payload is not encrypted", type="PayloadPlain", non_retryable=True)


class NotebooksHubPayloadConverter(CompositePayloadConverter):
    """The SDK's converters, with msgspec in place of its JSON."""

    def __init__(self) -> None:
        super().__init__(
            *(
                MsgspecPayloadConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            ),
            RefusedPayloadConverter(),
        )


def data_converter(payload_keys: str, *, accept_plain: bool = False) -> DataConverter:
    """How values become payloads. Failures are encrypted like everything else.

    With keys, payloads that are not encrypted are refused unless they are accepted.
    """
    return DataConverter(
        payload_converter_class=NotebooksHubPayloadConverter,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        payload_codec=EncryptionCodec.from_setting(payload_keys, accept_plain=accept_plain) if payload_keys else None,
    )


class ActivityInterceptor(Interceptor):
    """Surrounds every activity: it heartbeats, its errors become Temporal's, and tests may crash around it."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Add the surroundings."""
        return _Surroundings(next)


class _Surroundings(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        name, workflow = activity.info().activity_type, activity.info().workflow_id or ""
        crash_points.reach(f"{name}.before", workflow)
        heartbeat = asyncio.create_task(_heartbeat())
        try:
            result = await super().execute_activity(input)
        except DomainError as error:
            raise_as_application_error(error)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.worker_shutdown:
                # Nobody wished that this ends: another worker takes it up.
                raise ApplicationError("the worker is shutting down", type="WorkerShutdown") from None
            raise
        finally:
            heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat
        crash_points.reach(f"{name}.after", workflow)
        return result


async def _heartbeat() -> None:
    """Show that the activity lives; that is also how it learns that it is cancelled."""
    timeout = activity.info().heartbeat_timeout
    if timeout is None:
        return
    while True:
        activity.heartbeat()
        await asyncio.sleep(timeout.total_seconds() / 5)


def raise_as_application_error(error: DomainError) -> NoReturn:
    """Raise a domain error in Temporal's terms: its class is the type, and only what may heal is retried."""
    heals = isinstance(error, DependencyUnavailable)
    raise ApplicationError(
        error.message,
        OperationError(code=error.code, message=error.message, hint=error.hint),
        error.log if isinstance(error, SpawnFailed) else "",
        type=type(error).__name__,
        non_retryable=not heals,
        category=ApplicationErrorCategory.BENIGN if heals else ApplicationErrorCategory.UNSPECIFIED,
    ) from None


def plugin(payload_keys: str, *, accept_plain: bool = False) -> SimplePlugin:
    """The plug-in; give it to the client (workers take it from there) or to a replayer."""

    def runner(existing: WorkflowRunner | None) -> WorkflowRunner:
        if not isinstance(existing, SandboxedWorkflowRunner):
            raise RuntimeError("workflows run in the sandbox")
        return replace(existing, restrictions=existing.restrictions.with_passthrough_modules(*_PASSED_THROUGH))

    return SimplePlugin(
        "NotebooksHubPlugin",
        data_converter=data_converter(payload_keys, accept_plain=accept_plain),
        interceptors=[ActivityInterceptor()],
        workflow_runner=runner,
    )
