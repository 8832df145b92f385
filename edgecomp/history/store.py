"""What was measured before, in one SQLite file: appended to by every run, bench and comparison, and never judged by.

Writers take turns (WAL, one transaction a result), and what a killed one had not committed was never there. History is for looking
back, and for a drift that no single comparison shows; a verdict always comes of a baseline that was run again.
"""

import datetime
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp import __version__
from edgecomp.artifacts.places import check_apart
from edgecomp.errors import UsageError, nearest
from edgecomp.files.writing import digest_of
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value

FORMAT_VERSION = 1
STORE = Path("runs") / "history.sqlite"
WAIT_S = 30.0  # for another writer
APPLICATION = int.from_bytes(b"edgc")  # of PRAGMA application_id; the first histories have none

COMPARED = ("log_ratio", "multiple", "ratio", "points")  # dimensions of a figure over another model's
Note = Callable[[str], None]

SCHEMA = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, model TEXT NOT NULL,
    sha256 TEXT NOT NULL, baseline_sha256 TEXT, verdict TEXT, source TEXT NOT NULL, edgecomp TEXT NOT NULL
);
CREATE TABLE figures (
    result INTEGER NOT NULL REFERENCES results (id), metric TEXT NOT NULL, dimension TEXT NOT NULL,
    value REAL NOT NULL, lower REAL, upper REAL, margin REAL, verdict TEXT
);
CREATE INDEX by_result ON figures (result);
"""


class Figure(NamedTuple):
    """`dimension` as in metrics.UNITS, or log_ratio: to the baseline, with the `margin` it was held to."""

    metric: str
    dimension: str
    value: float
    lower: float | None
    upper: float | None
    margin: float | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Result:
    """kind: run, bench or compare; sha256: of the model's files (`identity`); source: the folder that holds the rest."""

    kind: str
    target: str
    model: str
    sha256: str
    source: str
    figures: tuple[Figure, ...]
    verdict: str | None = None
    baseline_sha256: str | None = None
    at: str = ""


def identity(files: Mapping[str, str]) -> str:
    """One digest of a model's files (name → sha256), whatever they are called."""
    digests = [files[name] for name in sorted(files, key=lambda name: (Path(name).suffix, name))]
    return digests[0] if len(digests) == 1 else digest_of(digests)


def files(store: Path) -> list[Path]:
    """What SQLite keeps of a history: the file, and what it writes first."""
    return [store, *(store.with_name(f"{store.name}-{kind}") for kind in ("wal", "shm", "journal"))]


def append(result: Result, store: Path) -> None:
    """Raises UsageError where the file is no history, or cannot be written."""
    at = result.at or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with _opened(store, to_write=True) as database, database:
        row = (at, result.kind, result.target, result.model, result.sha256, result.baseline_sha256)
        added = database.execute(
            "INSERT INTO results (at, kind, target, model, sha256, baseline_sha256, verdict, source, edgecomp) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, result.verdict, result.source, __version__),
        )
        database.executemany(
            "INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(added.lastrowid, *figure) for figure in result.figures if math.isfinite(figure.value)],
        )


def results(
    store: Path, target: str | None = None, last: int | None = None, refused: Note = lambda _: None
) -> list[Result]:
    """Oldest first; the last so many. Rows that no edgecomp has written are told to `refused`, and the others stand.

    Raises UsageError where there is no history, or nothing of that target in it.
    """
    if not store.is_file():
        raise UsageError(
            f"no history in {store}: `edgecomp run`, `bench` and `compare` begin one; or name another with --store"
        )
    with _opened(store, to_write=False) as database:
        found = database.execute(
            "SELECT id, at, kind, target, model, sha256, baseline_sha256, verdict, source FROM results "
            "WHERE ?1 IS NULL OR target = ?1 ORDER BY id DESC LIMIT ?2",
            (target, -1 if last is None else last),
        ).fetchall()
        if target is not None and not found:
            rows = database.execute("SELECT DISTINCT target FROM results ORDER BY target").fetchall()
            known = [name for (name,) in rows if isinstance(name, str)]
            raise UsageError(
                f"no results for target {target!r} in {store}{nearest(target, known)}; there are {', '.join(known) or 'none'}"
            )
        kept = (
            _result(store, row, _figures(store, row[0], database, refused), refused)
            for row in reversed(found)
        )
        return [one for one in kept if one is not None]


def _result(store: Path, row: tuple[Any, ...], figures: tuple[Figure, ...], refused: Note) -> Result | None:
    key, at, kind, target, model, sha256, baseline, verdict, source = row
    words = {"at": at, "kind": kind, "target": target, "model": model, "sha256": sha256, "source": source}
    wrong = [f"{name} is {_short(value)}" for name, value in words.items() if not isinstance(value, str)]
    may_lack = {"baseline_sha256": baseline, "verdict": verdict}
    wrong += [
        f"{name} is {_short(value)}" for name, value in may_lack.items() if not isinstance(value, str | None)
    ]
    if wrong:
        refused(f"{store}: result {key} is left out: {', '.join(wrong)}, where a text belongs")
        return None
    return Result(
        kind=kind,
        target=target,
        model=model,
        sha256=sha256,
        source=source,
        figures=figures,
        verdict=verdict,
        baseline_sha256=baseline,
        at=at,
    )


