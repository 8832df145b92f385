"""Lists for the terminal: targets, recipes, metrics, networks, what the doctor found, and the history."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from edgecomp.api.data.clean import CleanResult
from edgecomp.api.doctor import Finding
from edgecomp.api.shrink.search import SearchResult
from edgecomp.artifacts.places import check_writable
from edgecomp.cli.terminal import COLOURS, Screen, line, say
from edgecomp.config.schema import names_in, shipped
from edgecomp.config.target import load_target, target_names
from edgecomp.data.cleaning.findings import RULES
from edgecomp.errors import UsageError, nearest
from edgecomp.gate.verdict import EXIT_CODES
from edgecomp.history import store as history
from edgecomp.history.store import Result, drift
from edgecomp.metrics.registry import ACCURACY, CPU_P50, FILE_SIZE, LATENCY_P50, METRICS, PEAK
from edgecomp.metrics.units import UNITS, format_value
from edgecomp.models import TABLE, arguments_of
from edgecomp.operations.drift import Drift, sentences

SHOWN = (CPU_P50, ACCURACY)  # of history, a line a result in 80 columns


def show_targets(screen: Screen, as_json: bool) -> None:
    """The device profiles and their budgets, on `screen`, or where `as_json` as a line of JSON."""
    profiles = [load_target(name) for name in target_names()]
    if as_json:
        say([profile.model_dump(mode="json") for profile in profiles])
        return
    for profile in profiles:
        screen.out.print(line((profile.name, "bold"), "  ", (profile.description, "dim")))
        place = f", {profile.cores} core(s)" if profile.cores else ""
        place += f", {profile.memory} of memory" if profile.memory else ""
        screen.out.print(
            f"  runtime {profile.runtime}, {profile.threads} thread(s){place}, scheme {profile.scheme}"
        )
        for metric, row in profile.budget_rows().items():
            screen.out.print(f"  {metric:<20} {row.text}")


def show_findings(findings: Sequence[Finding], screen: Screen, as_json: bool) -> None:
    """What this machine has, the `findings`, on `screen`, or where `as_json` as a line of JSON."""
    if as_json:
        say({finding.what: finding._asdict() for finding in findings})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = {True: line(("yes", "green")), False: line(("no", "yellow")), None: line("")}[
            finding.available
        ]
        table.add_row(finding.what, mark, finding.detail)
    screen.out.print(table)


def show_history(
    store: Path,
    target: str | None,
    last: int | None,
    metrics: list[str] | None,
    plot: Path | None,
    screen: Screen,
    as_json: bool,
) -> None:
    """A line a result of the history `store` on `screen`, oldest first, and what has drifted; where `as_json`
    as a line of JSON, too. target: of this one only, None for all; last: the newest so many; metrics: the
    columns, None for SHOWN; plot: a file to draw them in. Raises UsageError for a metric that does not
    exist, or a plot that cannot be written."""
    if plot is not None:
        check_writable(plot, "--plot", history.files(store))
    found = history.results(store, target, last, screen.note)
    chosen = metrics or list(SHOWN)
    for metric in chosen:
        if metric not in METRICS:
            known = nearest(metric, METRICS) or f"; there are {', '.join(METRICS)}"
            raise UsageError(f"no such metric: {metric!r}{known}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", min_width=10)
    table.add_column("verdict", no_wrap=True)
    for name in chosen:
        table.add_column(name, no_wrap=True)
    for of in dict.fromkeys(result.target for result in found):
        table.add_row(line((of, "bold")))
        for result in (one for one in found if one.target == of):
            colour = COLOURS.get(result.verdict or "", "default")
            what = line(f"{result.kind} {Path(result.model).name} ", (result.sha256[:8], "dim"))
            what.no_wrap, what.overflow = True, "ellipsis"
            table.add_row(
                result.at[:16].replace("T", " "),
                what,
                line((result.verdict or "–", colour)),
                *(_told(result, metric) for metric in chosen),
            )
    screen.out.print(table)
    drifted = [
        text
        for place, result in enumerate(found)
        if not any(later.target == result.target and later.kind == "compare" for later in found[place + 1 :])
        for text in drift(result, found[:place])
    ]
    for text in drifted:
        screen.note(f"{text}.")
    if plot is not None:
        from edgecomp.history.trend import write_trend

        write_trend(found, chosen, plot)
        screen.out.print(f"Plot: {plot}", soft_wrap=True)
    if as_json:
        say(
            {
                "exit_code": 0,
                "results": [
                    asdict(result) | {"figures": [entry.as_json() for entry in result.figures]}
                    for result in found
                ],
                "drift": drifted,
            }
        )


def _told(result: Result, metric: str) -> str:
    """Its own figure, and what it is over its baseline's."""
    of = [entry.figure for entry in result.figures if entry.metric == metric]
    own = [format_value(one.estimate, one.dimension) for one in of if one.dimension not in history.COMPARED]
    ratio = [f"({format_value(one.estimate, one.dimension)})" for one in of if one.dimension == "log_ratio"]
    return " ".join(own[:1] + ratio[:1]) or "–"


