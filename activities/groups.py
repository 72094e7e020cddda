"""Activities on the JupyterHub groups that mirror ours."""

from uuid import UUID

from temporalio import activity

from activities.messages import Drift, ObjectWish
from activities.steps import of_subject, told
from activities.waking import Wake
from integrations.jupyterhub import JupyterHub
from models.domain import crash_points
from models.domain.settings import Settings
from models.domain.values import Subject
from models.records import groups, lifecycles
from models.records.groups import MOST_MIRRORS, Mirror


class Groups:
    """Has JupyterHub's groups hold whom ours hold."""

    def __init__(self, hub: JupyterHub, settings: Settings, wake: Wake) -> None:
        self._hub = hub
        self._prefix = settings.hub_group_prefix
        self._wake = wake

    @activity.defn
    async def mirror_group(self, wish: ObjectWish) -> None:
        """Have JupyterHub's group of a group hold its members who have a JupyterHub user, or have none."""
        plan = await lifecycles.read_plan(wish.subject)
        if plan is None or plan.generation != wish.generation:
            return
        mirror = await groups.mirror_of(wish.id)
        step = "Remove JupyterHub's group" if mirror is None else "Have JupyterHub's group hold its members"
        async with told(of_subject(wish.subject, step)):
            if mirror is None:
                await self._hub.remove_group(self._name(wish.id))
            else:
                await self._hub.keep_group(self._name(wish.id), set(mirror.users), _properties(mirror))
            crash_points.reach("mirror_group.effect", activity.info().workflow_id or "")

    @activity.defn
    async def observe_groups(self) -> Drift:
        """Compare JupyterHub's groups under our prefix with ours, and wake those that differ."""
        found = {group.name: group async for group in self._hub.groups(self._prefix)}
        drifted = 0
        after: UUID | None = None
        while True:
            page = await groups.settled_mirrors(after, MOST_MIRRORS)
            for mirror in page:
                seen = found.get(self._name(mirror.id))
                if seen is None or set(seen.users) != set(mirror.users) or seen.properties != _properties(mirror):
                    drifted += await groups.note_drift(mirror.id)
                    await self._wake(Subject("group", mirror.id))
            if len(page) < MOST_MIRRORS:
                break
            after = page[-1].id
        return Drift(groups=len(found), drifted=drifted)

    def _name(self, group: UUID) -> str:
        return f"{self._prefix}{group}"


def _properties(mirror: Mirror) -> dict[str, str]:
    """What an operator of JupyterHub is told of a group, whose name there is an id."""
    return {"notebooks_hub_name": mirror.name}
