"""A context manager that closes itself at the end, however it ends."""

from abc import ABC, abstractmethod
from typing import TypeVar

Kept = TypeVar("Kept", bound="Closing")


class Closing(ABC):
    """Closed when the ``with`` block ends; says nothing about errors."""

    @abstractmethod
    def close(self) -> None:
        """Give back the terminal."""

    def __enter__(self: Kept) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
