"""`nbhub servers`."""

import sys
import time
from typing import Annotated, Literal

from nbhub import Hub
from nbhub.cli.contents import Changes, Contents
from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, NARROWED, WAITING, Common, DryRun, Limit, Narrowed, Owner, Waiting, Watch, Yes
from nbhub.cli.output import print_json, word
from nbhub.cli.watching import show_again
from nbhub.cli.working import begun, deleted, previewed, require_yes
from nbhub.errors import Conflict, NotFound
from nbhub.models import Server
from nbhub.synchronous.operations import show as show_url

servers = Commands("servers", "Servers: where one works.")
COLUMNS = "name status owner application_type url"
CONTENTS, CHANGES = Contents(), Changes()
Name = Annotated[str, Option(names="servers")]
Status = Annotated[Literal["stopped", "starting", "running", "stopping"] | None, Option("in this state alone")]
Opens = Annotated[bool, Option("show it in a browser")]
_LOOK_SECONDS = 2.0


@servers.command("list")
def list_servers(
    *,
    narrowed: Narrowed = NARROWED,
    status: Status = None,
    owner: Owner = None,
    watch: Watch = False,
    common: Common = COMMON,
) -> None:
    """List servers, by default one's own."""
    with common.hub() as hub:
        found = hub.servers.list(owner=owner, status=status, **narrowed.query())
        if watch:
            show_again(hub, found, COLUMNS, "server", narrowed.limit, common)
        else:
            common.list(found, COLUMNS, narrowed.limit)


@servers.command("show")
def show(server: Name, /, *, common: Common = COMMON) -> None:
    """Show a server."""
    with common.hub() as hub:
        common.show(hub.servers.find(server, prefix=True))


@servers.command("log")
def log(
    server: Name,
    /,
    *,
    watch: Annotated[bool, Option("go on with what it writes, until it has stopped or Ctrl-C")] = False,
    common: Common = COMMON,
) -> None:
    """Print the last lines that a server has written, and on stderr why it ended, if it has."""
    with common.hub() as hub:
        found = hub.servers.get(hub.servers.find(server, prefix=True).id)
        told: list[str] = []
        while (lines := _log_of(hub, found)) is not None:
            if not common.json:
                _print_new(told, lines)
            told = lines
            if not watch:
                break
            sys.stdout.flush()
            time.sleep(_LOOK_SECONDS)
        ended = lines is None
        found = hub.servers.get(found.id) if ended else found
    error, reason = found.last_error, found.stopped_reason
    kept = (error and error.log) or (reason and reason.log_tail)
    last = kept.splitlines() if ended and kept else told
    if common.json:
        print_json({"status": found.status, "log": last, "stopped_reason": reason, "last_error": error})
    elif ended:
        why = error or reason
        said = f"{word(why.at)}  {word(why.message)}" if why else f"nbhub: {found.name} is {found.status}"
        print(said, *([f"  {word(error.hint)}"] if error and error.hint else []), sep="\n", file=sys.stderr)
        _print_new(told, last)


def _log_of(hub: Hub, server: Server) -> list[str] | None:
    """The last lines of a server; None of one that does not run. Raises `NotFound` for one that is gone."""
    try:
        return hub.servers.log(server).splitlines()
    except Conflict:
        return None
    except NotFound as refusal:
        if refusal.code != "LOG_MISSING":
            raise
        print(f"nbhub: {refusal}", file=sys.stderr)
        return []


def _print_new(told: list[str], lines: list[str]) -> None:
    """Print what has come after the lines that were told: the longest end of those is where it goes on."""
    start = next((size for size in range(min(len(told), len(lines)), 0, -1) if told[-size:] == lines[:size]), 0)
    for line in lines[start:]:
        print(word(line))


