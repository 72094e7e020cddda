"""Prepares a person's place: the JupyterHub user and the home directory."""

from temporalio import workflow

from activities.persons import Persons
from models.domain.values import Subject
from workflows.looking import Looking, run_of
from workflows.options import outside, records


@workflow.defn
class UserWorkflow(Looking):
    """Prepares a person's place."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until nothing more is asked for."""
        workflow.set_current_details("The home directory and the JupyterHub user of a person are made where missing.")
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """Prepare what is asked for so far."""
        await workflow.execute_activity_method(Persons.begin_person, run_of(subject), **records("Read what is asked"))
        await prepare(subject)
        return True


async def prepare(person: Subject) -> None:
    """Make what is missing of a person's place, and say so. Part of a first start too."""
    run = run_of(person)
    await workflow.execute_activity_method(Persons.make_home, run, **outside("Make the home directory"))
    await workflow.execute_activity_method(Persons.make_hub_user, run, **outside("Make the JupyterHub user"))
    await workflow.execute_activity_method(Persons.settle_person, run, **records("Write that it is done"))
