"""`nbhub people`: whom one may share with."""

from nbhub.cli.grammar import Commands
from nbhub.cli.options import COMMON, Common, Limit

people = Commands("people", "People: whom one may share with.")


@people.command("find")
def find(text: str, /, *, common: Common = COMMON) -> None:
    """Find people by how their e-mail or name begins, as far as one may find them."""
    with common.hub() as hub:
        common.list(hub.people(text), "email name")


@people.command("organisations")
def organisations(*, limit: Limit = None, common: Common = COMMON) -> None:
    """List the organisations that one may share with."""
    with common.hub() as hub:
        common.list(hub.organisations(), "name member", limit)
