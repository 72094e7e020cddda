"""Prepares a person's place: the JupyterHub user and the home directory."""

from uuid import UUID

from temporalio import workflow

from activities.filesystem import Filesystem
from activities.jupyterhub import Hub
from activities.messages import WorkflowRun
from activities.records import Records
from models.domain.values import Subject
from workflows.options import outside, records


async def prepare_person(person: UUID) -> None:
    """Make what is missing of a person's place, and say so. Part of a first start too."""
    info = workflow.info()
    run = WorkflowRun(subject=person, workflow_id=info.workflow_id, run_id=info.run_id)
    await workflow.execute_activity_method(Filesystem.make_home, run, **outside("Make the home directory"))
    await workflow.execute_activity_method(Hub.make_hub_user, run, **outside("Make the JupyterHub user"))
    await workflow.execute_activity_method(Records.settle_person, run, **records("Write that it is done"))


@workflow.defn
class UserWorkflow:
    """Prepares a person's place."""

    def __init__(self) -> None:
        self._woken = False

    @workflow.signal
    def woken(self) -> None:
        """There may be more to do."""
        self._woken = True

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until nothing more is asked for."""
        info = workflow.info()
        run = WorkflowRun(subject=subject.id, workflow_id=info.workflow_id, run_id=info.run_id)
        workflow.set_current_details("The home directory and the JupyterHub user of a person are made where missing.")
        while True:
            # Before the work is begun: what is asked for later wakes again.
            self._woken = False
            await workflow.execute_activity_method(Records.begin_person, run, **records("Read what is asked"))
            await prepare_person(subject.id)
            if not self._woken:
                return
