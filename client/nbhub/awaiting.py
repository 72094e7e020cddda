"""What makes `await operation` wait for its end."""

from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AsyncAwaited(Generic[T]):
    """Whoever awaits it gets what `wait` gives."""

    async def wait(self, timeout: float | None = None) -> T:
        """What it came to."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, T]:
        return self.wait().__await__()


class Awaited(Generic[T]):
    """Here one calls `wait`."""

    def wait(self, timeout: float | None = None) -> T:
        """What it came to."""
        raise NotImplementedError
