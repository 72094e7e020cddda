"""Decides which spawns JupyterHub may carry out: those that Notebooks Hub ordered, and nothing else.

`Plugin.pre_spawn` is JupyterHub's `pre_spawn_hook`. It verifies the signed spec in the `user_options`, fences
older generations, and hands the admitted order to the spawner in use.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from jupyterhub.spawner import Spawner
from tornado import web

from hub.order import Order, OrderRefused
from hub.records import Failure, GenerationFenced, Records
from hub.secrets import handed_over, open_all
from hub.unwrap import SecretRefused
from models.domain.profiles import ProfileMismatch, Profiles
from models.domain.server_spec import ServerSpec, SpecInvalid, verify_spec

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5
    SpawnException = None

START_ELSEWHERE = "Please start this server from Notebooks Hub."
# Everything else is forbidden. 500: it was tried and failed.
_STATUS = {
    "file-missing": 422,
    "file-refused": 422,
    "hardware-refused": 422,
    "launch-failed": 500,
    "limits-missing": 422,
    "network-missing": 422,
    "mount-missing": 422,
    "profile-unknown": 422,
    "program-missing": 422,
    "secrets-refused": 422,
    "sandbox-missing": 422,
    "server-exited": 500,
    "still-running": 409,
    "superseded": 409,
}


class Plugin:
    """The decision, and its translation into the terms of one spawner."""

    def __init__(
        self,
        records: Records,
        profiles: Profiles,
        public_keys: Callable[[], Mapping[str, bytes]],
        apply: Callable[[Any, Order], None],
        open_secrets: Callable[[Order], Awaitable[Order]],
        *,
        let_in_seconds: int,
    ) -> None:
        self._records = records
        self._profiles = profiles
        self._public_keys = public_keys
        self._apply = apply
        self.open_secrets = open_secrets
        self._let_in_seconds = let_in_seconds

    def admit(self, user_options: Mapping[str, object], hub_user: str, hub_name: str) -> Order:
        """Return the order in these options, or raise `OrderRefused`."""
        token = user_options.get("spec")
        if not isinstance(token, str):
            raise OrderRefused("unsigned", START_ELSEWHERE)
        try:
            spec = verify_spec(token, self._public_keys())
            self._check_subject(spec, hub_user, hub_name)
            order = self._with_profiles(spec, handed_over(spec, user_options.get("wrapped_secrets", [])))
        except SpecInvalid as problem:
            raise OrderRefused(problem.code, f"{problem.reason}. {START_ELSEWHERE}") from None
        except ProfileMismatch as problem:
            raise OrderRefused("profile-unknown", f"{problem.field}: {problem.message}") from None
        except SecretRefused as problem:
            raise OrderRefused("secrets-refused", str(problem)) from None
        with self._records.fence(spec.server_id) as fence:
            try:
                fence.check(spec.generation)
            except GenerationFenced as problem:
                raise OrderRefused("superseded", str(problem)) from None
            fence.raise_to(spec.generation)
        return order

    async def pre_spawn(self, spawner: Spawner) -> None:
        """JupyterHub's `pre_spawn_hook`."""
        try:
            order = self.admit(spawner.user_options, spawner.user.name, spawner.name)
            await self._hand_on(spawner, order)
        except OrderRefused as refusal:
            raise refused(refusal) from None

    async def _hand_on(self, spawner: Spawner, order: Order) -> None:
        try:
            self._apply(spawner, await self.open_secrets(order) if order.handed_over else order)
        except OrderRefused as refusal:
            # JupyterHub may have answered by now, and tells later only that it failed.
            failure = Failure(generation=order.spec.generation, reason=refusal.message, log="")
            self._records.write_failure(order.spec.server_id, failure)
            raise

    @staticmethod
    def _check_subject(spec: ServerSpec, hub_user: str, hub_name: str) -> None:
        if spec.hub_user.lower() != hub_user.lower():
            raise SpecInvalid("foreign-user", "this order is for another person's server")
        if not hub_name or spec.hub_name != hub_name:
            raise SpecInvalid("foreign-name", "this order is for another server")

    def _with_profiles(self, spec: ServerSpec, secrets: list[dict[str, Any]]) -> Order:
        application = self._profiles.application_named(spec.application)
        return Order(
            spec=spec,
            application=application,
            hardware=self._profiles.hardware_named(spec.hardware),
            file_path=self._profiles.check_file_path(spec.application, spec.file_path),
            handed_over=secrets,
            let_in_seconds=self._let_in_seconds,
        )


async def opened_by_the_hub(order: Order, vault: str) -> Order:
    """Return the order with its secrets opened; raises `OrderRefused`."""
    try:
        return msgspec.structs.replace(order, secrets=await open_all(order.handed_over, vault))
    except SecretRefused as problem:
        raise OrderRefused("secrets-refused", str(problem)) from None


async def left_closed(order: Order) -> Order:
    """Return the order as it is: its secrets are opened where the server runs."""
    return order


async def no_secrets(order: Order) -> Order:
    """Refuse an order with secrets, because this spawner could not keep them to the server."""
    raise OrderRefused(
        "secrets-refused", "this JupyterHub's spawner hands no secrets to servers: remove them from the template"
    )


def refused(refusal: OrderRefused) -> Exception:
    """Return the exception that makes JupyterHub refuse a spawn, without counting it as its own failure."""
    status = _STATUS.get(refusal.code, 403)
    if SpawnException is not None:
        exception: Exception = SpawnException(refusal.message, reason=refusal.code, status_code=status)
    else:
        exception = web.HTTPError(status, "%s", refusal.message)
        # What JupyterHub 5 shows to people and programs instead of a bare status text.
        exception.jupyterhub_message = refusal.message  # type: ignore[attr-defined]
    return exception