@servers.command("create")
def create(
    name: str | None = None,
    /,
    *,
    template: Annotated[str | None, Option("make it of this template, in place of a name", names="templates")] = None,
    contents: Contents = CONTENTS,
    start: Annotated[bool, Option("start it too, and wait until it runs")] = False,
    open: Annotated[bool, Option("start it too, and show it in a browser")] = False,
    dry_run: DryRun = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Make a server: of a template, or with one of its own that has its name."""
    if (name is None) is (template is None):
        raise UsageProblem("a server has either a NAME, or that of its --template")
    if template is not None and contents != CONTENTS:
        raise UsageProblem("what a template has is changed there: nbhub templates edit")
    with common.hub() as hub:
        if template is not None:
            of = hub.templates.find(template, prefix=True)
            if dry_run:
                return previewed(hub.servers.preview_launch(of), common)
            made = hub.servers.launch(of)
        elif dry_run:
            return previewed(hub.servers.preview_create(name or "", **contents.fields(hub)), common)
        else:
            made = hub.servers.create(name or "", **contents.fields(hub))
        if start or open:
            return _started(hub, made, open, waiting, common)
        common.show(made)
        return Exit.DONE


@servers.command("edit")
def edit(server: Name, /, *, changes: Changes = CHANGES, common: Common = COMMON) -> None:
    """Change what a server is made of, from its next start on: its template, which others of one's servers may have."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        common.show(changes.made(hub, hub.templates.get(found.template_id)))
        if found.status != "stopped":
            print(f"nbhub: it is there from the next start on: nbhub servers restart {found.name}", file=sys.stderr)


@servers.command("start")
def start(
    server: Name,
    /,
    *,
    open: Opens = False,
    dry_run: DryRun = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Start a server, and wait until it runs."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        if dry_run:
            return previewed(hub.servers.preview_start(found), common)
        return _started(hub, found, open, waiting, common)


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


@servers.command("restart")
def restart(server: Name, /, *, open: Opens = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Stop a server, and start it again with what its template has by now."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        stop = hub.servers.stop(found)
        if not waiting.no_wait:
            follow(stop, waiting.timeout)
        # One that is stopping starts once it has stopped. The version that was found is an older one by now.
        return _started(hub, hub.servers.get(found.id), open, waiting, common)


@servers.command("stop")
def stop(server: Name, /, *, dry_run: DryRun = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Stop a server; a start that is under way is cancelled."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        if dry_run:
            return previewed(hub.servers.preview_stop(found), common)
        operation = hub.servers.stop(found)
        if waiting.no_wait:
            return begun(operation, common)
        stopped = follow(operation, waiting.timeout)
        if common.json:
            print_json(stopped)
    return Exit.DONE


@servers.command("delete")
def delete(
    server: Name,
    /,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Delete a server, by its whole name or id. One that runs is stopped first."""
    with common.hub() as hub:
        found = hub.servers.find(server)
        if dry_run:
            return previewed(hub.servers.preview_delete(found), common)
        require_yes(found.name, yes=yes)
        return deleted(hub.servers.delete(found), common, waiting)


@servers.command("open")
def open(server: Name, /, *, common: Common = COMMON) -> None:
    """Show a server in a browser, and print its address."""
    with common.hub() as hub:
        print(hub.servers.open(hub.servers.find(server, prefix=True)).url)


@servers.command("share")
def share(
    server: Name,
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
    server: Name,
    /,
    *,
    email: Annotated[str | None, Option("from this person alone")] = None,
    dry_run: DryRun = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Take back the link, and everybody's access."""
    with common.hub() as hub:
        found = hub.servers.find(server, prefix=True)
        if dry_run:
            return previewed(hub.servers.preview_unshare(found, email=email), common)
        return deleted(hub.servers.unshare(found, email=email), common, waiting)


@servers.command("shares")
def shares(*, owner: Owner = None, limit: Limit = None, common: Common = COMMON) -> None:
    """List the servers that are shared."""
    with common.hub() as hub:
        common.list(hub.servers.shares(owner=owner), "name users groups url expires_at", limit)


@servers.command("applications")
def applications(*, common: Common = COMMON) -> None:
    """List what a server may run, for --application, and why not where it does not run here."""
    with common.hub() as hub:
        common.list(hub.applications(), "id title default unavailable opens")


@servers.command("hardware")
def hardware(*, common: Common = COMMON) -> None:
    """List what a server may have, for --hardware, and why not where there is none."""
    with common.hub() as hub:
        common.list(hub.hardware(), "id title cpu memory gpu default unavailable")
