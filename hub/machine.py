"""The servers of this machine: which of them live, and ending them with proof.

`python -m hub.machine DATA_DIR` ends them all; the exit code says whether that is proven.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from hub import processes
from hub.limits import kill_members, remove_cgroups
from hub.processes import Process
from hub.records import Failure, Record, Records, ServerBusy
from hub.redaction import redact

# Marks every process of a server that has no sandbox to be found by.
SERVER_ID_VARIABLE = "NBHUB_SERVER_ID"
LOG_LINES, LOG_BYTES = 40, 8 * 1024
# Said in place of log lines that may quote secrets: those that nobody knows any more, and those of a living server,
# which JupyterHub knows alone.
NO_LOG = "The log is not shown: the server had secrets, and JupyterHub was restarted since it was started."
LOG_WITH_SECRETS = "The log is not shown while the server runs: it has secrets, which its programs may write there."
GRACE_SECONDS = 2.0
# As shells count: 128 and the number of the signal.
_KILLED = 128 + signal.SIGKILL
_PROOF_SECONDS = 10.0
# So long after the grace a monitor has to end its server; then it is killed itself, which ends the server as well.
_INSIST_SECONDS = 4.0
_LOOK_AGAIN_SECONDS = 0.02


class Machine:
    """What the spawners and the truth service know and do about the processes of this machine."""

    def __init__(self, records: Records) -> None:
        self.records = records

    async def end(
        self, server_id: str, up_to_generation: int | None = None, grace: float = GRACE_SECONDS
    ) -> list[Record]:
        """End this server's process; return what still lives after a bounded time (empty: proven gone).

        With `up_to_generation`, later generations stay untouched and unreported, and none up to it will start again.
        Raises `ServerBusy` for what lives without a record.
        """
        if up_to_generation is not None:
            with self.records.fence(server_id) as fence:
                fence.raise_to(up_to_generation + 1)
        began = time.monotonic()
        seen: set[Process] = set()
        # Also of a server that is gone already: a monitor that was killed left its cgroups.
        last = self.records.last(server_id)
        asked: set[tuple[Process, signal.Signals]] = set()
        while True:
            record = self.records.living(server_id)
            if record is not None and up_to_generation is not None and record.generation > up_to_generation:
                return []
            # What was seen must be gone too, whatever is noted of it by then.
            if record is not None:
                seen |= self._processes(record)
                last = record
            cgroups = last.cgroups if last is not None else ()
            alive = {process for process in seen if processes.is_alive(process)}
            if not alive and not self.records.is_alive(server_id):
                self.records.forget(server_id)
                remove_cgroups(cgroups)
                return []
            waited = time.monotonic() - began
            if waited > _PROOF_SECONDS:
                if last is None:
                    raise ServerBusy(f"something of server {server_id} lives that no record names")
                return [last]
            if waited < grace:
                orders = [(process, signal.SIGTERM) for process in self._programs(record)]
            else:
                # A monitor that is asked to end ends all of its server first, and itself when that is gone.
                monitor = record.process if record is not None and waited < grace + _INSIST_SECONDS else None
                orders = [(one, signal.SIGTERM if one == monitor else signal.SIGKILL) for one in alive]
                kill_members(cgroups)
            for process, number in orders:
                if (process, number) not in asked:
                    processes.send(process, number)
                    asked.add((process, number))
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def keep_failure(
        self,
        server_id: str,
        generation: int,
        reason: str,
        secrets: Iterable[str] = (),
        *,
        log: bool = True,
        ended: bool = False,
    ) -> Failure:
        """Keep why this server failed, with its last log lines where they may be shown, and return it.

        `ended`: its program did, so the exit code that is noted is this one's.
        """
        failure = Failure(
            generation=generation,
            reason=redact(reason, secrets),
            log=redact(_last_lines(self.records.log_file(server_id)), secrets) if log else NO_LOG,
            exit_code=self.records.exit_code(server_id) if ended else None,
        )
        self.records.write_failure(server_id, failure)
        return failure

    def how_it_ended(self, server_id: str) -> str:
        """Return how this server's last process ended, as far as it is known."""
        code = self.records.exit_code(server_id)
        if code is None:
            return "it was killed"
        return f"exit code {code}" + (", as when memory runs out" if code == _KILLED else "")

    def ending(self, server_id: str, generation: int) -> Failure | None:
        """Return why a generation of this server failed or ended, if that is known.

        Where its spawner left no note, because JupyterHub ended with it or has not looked yet, one is left here.
        """
        noted = self.records.failure(server_id, generation)
        if noted is not None:
            return noted
        record = self.records.last(server_id)
        if record is None or record.generation != generation or self.records.is_alive(server_id):
            return None
        # Its tokens are found by their form; secrets of people have none.
        reason = f"The server ended by itself ({self.how_it_ended(server_id)})"
        if self.records.exit_code(server_id) is None and processes.is_of_an_earlier_start(record.process):
            reason = (
                "The server ended with the machine or the container that JupyterHub runs in, which was started anew"
            )
        return self.keep_failure(server_id, generation, reason, log=not record.secrets, ended=True)

    def log(self, server_id: str) -> str | None:
        """Return the last lines of a living server's log, without what looks like a secret; None where none lives.

        Secrets of people look like nothing: of a server that was given any, the reason is told instead.
        """
        record = self.records.living(server_id)
        if record is None:
            return None
        lines = _last_lines(self.records.log_file(server_id))
        if self.records.last(server_id) != record:
            # What was read may be the log of its next process, of which this record says nothing.
            return None
        return LOG_WITH_SECRETS if record.secrets else redact(lines)

    def _processes(self, record: Record) -> set[Process]:
        """Return the living processes that hold this server up."""
        found = {record.process} if processes.is_alive(record.process) else set()
        if record.spawner == "bubblewrap":
            # The kernel ends a sandbox with its first process, whatever else runs in it.
            init = self.records.sandbox_init(record.server_id)
            return found | ({init} if init is not None else set())
        return found | set(processes.with_environment(f"{SERVER_ID_VARIABLE}={record.server_id}"))

    def _programs(self, record: Record | None) -> list[Process]:
        """Return the processes that can end a server gracefully: what the monitor, or the sandbox, was started for."""
        if record is None:
            return []
        if record.spawner != "bubblewrap":
            return processes.children(record.process.pid)
        init = self.records.sandbox_init(record.server_id)
        return processes.children(init.pid) if init is not None else []


def _last_lines(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            if size > LOG_BYTES:
                # A line that is cut may begin in the middle of a secret, which then is not found.
                file.readline()
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])


async def _end_all(data_dir: Path) -> int:
    machine = Machine(Records(data_dir))
    left = await asyncio.gather(*(machine.end(record.server_id) for record in machine.records.all_living()))
    return 1 if any(left) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_end_all(Path(sys.argv[1]))))
