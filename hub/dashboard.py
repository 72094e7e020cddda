"""Runs one web program behind JupyterHub's sign-in: `dashboard.py PORT READY_PATH PROGRAM ARGUMENT…`.

The proxy of `jhsingle-native-proxy` would start the program at the first visit. Here it is started first and
must answer, so that "running" is true, and a program that ends takes the server with it: it is then seen
and its output is in the log. Standard library only: this file runs inside the server.
"""

import http.client
import signal
import subprocess
import sys
import time
from types import FrameType

_LOOK_AGAIN_SECONDS = 0.1
_END_SECONDS = 2.0


def answers(port: int, path: str) -> bool:
    """Say whether the program answers, whatever it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def main() -> int:
    port, ready_path, *command = sys.argv[1:]

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    started = [subprocess.Popen(command)]  # noqa: S603 -- the configured application
    try:
        while started[0].poll() is None and not answers(int(port), ready_path):
            time.sleep(_LOOK_AGAIN_SECONDS)
        if started[0].poll() is None:
            started.append(subprocess.Popen(_proxy(port)))  # noqa: S603 -- a constant
        while all(process.poll() is None for process in started):
            time.sleep(_LOOK_AGAIN_SECONDS)
        return next((process.returncode for process in started if process.returncode), 1)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _proxy(port: str) -> list[str]:
    # The program runs already: what the proxy is given to start only has to stay.
    options = ["--ip", "127.0.0.1", "--destport", port, "--no-force-alive", "--last-activity-interval", "60"]
    return ["jhsingle-native-proxy", *options, "--", "sleep", "infinity"]


if __name__ == "__main__":
    sys.exit(main())
