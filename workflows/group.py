"""Makes a group what is wished of it: its directory, who holds it, and JupyterHub's group that mirrors it."""

from temporalio import workflow

from activities.groups import Groups
from activities.messages import ObjectWish
from models.domain.values import Subject
from workflows.options import outside
from workflows.shared_object import SharedObject


@workflow.defn
class GroupWorkflow(SharedObject):
    """Makes a group what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)

    async def appear(self, wish: ObjectWish) -> bool:
        """Have nobody hold it who is no member any more, and JupyterHub's group hold those who are."""
        if not await self.withdraw(wish):
            return False
        await _mirror(wish)
        return True

    async def vanish(self, wish: ObjectWish) -> None:
        """Take JupyterHub's group away."""
        await _mirror(wish)


async def _mirror(wish: ObjectWish) -> None:
    await workflow.execute_activity_method(
        Groups.mirror_group, wish, **outside("Have JupyterHub's group hold its members")
    )
