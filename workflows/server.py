"""Makes a server what is wished of it, and gives a start up when a later wish comes first."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities.messages import Done, FailedStart, PlanSeen, ServerWish
from activities.records import Records
from activities.share_links import ShareLinks
from activities.starts import Starts
from activities.stops import Stops
from models.domain.values import ServerStatus, Subject, Wish
from models.ledger.operations import OperationError
from models.records.server_settling import ServerPlan
from workflows.looking import Looking, run_of
from workflows.options import best_effort, on_records, outside, records
from workflows.person import prepare
from workflows.rules import rules

WISH = SearchAttributeKey.for_keyword("NotebooksHubWish")
"""What is wished of the server on which a workflow works, to find workflows by."""


@workflow.defn
class ServerWorkflow(Looking):
    """Makes a server what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """Make the wish true, or take it back when an operator cancels the workflow."""
        seen = await self._begin(subject)
        plan = seen.plan
        if plan is None or plan.settled:
            return True
        workflow.set_current_details(_story(plan))
        if workflow.info().typed_search_attributes.get(WISH) != plan.wish:
            workflow.upsert_search_attributes([WISH.value_set(str(plan.wish))])
        try:
            return await self._make_true(subject, plan, seen.start_patience)
        except (ActivityError, asyncio.CancelledError) as error:
            if not is_cancelled_exception(error):
                raise
            # The wish goes back, and the world follows it.
            await workflow.execute_activity_method(
                Records.revert_server, _wish(plan), **records("Cancelled: take the wish back")
            )
        return False

    async def _make_true(self, subject: Subject, plan: ServerPlan, start_patience: float) -> bool:
        """Whether nothing is left to do: nothing more was wished when it was written down that the wish is true."""
        match plan.wish:
            case Wish.RUNNING if _has_older_business(plan):
                done = await self._stop(plan)
            case Wish.RUNNING:
                if not plan.initialized:
                    await prepare(Subject("person", plan.owner_id))
                return await self._start(subject, plan, start_patience)
            case Wish.STOPPED:
                done = await self._stop(plan)
            case Wish.DELETED:
                done = await workflow.execute_activity_method(
                    Stops.delete_server, _wish(plan), **outside("Stop it, remove it from JupyterHub")
                )
        return done.settled

    async def _start(self, subject: Subject, plan: ServerPlan, patience: float) -> bool:
        """Start the server; give the start up when a later wish comes first. Whether nothing is left to do."""
        overtaken = False
        spawn = asyncio.create_task(self._spawn(plan, patience))
        try:
            while not spawn.done():
                await workflow.wait_condition(lambda: spawn.done() or self.was_woken)
                if spawn.done():
                    break
                self.was_woken = False
                now = (await self._begin(subject)).plan
                overtaken = now is None or now.generation != plan.generation
                if overtaken:
                    break
        except GeneratorExit:
            # The worker forgets this run, and another goes on with it: there is nothing left to wait with.
            raise
        except BaseException:
            await _given_up(spawn)
            raise
        await _given_up(spawn)
        if spawn.cancelled():
            return False
        error = spawn.exception()
        done = Done(done=False)
        if isinstance(error, ActivityError) and not is_cancelled_exception(error):
            done = await self._fail(plan, error)
        elif error is None and spawn.result().done:
            # Links were made at every start until they were asked for.
            if rules() < 2 and not workflow.patched("links-are-asked-for"):
                await self._note_shares(plan)
            done = spawn.result()
        elif error is None:
            # A later wish came, or a process of an earlier one is still there.
            done = await self._stop(plan)
        # The wake-up that told of a later wish is used up.
        return done.settled and not overtaken

    async def _spawn(self, plan: ServerPlan, patience: float) -> Done:
        options = outside("Start it and wait until it is ready")
        # One try follows a spawn to its end; all tries together wait as long as a person would for a dependency.
        options["start_to_close_timeout"] = options["schedule_to_close_timeout"] = timedelta(seconds=patience)
        return await workflow.execute_activity_method(Starts.spawn_server, _wish(plan), **options)

    async def _stop(self, plan: ServerPlan) -> Done:
        return await workflow.execute_activity_method(
            Stops.stop_server,
            ServerWish(server_id=plan.server_id, generation=plan.unwanted),
            **outside("Stop it and prove that no process lives"),
        )

    async def _fail(self, plan: ServerPlan, error: ActivityError) -> Done:
        reason, log = _reason(error)
        return await workflow.execute_activity_method(
            Stops.fail_start,
            FailedStart(server_id=plan.server_id, generation=plan.generation, error=reason, log=log),
            **outside(f"Give the start up: {reason.message}"[:200]),
        )

    async def _note_shares(self, plan: ServerPlan) -> None:
        try:
            await workflow.execute_activity_method(
                ShareLinks.note_shares, _wish(plan), **best_effort("Keep the link that shares it")
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("the share link could not be kept")

    async def _begin(self, subject: Subject) -> PlanSeen:
        return await on_records(Records.begin_server, run_of(subject), "Read what is wished")


async def _given_up(spawn: "asyncio.Task[Done]") -> None:
    """Return once the activity of a spawn is known to do nothing more."""
    if not spawn.done():
        spawn.cancel()
        await workflow.wait([spawn])


def _wish(plan: ServerPlan) -> ServerWish:
    return ServerWish(server_id=plan.server_id, generation=plan.generation)


def _has_older_business(plan: ServerPlan) -> bool:
    """Whether something of an earlier generation has to be stopped, or proven stopped, before a start."""
    if plan.process_generation is not None:
        return plan.process_generation < plan.process_floor
    if plan.observed_generation < plan.process_floor - 1:
        return True
    return plan.observed in (ServerStatus.RUNNING, ServerStatus.STOPPING)


def _reason(error: ActivityError) -> tuple[OperationError, str]:
    """What people are told of a start that failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and len(cause.details) == 2:
        reason, log = cause.details
        return OperationError(**reason) if isinstance(reason, dict) else reason, str(log)
    return (
        OperationError(
            code="DEPENDENCY_UNAVAILABLE",
            message="The server could not be started: something that it needs was not there for too long.",
            hint="Ask an operator to look at the health of the service, then start the server again.",
        ),
        "",
    )


def _story(plan: ServerPlan) -> str:
    """What the Temporal web UI shows on top of a workflow."""
    verb = {Wish.RUNNING: "run", Wish.STOPPED: "be stopped", Wish.DELETED: "be deleted"}[plan.wish]
    return (
        f"**{plan.template.name}** (`{plan.hub_name}`) of {plan.hub_user} is to {verb}: "
        f"wish {plan.generation}, last seen {plan.observed}."
    )
