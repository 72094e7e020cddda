"""`nbhub servers`."""

import sys
from typing import Annotated

from nbhub import Hub
from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, WAITING, Common, Limit, Waiting, Watch, Yes
from nbhub.cli.output import print_json, word
from nbhub.cli.working import begun, deleted, require_yes
from nbhub.models import Server
from nbhub.synchronous.operations import show as show_url

servers = Commands("servers", "Servers: where one works.")
COLUMNS = "name status owner application_type url"
Opens = Annotated[bool, Option("show it in a browser")]


@servers.command("list")
def list_servers(
    *,
    owner: Annotated[str | None, Option("of somebody else, for admins")] = None,
    name: Annotated[str | None, Option("with this in its name")] = None,
    limit: Limit = None,
    watch: Watch = False,
    common: Common = COMMON,
) -> None:
    """List servers, newest first."""
    with common.hub() as hub:
        common.list(hub.servers.list(owner=owner, name=name), COLUMNS, limit, watch=watch)


@servers.command("show")
def show(server: str, /, *, common: Common = COMMON) -> None:
    """Show a server."""
    with common.hub() as hub:
        common.show(hub.servers.find(server, prefix=True))


@servers.command("log")
def log(server: str, /, *, common: Common = COMMON) -> None:
    """Print why a server ended or failed to start: on stderr in a sentence, on stdout the last lines of its log."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        error = hub.servers.get(found.id).last_error
    if common.json:
        print_json(error)
    elif error is None:
        print(f"nbhub: {found.name} is {found.status}, and has not failed", file=sys.stderr)
    else:
        print(f"{word(error.at)}  {word(error.message)}", file=sys.stderr)
        print(*map(word, (error.log or "").splitlines()), sep="\n")


@servers.command("create")
def create(
    name: str | None = None,
    /,
    *,
    template: Annotated[str | None, Option("make it of this template, in place of a name")] = None,
    application: str = "jupyterlab",
    hardware: Annotated[str | None, Option("by default what is marked so")] = None,
    start: Annotated[bool, Option("start it too, and wait until it runs")] = False,
    open: Annotated[bool, Option("start it too, and show it in a browser")] = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Make a server: of a template, or with one of its own that has its name."""
    if (name is None) is (template is None):
        raise UsageProblem("a server has either a NAME, or that of its --template")
    with common.hub() as hub:
        if template is not None:
            made = hub.servers.launch(hub.templates.find(template, prefix=True))
        else:
            hardware = hardware or next((one.id for one in hub.hardware() if one.default), "")
            made = hub.servers.create(name or "", application_type=application, hardware=hardware)
        if start or open:
            return _started(hub, made, open, waiting, common)
        common.show(made)
        return Exit.DONE


@servers.command("start")
def start(server: str, /, *, open: Opens = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Start a server, and wait until it runs."""
    with common.hub() as hub:
        return _started(hub, hub.servers.find(server, prefix=True), open, waiting, common)


def _started(hub: Hub, server: Server, open: bool, waiting: Waiting, common: Common) -> int:
    operation = hub.servers.start(server)
    if waiting.no_wait:
        return begun(operation, common)
    running = follow(operation, waiting.timeout)
    if open:
        show_url(running.url)
    if common.json:
        print_json(running)
    else:
        print(running.url)
    return Exit.DONE


@servers.command("stop")
def stop(server: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Stop a server; a start that is under way is cancelled."""
    with common.hub() as hub:
        operation = hub.servers.stop(hub.servers.find(server, prefix=True))
        if waiting.no_wait:
            return begun(operation, common)
        stopped = follow(operation, waiting.timeout)
        if common.json:
            print_json(stopped)
    return Exit.DONE


@servers.command("delete")
def delete(server: str, /, *, yes: Yes = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Delete a server, by its whole name or id. One that runs is stopped first."""
    with common.hub() as hub:
        found = hub.servers.find(server)
        require_yes(found.name, yes=yes)
        return deleted(hub.servers.delete(found), common, waiting)


@servers.command("open")
def open(server: str, /, *, common: Common = COMMON) -> None:
    """Show a server in a browser, and print its address."""
    with common.hub() as hub:
        print(hub.servers.open(hub.servers.find(server, prefix=True)).url)


@servers.command("share")
def share(
    server: str,
    /,
    *,
    look: Annotated[bool, Option("make no link if there is none")] = False,
    common: Common = COMMON,
) -> None:
    """Show the link that shares a running server, and with whom it is shared."""
    with common.hub() as hub:
        common.show(hub.servers.share(hub.servers.find(server, prefix=True), look=look))


@servers.command("unshare")
def unshare(
    server: str,
    /,
    *,
    email: Annotated[str | None, Option("from this person alone")] = None,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Take back the link, and everybody's access."""
    with common.hub() as hub:
        return deleted(hub.servers.unshare(hub.servers.find(server, prefix=True), email=email), common, waiting)


@servers.command("shares")
def shares(*, limit: Limit = None, common: Common = COMMON) -> None:
    """List the servers that are shared."""
    with common.hub() as hub:
        common.list(hub.servers.shares(), "name users groups url expires_at", limit)
