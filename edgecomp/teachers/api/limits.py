"""How fast is asked, and how much may be spent."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgecomp.errors import SpentError, UsageError
from edgecomp.teachers.api.asked import Limits
from edgecomp.teachers.api.journal import Journal

MINUTE = 60.0


@dataclass
class Rate:
    """So many a minute, of which a tenth may come at once: the generic cell rate algorithm (ITU-T I.371). clock, sleep: seconds, and how to wait."""

    per_minute: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _due: float = float("-inf")  # when the next one would come, were they all spread evenly

    def take(self, count: float = 1.0) -> None:
        """Waits until `count` more may be taken."""
        if self.per_minute is None:
            return
        apart = MINUTE / self.per_minute
        early = (max(1.0, self.per_minute / 10) - 1) * apart
        with self._lock:
            now = self.clock()
            due = max(self._due, now)
            self._due = due + count * apart
        if due - early > now:
            self.sleep(due - early - now)


class Budget:
    """What may be spent, and what was. A request is reserved by what it may take at most, and settled by what it took."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._lock = limits, threading.Lock()
        self.requests, self.tokens_in, self.tokens_out = 0, 0, 0
        self._reserved = 0

    @property
    def money(self) -> float:
        """That was spent, in the unit of the prices."""
        return self.price(self.tokens_in, self.tokens_out)

    def price(self, tokens_in: int, tokens_out: int) -> float:
        """Of so many tokens_in and tokens_out."""
        return (tokens_in * self._limits.input_price + tokens_out * self._limits.output_price) / 1e6

    def check_one(self, tokens: int) -> None:
        """Raises UsageError where it does not cover one request of `tokens`."""
        if (said := self._short(tokens)) is not None:
            raise UsageError(
                f"budget: one request takes about {tokens:,} tokens, and {said}: raise the budget"
            )

    def reserve(self, tokens: int) -> None:
        """For a try of a request that takes `tokens` at most. Raises SpentError where the budget does not cover it."""
        with self._lock:
            if (said := self._short(tokens)) is not None:
                raise SpentError(
                    f"the teacher's budget is spent: {said}. What was answered is kept: raise the budget and run again"
                )
            self.requests += 1
            self._reserved += tokens

    def settle(self, tokens: int, tokens_in: int, tokens_out: int) -> None:
        """A try for which `tokens` were reserved took tokens_in and tokens_out."""
        with self._lock:
            self._reserved -= tokens
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out

    def spent_in(self, kept: Journal) -> None:
        """Counts what earlier sittings spent, by their journal `kept`: requests and tokens."""
        self.requests += kept.tries
        self.tokens_in += sum(one.tokens_in for one in kept.answers.values())
        self.tokens_out += sum(one.tokens_out for one in kept.answers.values())

    def _short(self, tokens: int) -> str | None:
        limits, taken = self._limits, self.tokens_in + self.tokens_out + self._reserved
        if limits.requests is not None and self.requests + 1 > limits.requests:
            return f"{self.requests:,} of {limits.requests:,} requests are used"
        if limits.tokens is not None and taken + tokens > limits.tokens:
            return f"{taken:,} of {limits.tokens:,} tokens are used"
        dearest = max(limits.input_price, limits.output_price) / 1e6
        money = self.money + (self._reserved + tokens) * dearest
        if limits.money is not None and money > limits.money:
            return f"{self.money:.4f} of {limits.money:g} are spent, and one more could cost {tokens * dearest:.4f}"
        return None
