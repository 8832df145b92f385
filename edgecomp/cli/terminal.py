"""Progress bars and result tables. Every string is shown as it is, whoever wrote it: there is no markup."""

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from edgecomp.errors import EdgecompError
from edgecomp.text import json_line, terminal

if TYPE_CHECKING:
    from edgecomp.gate.document import VerdictDocument

Item = TypeVar("Item")

LOG_EVERY_S = 30.0
UNREAD = "what was said could not be written: nobody reads it any more"

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "INVALID": "magenta"}


class Console(rich.console.Console):
    """A console without markup: what it is given as a string, in a table as well, is text, and nothing that a terminal obeys."""

    def render_str(self, text: str, **given: Any) -> Text:
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(terminal(text), **(given | plain))

    def on_broken_pipe(self) -> None:
        """Where nobody reads any more rich would end with 1, which is FAIL."""
        raise EdgecompError(UNREAD)


def line(*parts: str | tuple[str, str]) -> Text:
    """The `parts` of a line in one, each a text, or a text and its style."""
    return Text.assemble(
        *(terminal(part) if isinstance(part, str) else (terminal(part[0]), part[1]) for part in parts)
    )


class Screen:
    """Progress on standard error; results on standard output, or on standard error where JSON is asked for."""

    def __init__(self, *, json: bool) -> None:
        self.err = Console(stderr=True)
        self.out = self.err if json else Console()
        self.notes: list[str] = []  # for those who ask for JSON
        self._began = time.monotonic()
        self._bars = threading.RLock()  # one at a time: what other threads do is told as in a log

    def started(self, what: str, reason: str) -> None:
        elapsed = time.monotonic() - self._began
        self.err.print(line((f"{elapsed:6.1f} s ", "dim"), (what, "bold"), (f" ({reason})", "dim")))

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """The `items`, with a bar while they are worked on, of which nothing is left; in a log, a line now
        and then. what: it says of them; total: how many they are."""
        if not self.err.is_terminal or not self._bars.acquire(blocking=False):
            yield from self._logged(items, what, total)
            return
        try:
            yield from self._with_a_bar(items, what, total)
        finally:
            self._bars.release()

    def _with_a_bar(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        columns = (
            TextColumn("         {task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:", style="dim"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as progress:
            yield from progress.track(items, total=total, description=terminal(what))

    def _logged(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        began = last = time.monotonic()
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - last > LOG_EVERY_S and done:
                last = now
                left = (now - began) / done * (total - done)
                self.say(f"{now - self._began:6.1f} s   {what}: {done} of {total}, about {left:.0f} s left")
            yield item

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.err.print(text, style="yellow")

    def say(self, text: str) -> None:
        """What is said by the way."""
        self.err.print(text, style="dim")

    def failed(self, what: str, how: str, why: str) -> None:
        """What could not be done; of several lines, such as a stack, each is shown as one."""
        first, *rest = why.splitlines() or [""]
        self.err.print(line((what, "bold"), (f" {how}", "yellow"), f": {first}"))
        for one in rest:
            self.err.print(one)


def say(content: object) -> None:
    """`content`, strict JSON, as the last line of standard output."""
    write(sys.stdout, json_line(json.dumps(content, allow_nan=False)) + "\n")


def write(stream: TextIO, text: str) -> None:
    """`text` to `stream`, at once. Raises EdgecompError where nobody reads it any more."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise EdgecompError(UNREAD) from error


def _head(what: str, bounds: str) -> Text:
    """Of a column of figures, on two lines: what they are, and of which confidence."""
    return Text("\n").join([line(what), line(f"[{bounds}]")])


def verdict_table(verdict: "VerdictDocument") -> Table:
    """Target × metric × limit × verdict, of the checks of `verdict`."""
    from edgecomp.report.figures import column

    shown = column(check.estimate for check in verdict.checks)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("metric", no_wrap=True)
    table.add_column(_head("measured", shown.bounds), no_wrap=True)
    table.add_column("limit", overflow="fold")
    table.add_column("verdict", min_width=len("INCONCLUSIVE"))
    last = None
    for check in verdict.checks:
        if check.target != last:
            last = check.target
            table.add_row(line((last, "bold")))
        counts = " waived" if check.waiver else " advises" if check.severity == "warn" else ""
        verdict_text = line((check.verdict, COLOURS[check.verdict]), counts)
        table.add_row(check.name, shown.text(check.estimate), check.limit, verdict_text)
    return table


def bench_table(content: dict[str, Any]) -> Table:
    """Metric, figure with its interval, how much it rests on, and the target's budget. content: bench.json's."""
    from edgecomp.report.bench_page import bounds_of, rows_of

    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        padding=(0, 1, 0, 0),
        title=f"{content['target']['name']}: {content['model']}"
        + ("" if content["target"]["isa"] == "host" else " (times are this machine's)"),
        title_justify="left",
        caption=Text("\n").join(
            [
                *(line(f"made up: {name}, {what}") for name, what in content["made_up"].items()),
                line(f"grade {content['quality']['grade']}: {content['quality']['advice']}"),
            ]
        ),
        caption_justify="left",
    )
    table.add_column("metric", no_wrap=True)
    table.add_column(_head("median of restarts", bounds_of(content)), no_wrap=True)
    table.add_column("from", overflow="fold")
    table.add_column("budget", no_wrap=True)
    for row in rows_of(content):
        table.add_row(row.metric, row.figure, row.rests_on, row.budget)
    return table
