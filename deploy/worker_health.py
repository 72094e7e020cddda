"""Whether the worker of this container works: it was seen of late, as the API's `/healthcheck` asks of any."""

import asyncio
import socket
import sys

from models.database import engine
from models.domain.settings import Settings
from models.ledger import heartbeats


async def works(settings: Settings, host: str) -> bool:
    """Whether a worker of this host works. Raises where the database cannot be asked."""
    async with engine.pool(settings, patience=5):
        return await heartbeats.worker_works(host)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(works(Settings.from_environment(), socket.gethostname())) else 1)
