"""Prepares a person's place, the JupyterHub user and the home directory; after a release takes the user away."""

from temporalio import workflow

from activities.persons import Persons
from models.domain.values import Subject
from workflows.looking import Looking, run_of
from workflows.options import on_records, outside


@workflow.defn
class UserWorkflow(Looking):
    """Prepares a person's place, or ends what JupyterHub has of one whose e-mail was released."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until nothing more is asked for."""
        workflow.set_current_details("The home directory and the JupyterHub user of a person are made where missing.")
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """Do what is asked for so far."""
        run = run_of(subject)
        seen = await on_records(Persons.begin_person, run, "Read what is asked")
        if seen is None or not seen.released:
            await prepare(subject)
            return True
        workflow.set_current_details("The e-mail was released: servers and the JupyterHub user of the person end.")
        await workflow.execute_activity_method(Persons.stop_servers, run, **outside("Stop the person's servers"))
        gone = await workflow.execute_activity_method(
            Persons.remove_hub_user, run, **outside("Remove the JupyterHub user and prove it")
        )
        return gone.done


async def prepare(person: Subject) -> None:
    """Make what is missing of a person's place, and say so. Part of a first start too."""
    run = run_of(person)
    await workflow.execute_activity_method(Persons.make_home, run, **outside("Make the home directory"))
    await workflow.execute_activity_method(Persons.make_hub_user, run, **outside("Make the JupyterHub user"))
    await on_records(Persons.settle_person, run, "Write that it is done")
