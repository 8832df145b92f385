"""What was measured before, in one SQLite file: appended to by every run, bench and comparison, and never judged by.

Writers take turns (WAL, one transaction a result), and what a killed one had not committed was never there. History is for looking
back, and for a drift that no single comparison shows; a verdict always comes of a baseline that was run again.

Format 2: figures with their confidence, whether their bounds are one-sided or two-sided, and how many restarts or examples they are
from. Format 1 is read, and gets its new columns with the next result; what it did not keep is filled in on reading (`_as_it_was`).
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
from edgecomp.metrics.units import DIFFERENCE, format_value
from edgecomp.stats.figure import Figure

FORMAT_VERSION = 2
STORE = Path("runs") / "history.sqlite"
WAIT_S = 30.0  # for another writer
APPLICATION = int.from_bytes(b"edgc")  # of PRAGMA application_id; the first histories have none

COMPARED = (
    "log_ratio",
    "multiple",
    "ratio",
    "points",
    DIFFERENCE,
)  # dimensions of a figure over another model's
Note = Callable[[str], None]

SCHEMA = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, model TEXT NOT NULL,
    sha256 TEXT NOT NULL, baseline_sha256 TEXT, verdict TEXT, source TEXT NOT NULL, edgecomp TEXT NOT NULL
);
CREATE TABLE figures (
    result INTEGER NOT NULL REFERENCES results (id), metric TEXT NOT NULL, dimension TEXT NOT NULL,
    value REAL NOT NULL, lower REAL, upper REAL, margin REAL, verdict TEXT,
    confidence REAL, sided TEXT, count INTEGER, unit TEXT
);
CREATE INDEX by_result ON figures (result);
"""


SINCE_2 = ("confidence REAL", "sided TEXT", "count INTEGER", "unit TEXT")  # columns that format 1 lacks


class Entry(NamedTuple):
    """A figure of a result. Of a comparison's check, in log_ratio or another dimension of COMPARED: the `margin` it was held to, and
    the verdict."""

    metric: str
    figure: Figure
    margin: float | None = None
    verdict: str | None = None

    @property
    def value(self) -> float:
        assert self.figure.estimate is not None
        return self.figure.estimate

    def is_like(self, other: "Entry") -> bool:
        """Whether this and the `other` are of the same metric, in the same dimension."""
        return (self.metric, self.figure.dimension) == (other.metric, other.figure.dimension)

    def as_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            **self.figure.model_dump(),
            "margin": self.margin,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Result:
    """kind: run, bench or compare; sha256: of the model's files (`identity`); source: the folder that holds the rest."""

    kind: str
    target: str
    model: str
    sha256: str
    source: str
    figures: tuple[Entry, ...]
    verdict: str | None = None
    baseline_sha256: str | None = None
    at: str = ""


def identity(files: Mapping[str, str]) -> str:
    """One digest of a model's files (name → sha256), whatever they are called."""
    digests = [files[name] for name in sorted(files, key=lambda name: (Path(name).suffix, name))]
    return digests[0] if len(digests) == 1 else digest_of(digests)


def files(store: Path) -> list[Path]:
    """What SQLite keeps of the history `store`: the file, and what it writes first."""
    return [store, *(store.with_name(f"{store.name}-{kind}") for kind in ("wal", "shm", "journal"))]


def append(result: Result, store: Path) -> None:
    """Adds `result` to the history `store`, which is made; figures that are not finite are left out. Raises
    UsageError where the file is no history, or cannot be written."""
    at = result.at or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with _opened(store, to_write=True) as database, database:
        row = (at, result.kind, result.target, result.model, result.sha256, result.baseline_sha256)
        added = database.execute(
            "INSERT INTO results (at, kind, target, model, sha256, baseline_sha256, verdict, source, edgecomp) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, result.verdict, result.source, __version__),
        )
        database.executemany(
            "INSERT INTO figures (result, metric, dimension, value, lower, upper, margin, verdict, confidence, sided, count, unit) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(added.lastrowid, *_row(entry)) for entry in result.figures if math.isfinite(entry.value)],
        )


