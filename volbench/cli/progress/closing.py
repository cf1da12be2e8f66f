"""Base class of progress displays: a context manager that closes itself."""

from abc import ABC, abstractmethod
from typing import TypeVar

Kept = TypeVar("Kept", bound="Closing")


class Closing(ABC):
    """Closed when the ``with`` block ends; does not handle errors."""

    @abstractmethod
    def close(self) -> None:
        """Restore the terminal."""

    def __enter__(self: Kept) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
