"""The link by which a running server is shared in JupyterHub, and with whom it is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity

from activities.messages import ServerWish
from integrations.jupyterhub import JupyterHub
from models.domain.settings import Settings
from models.domain.values import Wish
from models.records import persons, server_settling

# A link with less life left is made anew.
_LEAST_LIFE = timedelta(hours=1)


class ShareLinks:
    """Keeps what is written of a server's shares true."""

    def __init__(self, hub: JupyterHub, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    @activity.defn
    async def note_shares(self, wish: ServerWish) -> None:
        """Write down with whom a server is shared, with a link to share it that has some life left."""
        await self.note(wish.server_id, wish.generation)

    async def note(self, server: UUID, generation: int) -> None:
        """The same, for whoever looks at running servers."""
        plan = await server_settling.read_plan(server)
        if plan is None or (plan.wish, plan.generation) != (Wish.RUNNING, generation):
            return
        code = None
        if plan.share_expires_at is None or plan.share_expires_at < datetime.now(UTC) + _LEAST_LIFE:
            code = await self._hub.make_share_code(
                plan.hub_user, plan.hub_name, self._settings.share_link_lifetime, self._settings.browser_hub_url
            )
        shared_with = await self._hub.shared_with(plan.hub_user, plan.hub_name)
        shared_with["users"] = await persons.known_as(shared_with["users"])
        await server_settling.note_shared(
            plan.server_id, generation, code.url if code else None, code.expires_at if code else None, shared_with
        )
