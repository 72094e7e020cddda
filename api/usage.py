"""How much one has of what there is a limit to."""

from litestar import Controller, get
from litestar.di import NamedDependency

from api.http.fields import AnswerBody
from api.http.policy import Policy, needs
from api.http.services import Services
from models.domain.values import Caller
from models.ledger import quotas


class UseView(AnswerBody, frozen=True, kw_only=True):
    """How many one has, and may have; any number where there is no `limit`."""

    used: int
    limit: int | None = None


class UsageController(Controller):
    """How much one has of what there is a limit to."""

    path = "/me/usage"
    tags = ("Service",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="getUsage", summary="What one has, and may have")
    async def usage(self, caller: NamedDependency[Caller], services: NamedDependency[Services]) -> dict[str, UseView]:
        """How many of each kind of thing the caller has, and may have. Admins may have any number.

        What is being deleted or in the trash counts. Event streams are those of the process that answers.
        """
        used = await quotas.used_by(caller.id)
        used[quotas.EVENT_STREAMS] = services.operation_events.streams_of(caller.id)
        limits = {} if caller.admin else quotas.limits_of(services.settings.quotas)
        return {name: UseView(used=number, limit=limits.get(name) or None) for name, number in used.items()}
