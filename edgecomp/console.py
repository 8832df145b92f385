"""What a person sees: progress while it works, a table at the end."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from edgecomp.artifacts import Step

Item = TypeVar("Item")

LOG_EVERY_S = 30.0

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "INVALID": "magenta"}


class Screen:
    """Progress on standard error; results on standard output, or on standard error where JSON is asked for."""

    def __init__(self, *, json: bool) -> None:
        self.err = Console(stderr=True, highlight=False)
        self.out = self.err if json else Console(highlight=False)
        self._began = time.monotonic()

    def started(self, step: Step, reason: str) -> None:
        elapsed = time.monotonic() - self._began
        self.err.print(f"[dim]{elapsed:6.1f} s[/] [bold]{step.name}[/] [dim]({reason})[/]")

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """A bar while the items are worked on, of which nothing is left; in a log, a line now and then."""
        if not self.err.is_terminal:
            yield from self._logged(items, what, total)
            return
        columns = (
            TextColumn("         {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as progress:
            yield from progress.track(items, total=total, description=what)

    def _logged(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        last = time.monotonic()
        for done, item in enumerate(items):
            if time.monotonic() - last > LOG_EVERY_S:
                last = time.monotonic()
                self.err.print(f"[dim]{last - self._began:6.1f} s   {what}: {done} of {total}[/]")
            yield item

    def note(self, text: str) -> None:
        self.err.print(text, style="yellow", markup=False)


def verdict_table(verdict: dict[str, Any]) -> Table:
    """Target × metric × limit × verdict."""
    from edgecomp.report.evidence import estimate_text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("metric", no_wrap=True)
    table.add_column("measured [bounds]", overflow="fold")
    table.add_column("limit", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    last = None
    for row in verdict["gates"]:
        if row["target"] != last:
            last = row["target"]
            table.add_row(f"[bold]{last}[/]")
        colour = COLOURS[row["verdict"]]
        estimate = estimate_text(row["estimate"]).replace("[", "\\[")
        table.add_row(
            row["name"],
            estimate,
            row["limit"],
            f"[{colour}]{row['verdict']}[/]{' waived' if row['waiver'] else ' advises' if row.get('severity') == 'warn' else ''}",
        )
    return table


def bench_table(content: dict[str, Any]) -> Table:
    """Metric, figure with its interval, how much it rests on, and the target's budget."""
    from edgecomp.report.bench_page import rows_of

    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        padding=(0, 1, 0, 0),
        title=f"{content['target']['name']}: {content['model']}"
        + ("" if content["target"]["isa"] == "host" else " (times are this machine's)"),
        title_justify="left",
        caption=escape(
            "".join(f"made up: {name}, {what}\n" for name, what in content["made_up"].items())
            + f"grade {content['quality']['grade']}: {content['quality']['advice']}"
        ),
        caption_justify="left",
    )
    table.add_column("metric", no_wrap=True)
    table.add_column("median of restarts [95 %]", overflow="fold")
    table.add_column("from", overflow="fold")
    table.add_column("budget", no_wrap=True)
    for row in rows_of(content):
        table.add_row(row.metric, row.figure.replace("[", "\\["), row.rests_on, row.budget)
    return table
