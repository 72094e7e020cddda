"""Starts `jupyterhub-singleuser`, and a rescue session where the person's home keeps it from serving.

`singleuser.py ARGUMENT…` runs inside the server, with the standard library and JupyterHub alone. What a person can
write into the home must not keep the person out of it: when the home takes no more, or Jupyter with what is in it does
not come to serve, Jupyter is started without it. `NBHUB_RESCUE` in its environment, and the file `Rescue.md` that it
opens, say why; the home is the directory `home` beside that file.

Jupyter is started without three things that only take time or can only fail:

- jsonschema, when it finds `rfc3987_syntax`, compiles that package's grammar: 2.7 of 4.8 seconds until a server
  answered. It serves a format ("iri") that no schema of Jupyter has, and is optional.
- jupyterlab, when it finds Node, asks yarn for its configuration: 0.5 seconds. That is for building extensions.
- what IPython 3 left in a home is not moved to where Jupyter has looked since 2015: that writes into the home.
"""

import collections
import contextlib
import ctypes
import http.client
import importlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

SERVE = "--serve"
RESCUE_VARIABLE = "NBHUB_RESCUE"
# Within the time that a start may take, with as much left for the rescue.
_SERVES_WITHIN_SECONDS = 90.0
_LOOK_AGAIN_SECONDS = 0.1
_LAST_LINES = 20
# What Jupyter needs to be able to write for a session to be of use.
_ROOM_BYTES = 64 * 1024
# Jupyter reads its own files whole, and JupyterLab hands them to the browser.
_LARGEST_SETTING_BYTES = 32 * 1024 * 1024
_MOST_SETTINGS = 10_000
_IN_SANDBOX = Path("/opt/nbhub")
_PR_SET_DUMPABLE = 4
_RESCUE_TEXT = """\
# This is a rescue session

Your server was started without your own settings, because otherwise it could not be used:

{reason}

All your files are in the directory `home`, here and in terminals. Mend or remove there what is in the way (a terminal
shows names that begin with a dot: `ls -a home`); then stop the server and start it again. What you delete here is gone
at once, and what you write outside of `home` is gone when the server stops.
"""


class Supervisor:
    """Starts Jupyter, and stays to pass on how it is asked to end and how it ended."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._jupyter: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False
        self._last_lines: collections.deque[bytes] = collections.deque(maxlen=_LAST_LINES)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def run(self) -> int:
        """Return Jupyter's exit code."""
        reason = what_is_wrong(Path.home()) or self._start(dict(os.environ))
        if reason and not self._asked_to_end:
            sys.stderr.write(f"Starting a rescue session. {reason}\n")
            self._arguments += ["--FileContentsManager.always_delete_dir=True"]
            self._start(_rescue_environment(reason))
        return self._wait()

    def _start(self, environment: dict[str, str]) -> str:
        """Start Jupyter and wait until it serves; return why it does not, or nothing."""
        command = [sys.executable, __file__, SERVE, *self._arguments]
        self._jupyter = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)  # noqa: S603 -- this file
        if self._asked_to_end:
            self._jupyter.terminate()
        telling = threading.Thread(target=self._tell, args=(self._jupyter,), daemon=True)
        telling.start()
        deadline = time.monotonic() + _SERVES_WITHIN_SECONDS
        while self._jupyter.poll() is None:
            if _serves():
                return ""
            if time.monotonic() > deadline:
                self._jupyter.kill()
                self._jupyter.wait()
                return f"Jupyter did not answer within {_SERVES_WITHIN_SECONDS:.0f} seconds."
            time.sleep(_LOOK_AGAIN_SECONDS)
        telling.join(1)
        said = b"".join(self._last_lines).decode(errors="replace")
        return (
            f"Jupyter ended while it started (exit code {self._jupyter.returncode}). The last that it said:\n\n{said}"
        )

    def _tell(self, jupyter: "subprocess.Popen[bytes]") -> None:
        assert jupyter.stderr is not None
        for line in jupyter.stderr:
            self._last_lines.append(b"    " + line)
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()

    def _wait(self) -> int:
        code = self._jupyter.wait() if self._jupyter is not None else 0
        return code if code >= 0 else 128 - code

    def _end(self, number: int, _frame: object) -> None:
        self._asked_to_end = True
        if self._jupyter is not None:
            self._jupyter.send_signal(number)


def what_is_wrong(home: Path) -> str:
    """Return what would make a session in this home useless, or nothing."""
    try:
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(bytes(_ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        return f"Nothing can be written into your home: {problem.strerror}."
    files = (Path(place, name) for place, _, names in os.walk(home / ".jupyter") for name in names)
    for file_path in itertools.islice(files, _MOST_SETTINGS):
        with contextlib.suppress(OSError):
            if file_path.stat().st_size > _LARGEST_SETTING_BYTES:
                return f"A file of Jupyter's settings is too large to be read: {file_path.relative_to(home)}."
    return ""


def _rescue_environment(reason: str) -> dict[str, str]:
    """Make an empty home that leads to the person's own; return the environment of a session in it."""
    place = Path(tempfile.mkdtemp(prefix="rescue-"))
    (place / "home").symlink_to(Path.home())
    (place / "Rescue.md").write_text(_RESCUE_TEXT.format(reason=reason))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER_CONFIG", "IPYTHON"))},
        "HOME": str(place),
        "JUPYTERHUB_ROOT_DIR": str(place),
        RESCUE_VARIABLE: reason.splitlines()[0],
    }
    if environment.get("JUPYTERHUB_DEFAULT_URL") == "/lab":
        environment["JUPYTERHUB_DEFAULT_URL"] = "/lab/tree/Rescue.md"
    return environment


def _serves() -> bool:
    """Say whether Jupyter answers where the hub will look for it."""
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    host = "127.0.0.1" if address.hostname in (None, "", "0.0.0.0") else address.hostname
    connection = http.client.HTTPConnection(host, address.port or 80, timeout=10)
    try:
        connection.request("GET", f"{os.environ['JUPYTERHUB_SERVICE_PREFIX']}api")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve() -> None:
    """Be Jupyter."""
    if Path(__file__).parent == _IN_SANDBOX:
        # Kernels run as the same user, and some are guests': they read nobody's tokens in the memory of this process.
        # Not outside of a sandbox, where a hub that is not root finds a server by what it can read of it.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    # An entry of None makes the import fail as if the package were not installed.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    search_path = os.environ.pop("PATH", os.defpath)
    os.environ["PATH"] = os.devnull
    # A server without JupyterLab is as good.
    with contextlib.suppress(ImportError):
        importlib.import_module("jupyterlab.labapp")
    os.environ["PATH"] = search_path
    application = importlib.import_module("jupyter_core.application").JupyterApp
    application.migrate_config = lambda self: None
    importlib.import_module("jupyterhub.singleuser").main()


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        del sys.argv[1]
        serve()
    else:
        sys.exit(Supervisor(sys.argv[1:]).run())
