"""Preparing a person's place: the JupyterHub user and the home directory."""

from typing import Annotated

from litestar import Controller, Response, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.http.dependencies import own_person
from api.http.fields import EMAIL
from api.http.operation_view import OperationView
from api.http.policy import Policy, needs
from api.http.write import SHORT_WAIT, Write
from models.domain.values import Subject
from models.ledger import operations

Email = Annotated[str | None, QueryParameter(format=EMAIL, description="Who is initialised. Default: the caller.")]


class InitializeController(Controller):
    """Preparing a person's place."""

    tags = ("Persons",)

    @put(
        "/initialize",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="initialize",
        summary="Prepare a person's place",
    )
    async def initialize(self, write: NamedDependency[Write], email: Email = None) -> Response[OperationView]:
        """Make the JupyterHub user and the home directory of a person, where they are missing.

        It can be repeated at any time; the first start of a server does it too.
        """
        async with write:
            person = await own_person(write.caller, email)
            operation = await operations.open_operation(
                "person.initialize",
                Subject("person", person),
                owner=person,
                actor=write.caller,
            )
            write.accepts(operation, wakes=Subject("person", person), wait=SHORT_WAIT)
        return write.answer