def results(
    store: Path, target: str | None = None, last: int | None = None, refused: Note = lambda _: None
) -> list[Result]:
    """Of the history `store`, oldest first; the `last` so many, of `target` only, all where these are None.
    Rows that no edgecomp has written are told to `refused`, and the others stand.

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
            _result(store, row, _entries(store, row[0], row[2], database, refused), refused)
            for row in reversed(found)
        )
        return [one for one in kept if one is not None]


def _result(store: Path, row: tuple[Any, ...], figures: tuple[Entry, ...], refused: Note) -> Result | None:
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


def _row(entry: Entry) -> tuple[Any, ...]:
    """As the table has its columns."""
    one = entry.figure
    bounds = (one.estimate, one.low, one.high)
    return (entry.metric, one.dimension, *bounds, entry.margin, entry.verdict,
            one.confidence, one.sided, one.n, one.unit)  # fmt: skip


def _entries(
    store: Path, result: int, kind: Any, database: sqlite3.Connection, refused: Note
) -> tuple[Entry, ...]:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    since = "confidence, sided, count, unit" if version > 1 else "NULL, NULL, NULL, NULL"
    rows = database.execute(
        f"SELECT metric, dimension, value, lower, upper, margin, verdict, {since} FROM figures WHERE result = ?",
        (result,),
    )
    found = []
    for row in rows:
        *told, confidence, sided, count, unit = row
        metric, dimension, value, lower, upper, margin, verdict = told
        if why := _not_a_figure(*told) or _not_known(metric, confidence, sided, count, unit):
            refused(f"{store}: a figure of result {result} is left out: {why}")
            continue
        if sided is None:
            confidence, sided = _as_it_was(kind, margin)
        figure = Figure(
            estimate=value,
            low=lower,
            high=upper,
            dimension=dimension,
            n=count or 0,
            unit=unit or ("exact" if lower is not None and lower == upper else "restarts"),
            confidence=confidence,
            sided=sided,
        )
        found.append(Entry(metric, figure, margin, verdict))
    return tuple(found)


def _as_it_was(kind: Any, margin: float | None) -> tuple[float | None, str]:
    """Confidence and sides of a figure that format 1 kept: bench's were two-sided, all others one-sided, each at 95 %; a check's own
    confidence was not kept."""
    return (0.95 if margin is None else None), ("two" if kind == "bench" else "one")


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


def _not_known(metric: str, confidence: Any, sided: Any, count: Any, unit: Any) -> str:
    """Why what a figure is worth is not known, or nothing; all may be lacking, of format 1."""
    if confidence is not None and not (isinstance(confidence, int | float) and 0 < confidence < 1):
        return f"the confidence of {metric} is {_short(confidence)}"
    if sided not in (None, "one", "two"):
        return f"the bounds of {metric} are {_short(sided)}-sided"
    if count is not None and not isinstance(count, int):
        return f"{metric} is from {_short(count)}"
    return "" if unit in (None, "restarts", "examples", "exact") else f"{metric} is from {_short(unit)}"


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
    """Makes the tables of a new file, adds columns to one of format 1, and marks one that was made before histories were marked."""
    database.execute("PRAGMA journal_mode = WAL")
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        if database.execute("PRAGMA user_version").fetchone() == (1,):
            for column in SINCE_2:
                database.execute(f"ALTER TABLE figures ADD COLUMN {column}")
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
    new, first = not tables and version == 0, version >= 1 and {"results", "figures"} <= tables
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
    for entry in result.figures:
        if entry.figure.dimension != "log_ratio" or entry.margin is None:
            continue
        steps = [entry]
        seen, wanted = {result.sha256}, result.baseline_sha256
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            taken = [
                (one, step)
                for one in earlier
                if one.sha256 == wanted and one.baseline_sha256 != wanted and one.verdict != "INVALID"
                for step in one.figures
                if step.is_like(entry)
            ]
            if not taken:
                break
            before, step = taken[-1]  # the newest
            steps.append(step)
            wanted = before.baseline_sha256
        total = sum(step.value for step in steps)
        half = math.sqrt(sum((((step.figure.high or 0) - (step.figure.low or 0)) / 2) ** 2 for step in steps))
        if len(steps) > 1 and total - half > entry.margin:
            shown, least, margin = (
                format_value(value, "log_ratio") for value in (total, total - half, entry.margin)
            )
            found.append(
                f"{result.target}: {METRICS[entry.metric].title} has gone up by {shown} (at least {least}) over {len(steps)} "
                f"releases, which no single margin of {margin} has shown"
            )
    return found
