"""Decides which spawns JupyterHub may carry out: those that Notebooks Hub ordered, and nothing else.

`Plugin.pre_spawn` is JupyterHub's `pre_spawn_hook`. It verifies the signed spec in the `user_options`, fences
older generations, and hands the admitted order to the spawner in use.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from tornado import web

from hub.order import Order, OrderRefused
from hub.records import GenerationFenced, Records
from models.profiles import ProfileMismatch, Profiles
from models.server_spec import ServerSpec, SpecInvalid, verify_spec

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
    "mount-missing": 422,
    "profile-unknown": 422,
    "program-missing": 422,
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
    ) -> None:
        self._records = records
        self._profiles = profiles
        self._public_keys = public_keys
        self._apply = apply

    def admit(self, user_options: Mapping[str, object], hub_user: str, hub_name: str) -> Order:
        """Return the order in these options, or raise `OrderRefused`."""
        token = user_options.get("spec")
        if not isinstance(token, str):
            raise OrderRefused("unsigned", START_ELSEWHERE)
        if user_options.get("wrapped_secrets"):
            # Better no server than one that silently lacks what it was promised.
            raise OrderRefused("secrets-refused", "this JupyterHub cannot hand secrets to servers yet")
        try:
            spec = verify_spec(token, self._public_keys())
            self._check_subject(spec, hub_user, hub_name)
            order = self._with_profiles(spec)
        except SpecInvalid as problem:
            raise OrderRefused(problem.code, f"{problem.reason}. {START_ELSEWHERE}") from None
        except ProfileMismatch as problem:
            raise OrderRefused("profile-unknown", f"{problem.field}: {problem.message}") from None
        with self._records.fence(spec.server_id) as fence:
            try:
                fence.check(spec.generation)
            except GenerationFenced as problem:
                raise OrderRefused("superseded", str(problem)) from None
            fence.raise_to(spec.generation)
        return order

    def pre_spawn(self, spawner: Spawner) -> None:
        """JupyterHub's `pre_spawn_hook`."""
        try:
            self._apply(spawner, self.admit(spawner.user_options, spawner.user.name, spawner.name))
        except OrderRefused as refusal:
            raise refused(refusal) from None

    @staticmethod
    def _check_subject(spec: ServerSpec, hub_user: str, hub_name: str) -> None:
        if spec.hub_user.casefold() != hub_user.casefold():
            raise SpecInvalid("foreign-user", "this order is for another person's server")
        if not hub_name or spec.hub_name != hub_name:
            raise SpecInvalid("foreign-name", "this order is for another server")

    def _with_profiles(self, spec: ServerSpec) -> Order:
        application = self._profiles.application_named(spec.application)
        return Order(
            spec=spec,
            application=application,
            hardware=self._profiles.hardware_named(spec.hardware),
            file_path=self._profiles.check_file_path(spec.application, spec.file_path),
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
