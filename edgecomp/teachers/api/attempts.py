"""One request, asked again after what may pass, with a wait that grows and that chance spreads (Brooker 2015, "Exponential backoff and jitter")."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecomp.errors import TeacherError
from edgecomp.teachers.api.asked import Answer, Asked, Request
from edgecomp.teachers.api.limits import Budget, Rate
from edgecomp.teachers.api.protocols import TABLE, Misfit
from edgecomp.teachers.api.transport import Http, Transport, Unanswered

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # statuses that may be another the next time
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
SHOWN = 300  # characters of what a service says went wrong


@dataclass
class Asker:
    """Asks. secret: the key, None where there is none; call: the user's function, of kind `function`; sleep, chance: how to wait, and a number from 0
    to 1, for tests."""

    asked: Asked
    budget: Budget
    secret: str | None = None
    call: Callable[[Any], Any] | None = None
    transport: Transport = field(default_factory=Http)
    sleep: Callable[[float], object] = time.sleep
    chance: Callable[[], float] = random.random
    retried: Counter[str] = field(default_factory=Counter)  # by why
    lost: int = 0  # tries of requests that were not answered in the end

    def __post_init__(self) -> None:
        limits, self._lock = self.asked.limits, threading.Lock()
        self._requests = Rate(limits.requests_per_minute, sleep=self.sleep)
        self._tokens = Rate(limits.tokens_per_minute, sleep=self.sleep)

    def __repr__(self) -> str:
        return f"Asker({self.asked.kind})"

    def ask(self, request: Request, values: Any) -> tuple[Answer, int]:
        """The answer to `request`, and how many tries it took. values: of the example, what a function of no prompt is given. Raises TeacherError,
        SpentError."""
        made, why = 0, ""
        try:
            while made <= self.asked.limits.retries:
                self._requests.take()
                self._tokens.take(request.tokens)
                self.budget.reserve(request.tokens)
                made += 1
                answer, wait, why = self._try(request, values)
                if answer is not None:
                    return answer, made
                with self._lock:
                    self.retried[why.partition(":")[0]] += 1
                if made <= self.asked.limits.retries:
                    self.sleep(self._wait(made, wait))
            raise TeacherError(
                f"the teacher does not answer: tried {made} times, at last: {why}. What was answered is kept: run again when it does"
            )
        except BaseException:
            with self._lock:
                self.lost += made
            raise

    def _try(self, request: Request, values: Any) -> tuple[Answer | None, float | None, str]:
        """The answer; or None, how long to wait, where the service says so, and why it is to be asked again."""
        tokens_in = tokens_out = 0
        try:
            content, wait, why = self._once(request, values)
            if why:
                return None, wait, why
            answer = TABLE[self.asked.kind].read(self.asked, content, request.prompt)
            tokens_in, tokens_out = answer.tokens_in, answer.tokens_out
            return answer, None, ""
        except Misfit as error:
            raise TeacherError(f"the teacher's answer cannot be one: {error}") from None
        except Unanswered as error:
            return None, None, self._without_secret(str(error))
        finally:
            self.budget.settle(request.tokens, tokens_in, tokens_out)

    def _wait(self, number: int, told: float | None) -> float:
        longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (number - 1))
        return max(self.chance() * longest, min(told or 0.0, LONGEST_WAIT_S))

    def _once(self, request: Request, values: Any) -> tuple[Any, float | None, str]:
        """What came back; or how long to wait, where the service says so, and why it is to be asked again."""
        if self.call is not None:
            return self.call(request.prompt if request.prompt else values), None, ""
        status, header, body = self.transport.post(
            self.asked.url.rstrip("/") + TABLE[self.asked.kind].path(self.asked),
            self._header(request),
            json.dumps(request.body, ensure_ascii=False).encode("utf-8", "replace"),
            self.asked.limits.timeout_s,
        )
        told = {name.lower(): value for name, value in header.items()}
        if status in AGAIN:
            return None, _seconds(told.get("retry-after", "")), f"status {status}: {self._said(body)}"
        if not 200 <= status < 300:
            hint = {
                401: "is the key right (api.key)?",
                403: "may the key do that?",
                404: "are api.url and api.model right?",
            }.get(status, "")
            moved = (
                f"it points to {self._without_secret(told.get('location', ''))[:SHOWN]}, and a redirect is not followed"
                if 300 <= status < 400
                else ""
            )
            raise TeacherError(
                f"the teacher refuses (status {status}): {hint or moved or self._said(body)}{'' if not hint else ' ' + self._said(body)}"
            )
        try:
            return json.loads(body), None, ""
        except (ValueError, RecursionError):
            return None, None, f"no JSON: {self._said(body)}"

    def _header(self, request: Request) -> dict[str, str]:
        found = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": request.id,
            "User-Agent": "edgecomp",
        }
        return found | ({"Authorization": f"Bearer {self.secret}"} if self.secret else {})

    def _said(self, body: bytes) -> str:
        """What a service says, on a line, without the key."""
        text = body[: 4 * SHOWN].decode("utf-8", "replace")
        try:
            content = json.loads(body)
            error = content.get("error", content) if isinstance(content, Mapping) else content
            text = str(error.get("message", error)) if isinstance(error, Mapping) else str(error)
        except (ValueError, RecursionError):
            pass
        return self._without_secret(" ".join(text.split()))[:SHOWN] or "nothing said"

    def _without_secret(self, text: str) -> str:
        return text.replace(self.secret, "…") if self.secret else text


def _seconds(text: str) -> float | None:
    """Of a Retry-After that is a number; one that is a date is left to the backoff."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return None
