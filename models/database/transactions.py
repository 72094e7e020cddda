"""A transaction whose connection always goes back to the pool or ends, whatever happens to it.

Piccolo's own keeps the connection, and stays "active" for the task, when its commit or rollback fails: each lost
connection would make the pool smaller until nothing is left of it.
"""

import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Literal

import asyncpg
from piccolo.engine.postgres import PostgresTransaction

from models.database.engine import CONNECTION_PROBLEMS, DB, lent_connection, ruins


class Transaction(PostgresTransaction):
    """One transaction of this task; like any use of the database it ends in time. Never await but queries inside."""

    def __init__(self) -> None:
        super().__init__(DB, allow_nested=False)
        self._running = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Transaction":
        await self._running.enter_async_context(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        await self._running.__aexit__(kind, error, traceback)
        return False

    @contextlib.asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        async with lent_connection() as self.connection:
            self.transaction = self.connection.transaction()
            await self.transaction.start()
            # Not kept here: what resets the variable refers to what it is reset from.
            before = self.engine.current_transaction.set(self)
            try:
                yield
            except BaseException as error:
                # Where the connection is lost the server rolls back; the first error is the one to tell.
                if not ruins(error):
                    with contextlib.suppress(*CONNECTION_PROBLEMS):
                        await self.transaction.rollback()
                raise
            else:
                await self.transaction.commit()
            finally:
                self.engine.current_transaction.reset(before)


async def fetch(statement: str, *parameters: object) -> list[asyncpg.Record]:
    """Run one statement, in the transaction of this task or else on a connection lent for it alone."""
    transaction: PostgresTransaction | None = DB.current_transaction.get()
    if transaction is not None:
        found: list[asyncpg.Record] = await transaction.connection.fetch(statement, *parameters)
        return found
    async with lent_connection() as connection:
        return await connection.fetch(statement, *parameters)
