"""The link by which a server is shared in JupyterHub, and with whom it is: made, looked at and taken back."""

from datetime import UTC, datetime
from uuid import UUID

from temporalio import activity

from activities.messages import ServerWish, WorkflowRun
from activities.trying import try_each
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
        """Do what was asked about a server's shares. It may be repeated: what was taken back is not there."""
        asked = await server_shares.asked(run.subject, run.run_id)
        taken_back = (one for one in asked if one.kind == server_shares.TAKE_BACK)
        hindered = await try_each(
            (self.take_back(run.subject, one.hub_users, operation=one.id) for one in taken_back), "share_not_taken_back"
        )
        if hindered is not None:
            raise hindered
        if any(one.kind == server_shares.LINK for one in asked) and not await self._make_link(run):
            await server_shares.fail_links(run.subject, run.run_id, _NO_LINK)

    @activity.defn
    async def note_shares(self, wish: ServerWish) -> None:
        """Look with whom a server is shared. Workflows that began before links were asked for come here."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is not None and (plan.wish, plan.generation) == (Wish.RUNNING, wish.generation):
            await self._look(plan)

    async def look(self, server: UUID, *, taken: Taken | None = None) -> None:
        """Write down with whom a server is shared; see `server_shares.note_guests`.

        Where something of it was taken from somebody, its link ends before, whoever knows it: nobody comes by it later
        who has not used it yet. Who has come by it stays.
        """
        plan = await server_settling.read_plan(server)
        if plan is None:
            return
        if taken is not None:
            await self._end_link(plan)
        await self._look(plan, taken=taken)

    async def take_back(self, server: UUID, names: list[str] | None = None, *, operation: UUID | None = None) -> None:
        """End the link of a server and the access of some of JupyterHub's users, or of everybody; with proof.

        An operation that asked for it tells whether any of them had access.
        """
        plan = await server_settling.read_plan(server)
        if plan is None:
            # Its shares are gone with it.
            return
        # First the way in, then those who came by it.
        await self._end_link(plan)
        if names is None:
            await self._hub.unshare(plan.hub_user, plan.hub_name)
        else:
            guests = (await self._hub.shared_with(plan.hub_user, plan.hub_name))["users"]
            found = [name for name in names if name in guests]
            if found and operation is not None:
                await server_shares.note_guest_found(operation)
            for name in found:
                await self._hub.unshare(plan.hub_user, plan.hub_name, name)
        left = await self._look(plan)
        if left if names is None else left.intersection(names):
            raise HubUnavailable("JupyterHub still shares the server with whom it was taken from.")

    async def end_with_stop(self, plan: ServerPlan) -> None:
        """Where the settings say that shares end with a stop: end them."""
        if self._settings.shares_end_with_stop:
            await self.take_back(plan.server_id)

    async def _make_link(self, run: WorkflowRun) -> bool:
        """Whether there is a link if anybody still wants one, which is made unless one has some life left."""
        while (unshared := await server_shares.times_unshared(run.subject, run.run_id)) is not None:
            plan = await server_settling.read_plan(run.subject)
            if plan is None or plan.wish is not Wish.RUNNING:
                return False
            if plan.share_expires_at is None or plan.share_expires_at <= datetime.now(UTC):
                code = await self._hub.make_share_code(
                    plan.hub_user, plan.hub_name, self._settings.share_link_lifetime, self._settings.browser_hub_url
                )
                if code is None:
                    return False
                if not await server_shares.note_link(run.subject, code.url, code.expires_at, unshared=unshared):
                    # All links of the server were taken back meanwhile, and this one may be among them.
                    continue
            await self._look(plan)
            break
        return True

    async def _end_link(self, plan: ServerPlan) -> None:
        await server_shares.forget_link(plan.server_id)
        await self._hub.end_share_codes(plan.hub_user, plan.hub_name)

    async def _look(self, plan: ServerPlan, *, taken: Taken | None = None) -> set[str]:
        """Write down with whom a server is shared; the names of all of them in JupyterHub."""
        found = await self._hub.shared_with(plan.hub_user, plan.hub_name)
        shown = found | {"users": await persons.known_as(found["users"])}
        await server_shares.note_guests(plan.server_id, found["users"], shown, taken=taken)
        return {*found["users"], *found["groups"]}
