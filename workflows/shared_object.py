"""Makes what people share what is wished of it: directory, modulefile, value, JupyterHub group, or their absence.

One implementation; each kind has a workflow class of its own, so that operators can tell them apart.
"""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow

from activities.access import Access
from activities.filesystem import Filesystem
from activities.jupyterhub import Hub
from activities.messages import AccessScope, ObjectWish, WorkflowRun
from activities.records import Records
from activities.vault import Values
from models.domain.kinds import DIRECTORIES
from models.domain.values import Subject
from models.records.lifecycles import ObjectPlan, Presence
from workflows.options import outside, records


class Wakeable:
    """A workflow that can be told to look again."""

    def __init__(self) -> None:
        self.was_woken = False

    @workflow.signal
    def woken(self) -> None:
        """The wish, or what hangs on it, may have changed."""
        self.was_woken = True


def run_of(subject: Subject) -> WorkflowRun:
    """This run, as operations name it."""
    info = workflow.info()
    return WorkflowRun(subject=subject.id, kind=subject.kind, workflow_id=info.workflow_id, run_id=info.run_id)


async def keep(subject: Subject, this: Wakeable) -> None:
    """Work until wish and world agree."""
    while True:
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(subject)
        # Before the wish is read: in the other order a wake-up between the two would be lost.
        this.was_woken = False
        seen = await workflow.execute_activity_method(
            Records.begin_object, run_of(subject), **records("Read what is wished")
        )
        plan = seen.plan
        if plan is None or plan.settled:
            if not this.was_woken:
                return
            continue
        workflow.set_current_details(_story(plan))
        wish = ObjectWish(kind=plan.kind, id=plan.id, generation=plan.generation)
        if not await _make_true(plan, wish, this):
            continue
        await workflow.execute_activity_method(
            Records.settle_object, wish, **records("Write that it is so, and end the operations")
        )


async def _make_true(plan: ObjectPlan, wish: ObjectWish, this: Wakeable) -> bool:
    """Make a wish true; False when something else came up first."""
    gone = plan.wish is not Presence.PRESENT
    if not gone and plan.kind in DIRECTORIES:
        # First, because a new member's server may mount it at once.
        await _place(wish, "Have its directory in place")
    if not gone and plan.kind == "module":
        await _place_modulefile(wish, "Write its modulefile")
    touched = gone or plan.kind == "group"
    if touched and not await withdraw(plan.kind, plan.id, this, subject_kind=plan.kind, force=gone):
        return False
    if plan.kind == "group":
        await workflow.execute_activity_method(
            Hub.mirror_group, wish, **outside("Have JupyterHub's group hold its members")
        )
    if gone and plan.kind == "module":
        await _place_modulefile(wish, "Remove its modulefile")
    if gone and plan.kind == "secret":
        await workflow.execute_activity_method(Values.destroy_value, wish, **outside("Remove its value from Vault"))
    if gone and plan.kind in DIRECTORIES:
        await _place(wish, "Take its directory away")
    return True


async def _place(wish: ObjectWish, summary: str) -> None:
    await workflow.execute_activity_method(Filesystem.place_directory, wish, **outside(summary))


async def _place_modulefile(wish: ObjectWish, summary: str) -> None:
    await workflow.execute_activity_method(Filesystem.place_modulefile, wish, **outside(summary))


async def withdraw(kind: str, identity: UUID, this: Wakeable, *, subject_kind: str, force: bool = False) -> bool:
    """Stop servers that hold what their owners may no longer use; False when something else came up first.

    A history that has grown long counts as that: the caller goes on with a new one.
    """
    scope = AccessScope(
        kind="group" if kind == "group" else "object", object=identity, subject_kind=subject_kind, force=force
    )
    while not workflow.info().is_continue_as_new_suggested():
        found = await workflow.execute_activity_method(
            Access.withdraw, scope, **outside("Stop servers that hold what their owners may no longer use")
        )
        if not found.left:
            return True
        try:
            await workflow.wait_condition(lambda: this.was_woken, timeout=timedelta(seconds=found.next_in))
        except TimeoutError:
            continue
        break
    return False


def _story(plan: ObjectPlan) -> str:
    """What the Temporal web UI shows on top of a workflow."""
    verb = {Presence.PRESENT: "be there", Presence.TRASHED: "be in the trash", Presence.PURGED: "be gone"}[plan.wish]
    return f"The {plan.kind} **{plan.name}** is to {verb}: wish {plan.generation}, last seen {plan.observed}."


@workflow.defn
class DatasetWorkflow(Wakeable):
    """Makes a dataset what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await keep(subject, self)


@workflow.defn
class GroupWorkflow(Wakeable):
    """Makes a group what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await keep(subject, self)


@workflow.defn
class ModuleWorkflow(Wakeable):
    """Makes a module what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await keep(subject, self)


@workflow.defn
class SecretWorkflow(Wakeable):
    """Makes a secret what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await keep(subject, self)
