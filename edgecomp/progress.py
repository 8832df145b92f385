"""How long work says how far it is, without knowing who listens; and work in several threads, which ends together."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class Stop:
    """Tells work in other threads to end before its time."""

    def __init__(self) -> None:
        self.is_told = False
        self._ends: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def tell(self) -> None:
        """Calls everything that ends work which is under way, once."""
        with self._lock:
            self.is_told, ends, self._ends = True, self._ends, []
        for end in ends:
            end()

    @contextmanager
    def by(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `end`, which must not wait, is what ends it. Raises Stopped where that was told already."""
        with self._lock:
            if self.is_told:
                raise Stopped
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends = [one for one in self._ends if one is not end]

    def check(self) -> None:
        """Raises Stopped where it was told."""
        if self.is_told:
            raise Stopped


class Stopped(BaseException):
    """What unwinds a thread whose work is to end before its time: no error, and nobody is told of it."""


def at_once(work: Mapping[str, Sequence[Callable[[], None]]], stop: Stop) -> list[BaseException]:
    """Does all `work`, a thread a name, what one name has one after another; returns what was raised, in the order of `work`.

    What one thread raises ends that thread alone. stop: is told where the calling thread is interrupted, which raises then, when all have ended.
    """
    raised: dict[str, BaseException] = {}

    def do(name: str) -> None:
        try:
            for one in work[name]:
                stop.check()
                one()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised, or told, by whoever called
            raised[name] = error

    threads = [threading.Thread(target=do, args=(name,), name=name, daemon=True) for name in work]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        stop.tell()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    return [raised[name] for name in work if name in raised]