def _figures(store: Path, result: int, database: sqlite3.Connection, refused: Note) -> tuple[Figure, ...]:
    rows = database.execute(
        "SELECT metric, dimension, value, lower, upper, margin, verdict FROM figures WHERE result = ?",
        (result,),
    )
    found = []
    for row in rows:
        if why := _not_a_figure(*row):
            refused(f"{store}: a figure of result {result} is left out: {why}")
        else:
            found.append(Figure(*row))
    return tuple(found)


def _not_a_figure(metric: Any, dimension: Any, value: Any, *ends: Any) -> str:
    """Why a row of the table is no figure, or nothing."""
    if metric not in METRICS:
        return f"there is no metric {_short(metric)}"
    if dimension not in (METRICS[metric].dimension, *COMPARED):
        return f"{metric} is no {_short(dimension)}"
    *numbers, verdict = ends
    for number in (value, *(one for one in numbers if one is not None)):
        if not isinstance(number, int | float) or not math.isfinite(number):
            return f"{metric} is {_short(number)}"
    return "" if isinstance(verdict, str | None) else f"the verdict on {metric} is {_short(verdict)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


@contextmanager
def _opened(store: Path, *, to_write: bool) -> Iterator[sqlite3.Connection]:
    """A history that is there, or to_write a new one; what is read is not written to."""
    try:
        check_apart(store, "--store")
        if to_write:
            store.parent.mkdir(parents=True, exist_ok=True)
        mode = "rwc" if to_write else "ro"
        database = sqlite3.connect(f"{store.resolve().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S)
        database.text_factory = lambda text: text.decode(errors="replace")
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"{store} cannot be opened: {error}") from error
    try:
        _check_own(database, store)
        if to_write:
            _prepare(database)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > FORMAT_VERSION:
            raise UsageError(
                f"{store} is of format {version}, newer than this edgecomp reads ({FORMAT_VERSION}): upgrade edgecomp"
            )
        yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter of a message that quotes the file
        raise UsageError(
            f"{store} is no history of edgecomp's, or cannot be used: {error}; name another with --store"
        ) from error
    finally:
        database.close()


def _prepare(database: sqlite3.Connection) -> None:
    """Makes the tables of a new file, and marks one that was made before histories were marked."""
    database.execute("PRAGMA journal_mode = WAL")
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        if database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
            database.execute(f"PRAGMA application_id = {APPLICATION}")


def _check_own(database: sqlite3.Connection, store: Path) -> None:
    """Raises UsageError where another program has made the file; nothing is written."""
    with database:
        database.execute("BEGIN")  # one state of it, for another process may be making it now
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    new, first = not tables and version == 0, version == 1 and {"results", "figures"} <= tables
    if application != APPLICATION and not (application == 0 and (new or first)):
        raise UsageError(
            f"{store} is no history of edgecomp's, but another program's database (application_id {application}, tables "
            f"{', '.join(sorted(tables)) or 'none'}): name another with --store"
        )


def drift(result: Result, past: Iterable[Result]) -> list[str]:
    """Where releases that each kept within a margin have together left it, in words; `result` is the newest, and not among `past`.

    Steps are chained by the models themselves: what a candidate was compared with was once a candidate itself. Log ratios
    add up; their intervals are of different gates, so half their widths add up in quadrature.
    """
    earlier = [one for one in past if one.kind == "compare" and one.target == result.target]
    found = []
    for figure in (one for one in result.figures if one.dimension == "log_ratio" and one.margin is not None):
        steps: list[Figure] = [figure]
        seen, wanted = {result.sha256}, result.baseline_sha256
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            taken = [
                (one, step)
                for one in earlier
                if one.sha256 == wanted and one.baseline_sha256 != wanted and one.verdict != "INVALID"
                for step in one.figures
                if step[:2] == figure[:2]
            ]
            if not taken:
                break
            before, step = taken[-1]  # the newest
            steps.append(step)
            wanted = before.baseline_sha256
        total = sum(step.value for step in steps)
        half = math.sqrt(sum((((step.upper or 0) - (step.lower or 0)) / 2) ** 2 for step in steps))
        assert figure.margin is not None
        if len(steps) > 1 and total - half > figure.margin:
            shown, least, margin = (
                format_value(value, "log_ratio") for value in (total, total - half, figure.margin)
            )
            found.append(
                f"{result.target}: {METRICS[figure.metric].title} has gone up by {shown} (at least {least}) over {len(steps)} "
                f"releases, which no single margin of {margin} has shown"
            )
    return found
