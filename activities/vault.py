"""Activities on the values of secrets in Vault: removing them. Servers get theirs in `activities.jupyterhub`."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from temporalio import activity

from activities.messages import Done, ObjectWish, Reaped
from activities.steps import of_subject, told
from integrations.vault import Vault
from models import crash_points, lifecycles, secrets
from models.ids import made_at
from models.lifecycles import Presence
from models.values import Subject

log = structlog.get_logger(__name__)

DESTROY = "Remove its value from Vault"

# A value is written before its record is: a younger one may still get it.
_UNRECORDED_FOR = timedelta(minutes=10)
_PAGE = 1000
# More than requests that were cut off can have left: then the records are lost, as after an old backup was restored.
_MOST_UNRECORDED = 25


class Values:
    """Removes values of secrets."""

    def __init__(self, vault: Vault, unrecorded_for: timedelta = _UNRECORDED_FOR) -> None:
        self._vault = vault
        self._unrecorded_for = unrecorded_for

    @activity.defn
    async def destroy_value(self, wish: ObjectWish) -> Done:
        """Remove all versions of a secret's value for good."""
        subject = Subject(wish.kind, wish.id)
        plan = await lifecycles.read_plan(subject)
        if plan is None or plan.generation != wish.generation or plan.wish is not Presence.PURGED:
            return Done(done=False)
        async with told(of_subject(subject, DESTROY)):
            if self._vault.configured:
                await self._vault.destroy(wish.id)
            crash_points.reach("destroy_value.effect", activity.info().workflow_id or "")
        return Done(done=True)

    @activity.defn
    async def reap_values(self) -> Reaped:
        """Remove values that no record names: the request that wrote them was cut off before it wrote the record.

        Where there are more than that explains, they are reported and stay.
        """
        if not self._vault.configured:
            return Reaped()
        before = datetime.now(UTC) - self._unrecorded_for
        old = [one for one in await self._vault.identities() if made_at(one) < before]
        lost: list[UUID] = []
        for start in range(0, len(old), _PAGE):
            lost += await secrets.without_record(old[start : start + _PAGE])
        if len(lost) > _MOST_UNRECORDED:
            log.error("values_without_record_kept", count=len(lost))
            return Reaped(kept=len(lost))
        for identity in lost:
            await self._vault.destroy(identity)
        if lost:
            log.warning("values_without_record_removed", count=len(lost))
        return Reaped(values=len(lost))
