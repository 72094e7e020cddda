"""What the workflows of things that people share and trash have in common: a directory, its holders, and the trash."""

from temporalio import workflow

from activities.filesystem import Filesystem
from activities.messages import ObjectWish
from activities.records import Records
from models.domain.kinds import DIRECTORIES
from models.domain.values import Subject
from models.records.lifecycles import ObjectPlan, Presence
from workflows.access import withdraw
from workflows.looking import Looking, run_of
from workflows.options import on_records, outside


class SharedObject(Looking):
    """Makes a record what is wished of it: there, or gone once no server holds it any more."""

    async def look(self, subject: Subject) -> bool:
        """Make the wish true and write that it is so."""
        seen = await on_records(Records.begin_object, run_of(subject), "Read what is wished")
        plan = seen.plan
        if plan is None or plan.settled:
            return True
        workflow.set_current_details(_story(plan))
        wish = ObjectWish(kind=plan.kind, id=plan.id, generation=plan.generation)
        if plan.wish is Presence.PRESENT:
            # First, because a new member's server may mount it at once.
            await _place_directory(wish, "Have its directory in place")
            done = await self.appear(wish)
        elif done := await self.withdraw(wish, force=True):
            await self.vanish(wish)
            await _place_directory(wish, "Take its directory away")
        if not done:
            return False
        return (await on_records(Records.settle_object, wish, "Write that it is so, and end the operations")).settled

    async def appear(self, wish: ObjectWish) -> bool:
        """Have what belongs to it beside its directory; False when something else came up first."""
        return True

    async def vanish(self, wish: ObjectWish) -> None:
        """Take that away."""

    async def withdraw(self, wish: ObjectWish, *, force: bool = False) -> bool:
        """Stop servers that hold it, with `force` all of them; False when something else came up first."""
        return await withdraw(self, wish.subject, force=force)


async def _place_directory(wish: ObjectWish, summary: str) -> None:
    if wish.kind in DIRECTORIES:
        await workflow.execute_activity_method(Filesystem.place_directory, wish, **outside(summary))


def _story(plan: ObjectPlan) -> str:
    """What the Temporal web UI shows on top of a workflow."""
    verb = {Presence.PRESENT: "be there", Presence.TRASHED: "be in the trash", Presence.PURGED: "be gone"}[plan.wish]
    return f"The {plan.kind} **{plan.name}** is to {verb}: wish {plan.generation}, last seen {plan.observed}."
