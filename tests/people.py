"""People of tests, in the database."""

from models.database.tables import Person
from models.domain.ids import new_id
from models.domain.values import Caller


async def make_person(name: str = "ada", *, admin: bool = False) -> Caller:
    """A person whom no other test knows, as the caller of a request."""
    caller = Caller(id=new_id(), email=f"{name}-{new_id().hex[-10:]}@example.org", admin=admin)
    await Person.insert(Person(id=caller.id, issuer="test", subject=caller.email, email=caller.email))
    return caller
