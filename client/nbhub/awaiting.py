"""What makes `await operation` wait for its end."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AsyncAwaited(ABC, Generic[T]):
    """Whoever awaits it gets what `wait` gives."""

    @abstractmethod
    async def wait(self, timeout: float | None = None) -> T:
        """What it came to."""

    def __await__(self) -> Generator[Any, None, T]:
        return self.wait().__await__()


class Awaited(ABC, Generic[T]):
    """Here one calls `wait`."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> T:
        """What it came to."""
