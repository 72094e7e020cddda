"""Makes a module what is wished of it: the directory of its binaries, and its modulefile."""

from temporalio import workflow

from activities.messages import ObjectWish
from activities.modulefiles import Modulefiles
from models.domain.values import Subject
from workflows.options import outside
from workflows.shared_object import SharedObject


@workflow.defn
class ModuleWorkflow(SharedObject):
    """Makes a module what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)

    async def appear(self, wish: ObjectWish) -> bool:
        """Have the modulefile that leads to its directory."""
        await _place_modulefile(wish, "Write its modulefile")
        return True

    async def vanish(self, wish: ObjectWish) -> None:
        """Remove its modulefile."""
        await _place_modulefile(wish, "Remove its modulefile")


async def _place_modulefile(wish: ObjectWish, summary: str) -> None:
    await workflow.execute_activity_method(Modulefiles.place_modulefile, wish, **outside(summary))
