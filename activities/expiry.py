"""The activity that removes what is past its time, and wishes purged what was long in the trash."""

from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.messages import Cleaned
from activities.waking import Wake, wake_all
from models.access import sharing
from models.database.transactions import Transaction
from models.domain.settings import Settings
from models.domain.values import Subject
from models.ledger import expiry, operations
from models.records import lifecycles

# The most that one pass purges, and grants that it removes; the next pass goes on with the rest.
_TRASH = 500
_GRANTS = 200


class Expiry:
    """Ends what was given for a time."""

    def __init__(self, settings: Settings, wake: Wake) -> None:
        self._settings = settings
        self._wake = wake

    @activity.defn
    async def remove_expired(self) -> Cleaned:
        """Remove sessions, sign-ins, idempotency rows and grants past their time; purge what was long in the trash."""
        rows = await expiry.remove_expired(self._settings.idempotency_hours)
        purged = await self._purge_trash()
        expired = await self._remove_grants()
        return Cleaned(rows=rows, purged=purged, expired=expired)

    async def _purge_trash(self) -> int:
        before = datetime.now(UTC) - timedelta(days=self._settings.trash_days)
        found = await lifecycles.expired_trash(before, _TRASH)
        for subject in found:
            async with Transaction():
                await lifecycles.purge(subject)
        await wake_all(self._wake, found)
        return len(found)

    async def _remove_grants(self) -> int:
        """What an expired grant gave is lost at its time; here the rows go and servers are looked at."""
        async with Transaction():
            subjects = [Subject.access_of(kind, identity) for kind, identity in await sharing.remove_expired(_GRANTS)]
            for subject in subjects:
                await operations.open_operation(f"{subject.object_kind}.expire", subject, owner=None, actor=None)
        await wake_all(self._wake, subjects)
        return len(subjects)
