"""How long work says how far it is, without knowing who listens."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """Hands on `items`, one by one, while showing `what`, in which unit (`teacher, steps`), and how many of `total` are done."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]: ...


Note = Callable[[str], None]
"""Takes a sentence that a user should read now."""


def unheard(sentence: str) -> None:
    pass


def silent(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    return iter(items)
