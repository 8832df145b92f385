"""What a check says: rows, each with a figure and a verdict, kept on disk after every check."""

import json
import math
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT = 1
"""gpu.json: format, environment, checks: [{name, seconds, rows: [Row]}]."""

NO_GPU = "no GPU here, or a PyTorch that cannot use it"
OVER = "the time is over: give it more with --minutes"
TITLES = ("check", "what", "value", "limit", "verdict")


@dataclass(frozen=True)
class Row:
    """One figure. verdict: PASS or FAIL where there is a limit, `measured` where there is none, `not run`, or `failed`, which is
    an exception of the check's own; `reason` says why, or what the figure is of."""

    name: str
    value: float | str | None
    unit: str = ""
    limit: str = ""
    verdict: str = "measured"
    reason: str = ""

    @property
    def is_bad(self) -> bool:
        return self.verdict in ("FAIL", "failed")


@dataclass(frozen=True)
class Check:
    """`run` yields rows; what it has yielded stays when it raises. `needs_gpu`: without one it is not run."""

    name: str
    run: Callable[[Any], Iterator[Row]]
    needs_gpu: bool = True


@dataclass(frozen=True)
class Done:
    name: str
    seconds: float
    rows: list[Row]


def at_least(name: str, value: float, limit: float, unit: str, reason: str = "") -> Row:
    """A NaN is no PASS."""
    return Row(name, value, unit, f"≥ {limit:g} {unit}".strip(), "PASS" if value >= limit else "FAIL", reason)


def at_most(name: str, value: float, limit: float, unit: str, reason: str = "") -> Row:
    return Row(name, value, unit, f"≤ {limit:g} {unit}".strip(), "PASS" if value <= limit else "FAIL", reason)


def expected(name: str, value: str, wanted: str, reason: str = "") -> Row:
    """Of a word, such as another verdict."""
    return Row(name, value, "", wanted, "PASS" if value == wanted else "FAIL", reason)


def not_run(name: str, reason: str) -> Row:
    return Row(name, None, verdict="not run", reason=reason)


def run_all(
    checks: Sequence[Check],
    sitting: Any,
    has_gpu: bool,
    deadline: float,
    keep: Callable[[list[Done]], None],
) -> list[Done]:
    """Every check in turn, whatever becomes of the others. deadline: of time.monotonic(), after which none begins. keep: is given
    all that is there so far, after every row."""
    done: list[Done] = []
    for check in checks:
        began = time.monotonic()
        rows: list[Row] = []
        for row in _rows(check, sitting, has_gpu, began > deadline):
            rows.append(row)
            keep([*done, Done(check.name, round(time.monotonic() - began, 1), rows)])
        done.append(Done(check.name, round(time.monotonic() - began, 1), rows))
    return done


def _rows(check: Check, sitting: Any, has_gpu: bool, is_over: bool) -> Iterator[Row]:
    if check.needs_gpu and not has_gpu:
        yield not_run(check.name, NO_GPU)
    elif is_over:
        yield not_run(check.name, OVER)
    else:
        yield from isolated(check, sitting)


def isolated(check: Check, sitting: Any) -> Iterator[Row]:
    """The check's rows; an exception is one more."""
    try:
        yield from check.run(sitting)
    except Exception as error:  # noqa: BLE001 - whatever a driver, a compiler or a kernel raises: the other checks go on
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:300]
        reason = f"{type(error).__name__}: {said} ({Path(where.filename).name}:{where.lineno})"
        yield Row(check.name, None, verdict="failed", reason=reason)


def write(folder: Path, environment: Mapping[str, Any], done: Sequence[Done]) -> None:
    """gpu.json and gpu.md."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "environment": environment, "checks": [_plain(one) for one in done]}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "gpu.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "gpu.md").write_text(markdown(environment, done), encoding="utf-8")


def kept(folder: Path, environment: Mapping[str, Any]) -> list[Done]:
    """What an earlier sitting left there, on the same card and with the same versions; of others nothing, for their figures
    cannot stand beside these."""
    file = folder / "gpu.json"
    if not file.is_file():
        return []
    content = json.loads(file.read_text(encoding="utf-8"))
    if (content["format"], content["environment"]) != (FORMAT, dict(environment)):
        return []
    return [
        Done(one["name"], one["seconds"], [Row(**row) for row in one["rows"]]) for one in content["checks"]
    ]


def in_order(names: Sequence[str], before: Sequence[Done], now: Sequence[Done]) -> list[Done]:
    """The checks of two sittings, the later one's where both have one."""
    found = {one.name: one for one in (*before, *now)}
    return [found[name] for name in names if name in found]


def _plain(done: Done) -> dict[str, Any]:
    """As JSON has it, which knows no NaN."""
    content = asdict(done)
    for row in content["rows"]:
        if isinstance(row["value"], float) and not math.isfinite(row["value"]):
            row["value"] = str(row["value"])
    return content


def markdown(environment: Mapping[str, Any], done: Sequence[Done]) -> str:
    """The page: where it ran, what came out, and all that was not run or failed, with the reason."""
    rows = [row for one in done for row in one.rows]
    counts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    lines = [
        "# On a GPU",
        "",
        f"`python benchmarks/gpu`, {sum(one.seconds for one in done):.0f} s of checks: {said}.",
        "",
    ]
    lines += _table(("where", ""), ((name, _words(value)) for name, value in environment.items()))
    lines += _table(
        TITLES, ((one.name, row.name, shown(row), row.limit, row.verdict) for one in done for row in one.rows)
    )
    remarks = [
        (row.name, row.reason if row.verdict in ("PASS", "measured") else f"{row.verdict}: {row.reason}")
        for row in rows
        if row.reason
    ]
    lines += _table(("what", "remark"), remarks)
    lines += _table(("check", "took"), ((one.name, f"{one.seconds:.1f} s") for one in done))
    return "\n".join(lines).rstrip() + "\n"


def shown(row: Row) -> str:
    """The figure with its unit, to three digits."""
    if row.value is None:
        return "–"
    if isinstance(row.value, str):
        return row.value
    digits = f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.3g}"
    if row.unit == "%" and 99 < row.value < 100:
        digits = f"{row.value:.2f}"
    return f"{digits} {row.unit}".strip()


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "¦") for cell in cells) + " |"

    return [line(titles), line("---" for _ in titles), *map(line, rows), ""]
