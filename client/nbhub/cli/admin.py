"""`nbhub admin`: what is for those who run Notebooks Hub."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from nbhub import Hub
from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.nouns import aware
from nbhub.cli.operations import COLUMNS as OPERATION_COLUMNS
from nbhub.cli.operations import Status as OperationStatus
from nbhub.cli.options import COMMON, NARROWED, WAITING, Common, Limit, Narrowed, Waiting, Watch, Yes
from nbhub.cli.output import print_json, print_table, word
from nbhub.cli.servers import COLUMNS, Status
from nbhub.cli.watching import show_again
from nbhub.cli.working import begun, require_yes
from nbhub.errors import Forbidden, OperationFailed

admin = Commands("admin", "Admin: for those who run Notebooks Hub.")
Owner = Annotated[str | None, Option("of this owner alone")]


@dataclass(frozen=True)
class Audited:
    """Options that say which part of the audit is meant."""

    actor: Annotated[str | None, Option("by whom: an e-mail, system, or unknown")] = None
    action: Annotated[str | None, Option("such as server.start, or request.denied")] = None
    subject: Annotated[str | None, Option("the id of what it was done to")] = None
    since: Annotated[datetime | None, Option("from this time on, such as 2027-01-31 or 2027-01-31T12:00")] = None
    until: Annotated[datetime | None, Option("before this time")] = None
    oldest: Annotated[bool, Option("the oldest first, not the newest")] = False

    def query(self) -> dict[str, Any]:
        """How the client says it."""
        return {
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "since": None if self.since is None else aware(self.since),
            "until": None if self.until is None else aware(self.until),
            "sort": "-newest" if self.oldest else None,
        }


_AUDITED = Audited()
_HEAD = re.compile(r"[1-9][0-9]{0,17}:[0-9a-f]{64}")


@contextmanager
def _as_admin(common: Common) -> Iterator[Hub]:
    """Notebooks Hub as an admin sees it: to others a list of everybody's would be one of their own."""
    with common.hub() as hub:
        me = hub.me()
        if not me.admin:
            raise Forbidden(f"{me.email} is no administrator of {hub.url}", status=403)
        yield hub


@admin.command("servers")
def list_servers(
    *,
    narrowed: Narrowed = NARROWED,
    status: Status = None,
    owner: Owner = None,
    watch: Watch = False,
    common: Common = COMMON,
) -> None:
    """List everybody's servers."""
    with _as_admin(common) as hub:
        found = hub.servers.list(owner=owner, status=status, **narrowed.query())
        if watch:
            show_again(hub, found, COLUMNS, "server", narrowed.limit, common)
        else:
            common.list(found, COLUMNS, narrowed.limit)


