"""Activities on the values of secrets in Vault: removing them. Servers get theirs by `activities.handover`."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from temporalio import activity

from activities.messages import Done, ObjectWish, Reaped
from activities.steps import of_subject, told
from activities.trying import try_each
from integrations.turns import PersonsTurns, Turns
from integrations.vault import Vault
from models.domain import crash_points
from models.domain.errors import VaultUnavailable
from models.domain.ids import made_at
from models.ledger import claims
from models.ledger.claims import Claim
from models.records import lifecycles, secrets
from models.records.lifecycles import Presence

log = structlog.get_logger(__name__)

# A request that claimed a value and has not recorded it by then has ended.
_UNSETTLED_FOR = timedelta(minutes=10)
# A value that no claim explains, as after an older backup was restored, is left to be looked at for that long, and
# stays where such values are more than this share of all. Nobody can make one: what a request writes is claimed.
_UNEXPLAINED_FOR = timedelta(days=7)
_LARGEST_SHARE = 0.5
_PAGE = 1000
# Claims that one pass clears; the next pass goes on.
_CLAIMS = 200
_AT_ONCE = 4


class Values:
    """Removes values of secrets."""

    def __init__(self, vault: Vault, turns: Turns) -> None:
        """`turns` are those of each person at Vault."""
        self._vault, self._turns = vault, turns

    @activity.defn
    async def destroy_value(self, wish: ObjectWish) -> Done:
        """Remove all versions of a secret's value for good."""
        plan = await lifecycles.read_plan(wish.subject)
        if plan is None or plan.generation != wish.generation or plan.wish is not Presence.PURGED:
            return Done(done=False)
        async with told(of_subject(wish.subject, "Remove its value from Vault")):
            if self._vault.configured:
                await self._destroy(wish.id, self._turns.of(plan.owner or plan.id))
            crash_points.reach("destroy_value.effect", activity.info().workflow_id or "")
        return Done(done=True)

    async def _destroy(self, identity: UUID, turns: PersonsTurns) -> None:
        if not await turns.take_soon():
            raise VaultUnavailable(
                "Other values of the same person are being removed.", hint="It is tried again by itself."
            )
        try:
            await self._vault.destroy(identity)
        finally:
            turns.give_back()

    @activity.defn
    async def reap_values(self) -> Reaped:
        """Remove values of requests that were cut off before they wrote the record, and what nobody knows any more."""
        if not self._vault.configured:
            return Reaped()
        cut_off = await self._clear_claims()
        removed, kept = await self._remove_unexplained()
        return Reaped(values=cut_off + removed, kept=kept)

    async def _clear_claims(self) -> int:
        abandoned = await claims.abandon(secrets.KIND, datetime.now(UTC) - _UNSETTLED_FOR, _CLAIMS)
        limit = asyncio.Semaphore(_AT_ONCE)

        async def clear(claim: Claim) -> bool:
            async with limit:
                try:
                    # Of one that has a record, versions that were never recorded are overwritten or go with it.
                    lost = not await secrets.exists(claim.subject)
                    if lost:
                        await self._vault.destroy(claim.subject)
                    await claims.drop(claim.id)
                except VaultUnavailable as error:
                    log.warning("claim_not_settled", claim=str(claim.id), error=error.message)
                    return False
                return lost

        removed = sum(await asyncio.gather(*map(clear, abandoned)))
        if removed:
            log.warning("values_without_record_removed", count=removed)
        return removed

    async def _remove_unexplained(self) -> tuple[int, int]:
        """How many values were removed that neither a record nor a claim names, and how many stay."""
        all_values = await self._vault.identities()
        before = datetime.now(UTC) - _UNSETTLED_FOR
        old = [one for one in all_values if made_at(one) < before]
        lost: list[UUID] = []
        for start in range(0, len(old), _PAGE):
            lost += await secrets.unexplained(old[start : start + _PAGE])
        if not lost:
            return 0, 0
        before = datetime.now(UTC) - _UNEXPLAINED_FOR
        due = [one for one in lost if made_at(one) < before]
        if len(lost) > _LARGEST_SHARE * len(all_values):
            due = []
        # In any order: what stays keeps no other for ever.
        taken = random.sample(due, min(len(due), _PAGE))
        removed: list[UUID] = []

        async def remove(identity: UUID) -> None:
            await self._vault.destroy(identity)
            removed.append(identity)

        hindered = await try_each(map(remove, taken), "value_not_removed")
        kept = len(lost) - len(removed)
        if kept:
            log.error("values_without_record_kept", count=kept, of=len(all_values))
        if removed:
            log.warning("values_without_record_removed", count=len(removed))
        if hindered is not None:
            raise hindered
        return len(removed), kept