def show_recipes(screen: Screen, as_json: bool) -> None:
    """The shipped recipes, and what each is for, on `screen`, or where `as_json` as a line of JSON."""
    from edgecomp.files.yaml_files import read_yaml

    folder = shipped("recipes")
    found = {
        name: str(read_yaml(folder / f"{name}.yaml").get("description", "")) for name in names_in(folder)
    }
    _list(found, screen, as_json)


def show_metrics(screen: Screen, as_json: bool) -> None:
    """Every metric: the units a threshold may have, which way is better, and what it is, on `screen`, or
    where `as_json` as a line of JSON."""
    units = {
        name: [unit for unit, (dimension, _) in UNITS.items() if dimension == metric.dimension]
        for name, metric in METRICS.items()
    }
    if as_json:
        say(
            {
                name: {"units": units[name], "better": one.better, "title": one.title}
                for name, one in METRICS.items()
            }
        )
        return
    table = _table("metric", "units", "better", "what it is")
    for name, metric in METRICS.items():
        table.add_row(line((name, "bold")), ", ".join(units[name]), metric.better, metric.title)
    screen.out.print(table)


def show_networks(screen: Screen, as_json: bool) -> None:
    """The networks by name, with their arguments and defaults, on `screen`, or where `as_json` as a line of
    JSON."""
    found = {name: arguments_of(name) for name in TABLE}
    if as_json:
        say(found)
        return
    shown = {
        name: ", ".join(f"{key}={value}" for key, value in given.items()) for name, given in found.items()
    }
    _list(shown, screen, False)


def show_drift(found: Drift, screen: Screen, as_json: bool) -> int:
    """How far columns have moved on `screen`, or where `as_json` as a line of JSON; returns the exit code. found: of all."""
    code = EXIT_CODES[found.verdict]
    if as_json:
        say(found.as_json() | {"exit_code": code})
        return code
    table = _table("column", "PSI [bounds]", "KS distance", "limit", "verdict")
    for one in found.columns:
        distance = "–" if one.distance is None else f"{one.distance:.3f}"
        bounds = f"{one.psi:.3f} [{one.low:.3f}, {one.high:.3f}]"
        table.add_row(
            line((one.name, "bold")),
            bounds,
            distance,
            f"≤ {found.limit:g}",
            line((one.verdict, COLOURS[one.verdict])),
        )
    screen.out.print(table)
    for said in sentences(found):
        screen.out.print(f"{said}.", markup=False)
    rows = f"{found.rows[0]:,} rows of the reference, {found.rows[1]:,} now"
    screen.out.print(line((found.verdict, f"bold {COLOURS[found.verdict]}"), f" {rows}."))
    return code