@admin.command("stop")
def stop(
    *,
    owner: Owner = None,
    name: Annotated[str | None, Option("with this in its name")] = None,
    all: Annotated[bool, Option("everybody's, whatever they are called")] = False,
    dry_run: Annotated[bool, Option("show which they are, and stop none")] = False,
    yes: Yes = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """Stop the servers that run or start: of one owner, of a name, or all."""
    if all is (owner is not None or name is not None):
        raise UsageProblem("whose are meant: --owner or --name, or --all")
    with _as_admin(common) as hub:
        listed = [hub.servers.list(owner=owner, q=name, status=status) for status in ("running", "starting")]
        found = [one for some in listed for one in some]
        if dry_run:
            common.table(found, COLUMNS)
            return Exit.DONE
        if not found:
            print("nbhub: none of them runs", file=sys.stderr)
            return Exit.DONE
        if not yes:
            print_table(found, COLUMNS.split(), sys.stderr)
        require_yes(f"{len(found)} servers", yes=yes, verb="stop")
        operations = [hub.servers.stop(one) for one in found]
        failed = 0
        for one, operation in zip(found, operations, strict=True):
            if waiting.no_wait:
                begun(operation, common)
                continue
            try:
                follow(operation, waiting.timeout)
            except OperationFailed as problem:
                failed += 1
                print(f"nbhub: {one.name}: {problem}", file=sys.stderr)
    return Exit.PARTLY if failed else Exit.DONE


@admin.command("ops")
def list_operations(
    *,
    status: OperationStatus = None,
    subject: Annotated[str | None, Option("the id of what it is about")] = None,
    kind: Annotated[str | None, Option("such as server.start")] = None,
    limit: Limit = 50,
    watch: Watch = False,
    common: Common = COMMON,
) -> None:
    """List everybody's operations, newest first."""
    with _as_admin(common) as hub:
        found = hub.operations.list(subject=subject, status=status, kind=kind)
        if watch:
            show_again(hub, found, OPERATION_COLUMNS, "operation", limit, common)
        else:
            common.list(found, OPERATION_COLUMNS, limit)


@admin.command("prepare")
def prepare(email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Make somebody's user in JupyterHub, home and directories, which the first start does too."""
    with _as_admin(common) as hub:
        operation = hub.initialize(email=email)
        if waiting.no_wait:
            return begun(operation, common)
        follow(operation, waiting.timeout)
        return Exit.DONE


@admin.command("release")
def release(email: str, /, *, yes: Yes = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Let another account sign in with an e-mail address. It inherits nothing; who had it is signed out."""
    with _as_admin(common) as hub:
        require_yes(email, yes=yes, verb="release")
        operation = hub.release_email(email)
        if waiting.no_wait:
            return begun(operation, common)
        follow(operation, waiting.timeout)
        return Exit.DONE


@admin.command("audit list")
def list_audit(*, which: Audited = _AUDITED, limit: Limit = 50, common: Common = COMMON) -> None:
    """List what was done or refused, by whom and to what, newest first."""
    with common.hub() as hub:
        common.list(hub.audit.list(**which.query()), "at actor action asked subject_kind subject request_id", limit)


@admin.command("audit export")
def export_audit(
    *,
    form: Annotated[Literal["csv", "jsonl"], Option("as a table, or as lines of JSON")] = "csv",
    which: Audited = _AUDITED,
    common: Common = COMMON,
) -> None:
    """Print all of it as one file, of any length."""
    with common.hub() as hub:
        for part in hub.audit.export(form, **which.query()):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


@admin.command("audit head")
def show_head(*, common: Common = COMMON) -> None:
    """Print the head of the chain of seals: keep it where who can write to the database cannot."""
    with common.hub() as hub:
        head = hub.audit.head()
        common.lines([] if head is None else [head])


@admin.command("audit verify")
def verify_audit(
    *,
    head: Annotated[str | None, Option("a file of heads that were kept, a line to a head")] = None,
    purged: Annotated[int, Option("rows of the seals up to this number may be gone")] = 0,
    common: Common = COMMON,
) -> int:
    """Find what of the audit was changed, removed, added or put elsewhere since it was sealed.

    What was cut off at the end, and a chain that was made anew, are found by a head that was kept: --head. Prints the
    new head; the exit code is 1 if anything is not as it was.
    """
    heads = [] if head is None else _heads(Path(head))
    with common.hub() as hub:
        found = hub.audit.verify(heads=heads, purged=purged)
    for problem in found.problems:
        print(f"nbhub: {word(problem.message)}", file=sys.stderr)
    if found.found > len(found.problems):
        print(f"nbhub: and {found.found - len(found.problems)} more", file=sys.stderr)
    if common.json:
        print_json(found)
    elif not found.found:
        print(
            f"nbhub: {found.rows} rows of {found.seals} seals are as they were; {found.waiting} wait", file=sys.stderr
        )
        common.lines([] if found.head is None else [found.head])
    return Exit.FAILED if found.found else Exit.DONE


def _heads(file: Path) -> list[str]:
    """The heads that a file has. Raises `UsageProblem`."""
    heads = file.read_text().split()
    wrong = [one for one in heads if not _HEAD.fullmatch(one)]
    if wrong or not heads:
        raise UsageProblem(f"{file} has no head, such as audit head prints" + (f": {word(wrong[0])}" if wrong else ""))
    return heads
