"""What handlers are given by name, and how they read whom and what a request is about.

caller: NamedDependency[Caller]       who asks
read: NamedDependency[Read]           who asks, and what this process has
settings: NamedDependency[Settings]
services: NamedDependency[Services]   the clients of this process
page: NamedDependency[Page]           for lists, see `api.http.pagination`
write: NamedDependency[Write]         for every change, see `api.http.write`

`api.http.calls` provides them; none of them waits for anything. What is read often takes one of these.
"""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.di import Provide
from litestar.params import QueryParameter
from litestar.types import Dependencies
from msgspec import Struct

from api.http.fields import EMAIL
from api.http.pagination import provide_page
from api.http.services import Services
from api.http.write import provide_write
from models.domain.errors import ActionForbidden, RecordMissing, RequestInvalid, printable, quoted
from models.domain.ids import parse_id
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import persons


def provide_caller(request: Request[Caller, Any, Any]) -> Caller:
    """The person behind the request's token."""
    return request.user


class Read(Struct, frozen=True):
    """What reading needs to know."""

    caller: Caller
    services: Services

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.services.settings


def provide_read(request: Request[Caller, Any, Any]) -> Read:
    """Who asks, and the clients and settings of this process."""
    return Read(request.user, request.app.state.services)


def provide_services(request: Request[Any, Any, Any]) -> Services:
    """The clients of this process."""
    services: Services = request.app.state.services
    return services


def provide_settings(request: Request[Any, Any, Any]) -> Settings:
    """The settings of this process."""
    return provide_services(request).settings


DEPENDENCIES: Dependencies = {
    "caller": Provide(provide_caller, sync_to_thread=False),
    "page": Provide(provide_page, sync_to_thread=False),
    "read": Provide(provide_read, sync_to_thread=False),
    "services": Provide(provide_services, sync_to_thread=False),
    "settings": Provide(provide_settings, sync_to_thread=False),
    "write": Provide(provide_write, sync_to_thread=False),
}


def own_email(caller: Caller, email: str | None) -> str:
    """The e-mail that a request is about: the caller's own by default, another's for admins only."""
    wanted = caller.email if email is None else email
    if wanted != caller.email and not caller.admin:
        raise ActionForbidden("Only an admin may ask this about somebody else.")
    return wanted


async def own_person(caller: Caller, email: str | None) -> UUID:
    """The person that a request is about, as `own_email`; raises `RecordMissing` if nobody has signed in with it."""
    wanted = own_email(caller, email)
    person = caller.id if wanted == caller.email else await persons.find_by_email(wanted)
    if person is None:
        raise RecordMissing(f"Nobody with the e-mail {quoted(wanted)} has signed in.")
    return person


def query_id(kind: str, text: str) -> UUID:
    """The id of a record that is named in the query; one that cannot exist is missing, like any other."""
    identity = parse_id(text)
    if identity is None:
        raise RecordMissing.of(kind, printable(text))
    return identity


OwnerQuery = Annotated[str | None, QueryParameter(format=EMAIL, description="Only those that this person owns.")]


async def new_owner(email: str | None, caller: Caller) -> UUID:
    """Who is to own what is made: the caller, or anybody for an admin."""
    if email is None or email == caller.email:
        return caller.id
    if not caller.admin:
        raise RequestInvalid.of("/owner", "owner", "only an admin may make it for somebody else")
    return await person_of(email, "/owner")


async def person_of(email: str, path: str) -> UUID:
    """The person of an e-mail in a body; raises `RequestInvalid` for a place in it if nobody has signed in with it."""
    person = await persons.find_by_email(email)
    if person is None:
        raise RequestInvalid.of(path, "unknown", f"nobody with the e-mail {quoted(email)} has signed in")
    return person