def show_clean(found: CleanResult, screen: Screen, as_json: bool) -> None:
    """What cleaning found, by rule, on `screen`, or where `as_json` as a line of JSON. found: of all rules."""
    if as_json:
        files = [str(file) for file in found.files]
        say(
            {
                **found.summary,
                "exit_code": 0,
                "table": str(found.table),
                "files": files,
                "notes": list(found.notes),
            }
        )
        return
    table = _table("rule", "found", "removed", "what it is")
    for name, of in found.summary["rules"].items():
        table.add_row(line((name, "bold")), f"{of['found']:,}", f"{of['removed']:,}", RULES[name].title)
    screen.out.print(table if found.findings else "Nothing was found.")
    for said in found.notes:
        if said.startswith("personal data"):
            screen.out.print(f"{said}.", markup=False)
    left = ", ".join(f"{count:,} in {name}" for name, count in found.summary["examples"].items())
    screen.out.print(f"Left: {left}: {', '.join(map(str, found.files))}.", markup=False)
    screen.out.print(
        f"Every finding: {found.table}. Write `keep` as its action where one should stay, and give the table to --findings.",
        markup=False,
    )


def _list(found: dict[str, str], screen: Screen, as_json: bool) -> None:
    if as_json:
        say(found)
        return
    table = _table("name", "")
    for name, text in found.items():
        table.add_row(line((name, "bold")), text)
    screen.out.print(table)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


MOST_ROWS = 12  # of a front


def show_search(result: SearchResult, screen: Screen, as_json: bool) -> None:
    """The front of a search's `result`, what it took, and what to run next, on `screen`, and where `as_json` as a line of JSON."""
    shown = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    shown.add_column("student", overflow="fold")
    for name in ("score %", "p50", "memory", "file"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in result.front[-MOST_ROWS:]:
        figures = one.cost.figures[result.target] if one.cost else {}
        named = line((result.space.told(one.point), "bold" if one is result.chosen else ""))
        costs = (
            format_value(figures.get(metric), METRICS[metric].dimension)
            for metric in (LATENCY_P50, PEAK, FILE_SIZE)
        )
        shown.add_row(named, f"{one.score:.2f}", *costs)
    became = [one.became for one in result.candidates]
    counts = ", ".join(f"{became.count(word)} {word}" for word in dict.fromkeys(became))
    took = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.0f} s"
        for name, seconds in result.spent.items()
    )
    screen.out.print(f"Pareto front on {result.target}, validation split, the fastest first")
    screen.out.print(shown)
    screen.out.print(f"{len(became)} candidates: {counts}. It took: {took}.")
    for one in [one for one in result.candidates if one.score is None][:1]:
        screen.out.print(f"Not trained, for example: {result.space.told(one.point)}: {one.why}")
    noisy = sum(
        any(grade in "CD" for grade in one.cost.grades.values() if grade)
        for one in result.candidates
        if one.cost
    )
    if noisy:
        screen.note(
            f"{noisy} of {len(became)} candidates were measured on a contended host (grade C or D): their wall times are their neighbours' as well"
        )
    for told in result.cost_model:
        screen.out.print(f"{told}.")
    screen.out.print(f"Ended: {result.stopped}.")
    screen.out.print(f"The front, drawn: {result.page}", soft_wrap=True)
    if result.chosen is None:
        screen.note("no candidate was trained: nothing is chosen")
    else:
        screen.out.print(f"Chosen: {result.space.told(result.chosen.point)}. To its verdict:")
        screen.out.print(f"  {result.next_command}", soft_wrap=True)
    if as_json:
        say(
            {
                "exit_code": 0,
                "folder": str(result.folder),
                "recipe": result.recipe and str(result.recipe),
                "chosen": result.chosen and result.chosen.point,
                "front": [{"point": one.point, "score": one.score} for one in result.front],
                "candidates": len(became),
                "stopped": result.stopped,
                "spent": dict(result.spent),
            }
        )
