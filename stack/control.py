"""How the command line asks a supervisor for something: a line over a socket that only its user can reach."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from stack.state import StackFailed

Restart = Callable[[str], Awaitable[None]]

_DONE = "done"


@asynccontextmanager
async def listening(socket: Path, restart: Restart) -> AsyncIterator[None]:
    """Restart what is asked for at `socket`, which is nobody else's: its caller has the claim to the stack."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            part = (await reader.readline()).decode(errors="replace").strip()
            try:
                await restart(part)
            except StackFailed as failure:
                writer.write(str(failure).encode())
            else:
                writer.write(_DONE.encode())
            await writer.drain()
        except (ValueError, ConnectionError):
            # Too long a line, or nobody waits for the answer any more.
            pass
        finally:
            writer.close()

    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, socket)
    try:
        yield
    finally:
        server.close()
        socket.unlink(missing_ok=True)


async def ask_restart(socket: Path, part: str) -> None:
    """Have a part restarted, returning when it is ready; raises `StackFailed` with what the supervisor says."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        raise StackFailed("the stack does not take requests: it is starting or ending") from None
    try:
        writer.write(f"{part}\n".encode())
        answer = (await reader.read()).decode()
    except ConnectionError:
        answer = ""
    finally:
        writer.close()
    if answer != _DONE:
        raise StackFailed(answer or "the stack ended meanwhile")
