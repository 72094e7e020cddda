"""Makes a secret what is wished of it. The API has written its value; gone are record and value."""

from temporalio import workflow

from activities.messages import ObjectWish
from activities.values import Values
from models.domain.values import Subject
from workflows.options import outside
from workflows.shared_object import SharedObject


@workflow.defn
class SecretWorkflow(SharedObject):
    """Makes a secret what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)

    async def vanish(self, wish: ObjectWish) -> None:
        """Remove its value."""
        await workflow.execute_activity_method(Values.destroy_value, wish, **outside("Remove its value from Vault"))
