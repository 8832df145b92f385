"""How long work says how far it is, without knowing who listens."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from edgecomp.errors import TimeIsUp

Item = TypeVar("Item")


class Track(Protocol):
    """Hands on `items`, one by one, while showing `what`, in which unit (`teacher, steps`), and how many of `total` are done."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]: ...


STEPS = ", steps"
"""How what is tracked ends where it is training, a step an item."""

Note = Callable[[str], None]
"""Takes a sentence that a user should read now."""


def unheard(sentence: str) -> None:
    """A Note that nobody takes: `sentence` is dropped."""


def silent(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """A Track that shows nothing: the `items`, whatever `what` and `total` say of them."""
    return iter(items)


class Listener(Protocol):
    """Who is told how long work goes: a terminal, a notebook, or nobody. What is told of is never waited for."""

    @property
    def track(self) -> Track: ...

    def started(self, what: str, reason: str) -> None:
        """A step, a target or a trial begins: `what` it is, and the `reason` it has to."""

    def note(self, text: str) -> None:
        """A sentence, `text`, that a user should read now."""

    def say(self, text: str) -> None:
        """Something by the way, `text`."""

    def failed(self, what: str, how: str, why: str) -> None:
        """A part, `what`, could not be done; the others go on. how: in a word or two, such as `not run`; why:
        of one line or several."""


class Silent:
    """Nobody is told; notes are kept."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.track: Track = silent

    def started(self, what: str, reason: str) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def say(self, text: str) -> None:
        pass

    def failed(self, what: str, how: str, why: str) -> None:
        self.notes.append(f"{what} {how}: {why}")


class Until:
    """A listener who hears what another does, and ends a loop of training steps once the time is up."""

    def __init__(self, listener: Listener, deadline: float) -> None:
        """deadline: by time.monotonic(). The loop that it comes in raises TimeIsUp."""
        self.started, self.note = listener.started, listener.note
        self.say, self.failed = listener.say, listener.failed
        self._track, self._deadline = listener.track, deadline

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """As a Track hands on `items`, of `total`, of `what`. Raises TimeIsUp."""
        for done, item in enumerate(self._track(items, what, total)):
            if what.endswith(STEPS) and time.monotonic() > self._deadline:
                raise TimeIsUp(
                    f"{what.removesuffix(STEPS)}: the time is up after {done:,} of {total:,} steps"
                )
            yield item
