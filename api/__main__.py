"""Runs the API: `python -m api`. One process; more of them may run beside each other."""

import sys

import uvicorn

from api.app import create_app
from models import logging
from models.settings import Settings, SettingsInvalid

# Open requests get this long when the process is told to stop; streams are cut then.
SHUTDOWN_SECONDS = 8


def main() -> int:
    """Serve until told to stop; the exit code tells whether it could."""
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.configure(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        # Addresses of proxies are nobody's to claim: nothing here depends on the peer's address.
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=30,
        ws="none",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
