"""The link by which a server is shared in JupyterHub, and with whom it is: made, looked at and taken back."""

from datetime import UTC, datetime
from uuid import UUID

from temporalio import activity

from activities.messages import ServerWish, WorkflowRun
from integrations.jupyterhub import JupyterHub
from models.domain.errors import HubUnavailable
from models.domain.settings import Settings
from models.domain.values import Wish
from models.ledger.operations import OperationError
from models.records import persons, server_settling, server_shares
from models.records.server_settling import ServerPlan
from models.records.server_shares import Taken

_NO_LINK = OperationError(
    code="LINK_UNAVAILABLE",
    message="There is no link, because the server does not run.",
    hint="Start the server, then ask for the link again.",
)


class ShareLinks:
    """Makes JupyterHub share a server as its owner asked, and keeps what is written of it true."""

    def __init__(self, hub: JupyterHub, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    @activity.defn
    async def keep_shares(self, run: WorkflowRun) -> None:
        """Do what was asked about a server's shares, in order. It may be repeated: what was taken back is not there."""
        for asked in await server_shares.asked(run.subject, run.run_id):
            if asked.kind == server_shares.TAKE_BACK:
                names = await persons.hub_users_of(asked.emails) if asked.emails else None
                await self.take_back(run.subject, names)
            elif not await self._make_link(run.subject):
                await server_shares.fail_links(run.subject, run.run_id, _NO_LINK)

    @activity.defn
    async def note_shares(self, wish: ServerWish) -> None:
        """Look with whom a server is shared. Workflows that began before links were asked for come here."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is not None and (plan.wish, plan.generation) == (Wish.RUNNING, wish.generation):
            await self._look(plan)

    async def look(self, server: UUID, *, taken: Taken | None = None) -> None:
        """Write down with whom a server is shared; see `server_shares.note_guests`."""
        plan = await server_settling.read_plan(server)
        if plan is not None:
            await self._look(plan, taken=taken)

    async def take_back(self, server: UUID, names: list[str] | None = None) -> None:
        """End the link of a server and the access of some of JupyterHub's users, or of everybody; with proof."""
        plan = await server_settling.read_plan(server)
        if plan is None:
            # Its shares are gone with it.
            return
        await server_shares.forget_link(server)
        # First the way in, then those who came by it.
        await self._hub.end_share_codes(plan.hub_user, plan.hub_name)
        for name in [None] if names is None else names:
            await self._hub.unshare(plan.hub_user, plan.hub_name, name)
        left = await self._look(plan)
        if left if names is None else left.intersection(names):
            raise HubUnavailable("JupyterHub still shares the server with whom it was taken from.")

    async def end_with_stop(self, plan: ServerPlan) -> None:
        """Where the settings say that shares end with a stop: end them."""
        if self._settings.shares_end_with_stop:
            await self.take_back(plan.server_id)

    async def _make_link(self, server: UUID) -> bool:
        """Whether there is a link, which is made unless one has some life left."""
        plan = await server_settling.read_plan(server)
        if plan is None or plan.wish is not Wish.RUNNING:
            return False
        if plan.share_expires_at is None or plan.share_expires_at <= datetime.now(UTC):
            code = await self._hub.make_share_code(
                plan.hub_user, plan.hub_name, self._settings.share_link_lifetime, self._settings.browser_hub_url
            )
            if code is None:
                return False
            await server_shares.note_link(server, code.url, code.expires_at)
        await self._look(plan)
        return True

    async def _look(self, plan: ServerPlan, *, taken: Taken | None = None) -> set[str]:
        """Write down with whom a server is shared; the names of all of them in JupyterHub."""
        found = await self._hub.shared_with(plan.hub_user, plan.hub_name)
        shown = found | {"users": await persons.known_as(found["users"])}
        await server_shares.note_guests(plan.server_id, found["users"], shown, taken=taken)
        return {*found["users"], *found["groups"]}
