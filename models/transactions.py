"""A transaction whose connection always goes back to the pool, whatever happens to it.

Piccolo's own keeps the connection, and stays "active" for the task, when its commit or rollback fails: each lost
connection would make the pool smaller until nothing is left of it.
"""

import contextlib
from types import TracebackType
from typing import Literal

from piccolo.engine.postgres import PostgresTransaction

from models.database import CONNECTION_PROBLEMS, DB

# Who waits longer for a connection is told that the database is busy.
ACQUIRE_SECONDS = 5.0


class Transaction(PostgresTransaction):
    """One transaction of this task. Never await anything but queries inside."""

    def __init__(self) -> None:
        super().__init__(DB, allow_nested=False)

    async def __aenter__(self) -> "Transaction":
        if self.engine.pool is None:
            raise RuntimeError("the pool of connections was not started")
        self.connection = await self.engine.pool.acquire(timeout=ACQUIRE_SECONDS)
        try:
            self.transaction = self.connection.transaction()
            await self.transaction.start()
        except BaseException:
            await self.engine.pool.release(self.connection)
            raise
        self.context = self.engine.current_transaction.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        try:
            if error is None:
                await self.transaction.commit()
            else:
                # Where the connection is lost the server has rolled back; the first error is the one to tell.
                with contextlib.suppress(*CONNECTION_PROBLEMS):
                    await self.transaction.rollback()
        finally:
            self.engine.current_transaction.reset(self.context)
            if self.engine.pool is not None:
                await self.engine.pool.release(self.connection)
        return False
