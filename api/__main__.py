"""Runs the API: `python -m api`. One process or several on one port; more of them may run beside each other."""

import gc
import os
import socket
import sys
from functools import partial

import uvicorn
from litestar import Litestar

from api import processes
from api.app import create_app
from api.http.connections import PatientProtocol, patient
from models.domain import logging, metrics
from models.domain.environment import SettingsInvalid
from models.domain.process import leave
from models.domain.settings import Settings
from workflows import runtime

# Threads talk to Vault and to file systems. When they have something to do, the event loop gets its turn this soon.
SWITCH_SECONDS = 0.0001
# So many objects are made before those that refer to each other are looked for: a list of 1,000 makes several thousand,
# and each look goes through all of them that still live.
GARBAGE_AFTER = 20_000
# The server's own turns in a second.
TICKS = 10
# Open requests get this long when the process is told to stop.
SHUTDOWN_SECONDS = 8


class Server(uvicorn.Server):
    """A server that lets streams and waiting requests go first when it is told to stop."""

    def __init__(self, app: Litestar, config: uvicorn.Config, keeper: int | None) -> None:
        """`keeper` is the parent without which this process ends, too."""
        super().__init__(config)
        self._app = app
        self._keeper = keeper

    async def on_tick(self, counter: int) -> bool:
        """Look at each connection, once a second."""
        if counter % TICKS == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, PatientProtocol):
                    connection.look()
            if self._keeper is not None and os.getppid() != self._keeper:
                # Nobody else may have the port before it is gone.
                return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; clients of streams come back to another process with the id of their last event."""
        self._app.state.services.operation_events.close()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until told to stop; the exit code tells whether it could."""
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as error:
        return refused(error)
    logging.configure(settings)
    if settings.api_processes == 1:
        return serve(settings)
    try:
        return processes.run(settings.api_processes, settings.api_host, settings.api_port, partial(serve, settings))
    except OSError as error:
        sys.stderr.write(f"{settings.api_host}:{settings.api_port}: {error}\n")
        return processes.CANNOT


def refused(error: SettingsInvalid) -> int:
    """Say what is wrong; the exit code."""
    sys.stderr.write(f"{error}\n")
    return processes.WRONG


def serve(settings: Settings, listening: socket.socket | None = None, keeper: int | None = None, place: int = 0) -> int:
    """Serve in this process, on a socket of its own or that of the process which keeps it; the exit code.

    Of several processes each has a `place`, counted from 0.
    """
    try:
        app = create_app(settings)
    except SettingsInvalid as error:
        return refused(error)
    runtime.configure()
    metrics.say_build(settings.commit)
    metrics.serve(settings.metrics_address, after=place)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_AFTER)
    # The application itself stays; nobody looks through it again.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        # What a peer says of whom it speaks for is believed of these alone.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=30,
        ws="none",
        # By its name: otherwise it depends on what else is installed.
        loop="uvloop",
        http=patient(settings.client_patience),
        limit_concurrency=settings.max_connections,
    )
    server = Server(app, config, keeper)
    server.run([listening] if listening else None)
    return 0 if server.started else processes.CANNOT


if __name__ == "__main__":
    leave(main())
