"""What the Python API returns: results that show themselves in a notebook. Everything in them is read from the folder that holds the evidence."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp import exit_codes
from edgecomp.config.job import Job
from edgecomp.errors import RuntimeUnavailableError, UsageError, nearest
from edgecomp.gate.document import Check, Compared, VerdictDocument
from edgecomp.metrics.registry import METRICS
from edgecomp.report.bench_page import metrics_of
from edgecomp.report.figures import column, estimate_text, unit_text
from edgecomp.stats.figure import Figure

if TYPE_CHECKING:
    import pandas

COLOURS = {"PASS": "#1a7f37", "FAIL": "#cf222e", "INCONCLUSIVE": "#9a6700", "INVALID": "#8250df"}


class Figures(Mapping[str, Any]):
    """Figures by metric: `figures["latency_p99_ms"]`, and `figures["openvino-cpu"]["latency_p99_ms"]` where there are several targets."""

    def __init__(self, by_target: Mapping[str, Mapping[str, Figure]]) -> None:
        self._by_target = by_target

    def __getitem__(self, name: str) -> Any:
        """The Figure, or a target's figures by metric. Raises KeyError, with what is near, where no target has it, or several do."""
        if name in self._by_target:
            return dict(self._by_target[name])
        having = {target: found[name] for target, found in self._by_target.items() if name in found}
        if len(having) == 1:
            return next(iter(having.values()))
        if having:
            raise KeyError(f"{name} was measured on {', '.join(having)}: figures[TARGET][{name!r}]")
        raise KeyError(f"{name!r} was not measured{nearest(name, self)}")

    def __iter__(self) -> Iterator[str]:
        if len(self._by_target) == 1:
            return iter(next(iter(self._by_target.values())))
        return iter(self._by_target)

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass(frozen=True)
class Judged:
    """A verdict and its checks. folder: where the evidence is; verdict_document: what verdict.json says, derived from the raw samples;
    None where only single steps were made again."""

    folder: Path
    verdict_document: VerdictDocument | None

    @property
    def is_judged(self) -> bool:
        """Whether there is a verdict: of single steps that were made again there is none."""
        return self.verdict_document is not None

    @property
    def document(self) -> VerdictDocument:
        """All that verdict.json says. Raises UsageError where there is no verdict."""
        if self.verdict_document is None:
            raise UsageError(
                f"{self.folder}: single steps were made again, and nothing was judged: make `gate` again as well"
            )
        return self.verdict_document

    @property
    def verdict(self) -> str:
        """PASS, FAIL, INCONCLUSIVE or INVALID."""
        return str(self.document.verdict)

    @property
    def exit_code(self) -> int:
        """What the command line ends with: waivers and `on_inconclusive` count here."""
        return self.document.exit_code

    @property
    def checks(self) -> list[Check]:
        """Every check: its target, name, metric, estimate, limit, verdict, reason and sentence."""
        return list(self.document.checks)

    @property
    def next_step(self) -> str:
        """What to do now, in a sentence."""
        return self.document.next_step

    def to_pandas(self) -> "pandas.DataFrame":
        """A row a check. Raises RuntimeUnavailableError where pandas is not installed."""
        return _frame(
            {
                "target": check.target,
                "check": check.name,
                "metric": check.metric,
                **_estimate(check.estimate),
                "threshold": check.limit,
                "verdict": str(check.verdict),
                "reason": str(check.reason),
            }
            for check in self.checks
        )

    def _repr_html_(self) -> str:
        shown = column(check.estimate for check in self.checks)
        rows = "".join(
            f"<tr><td>{escape(check.target)}</td><td>{escape(check.title)}</td>"
            f"<td>{escape(shown.text(check.estimate))}</td><td>{escape(check.limit)}</td>"
            f"<td>{_badge(check.verdict)}</td></tr>"
            for check in self.checks
        )
        head = "".join(
            f"<th>{escape(name)}</th>"
            for name in ("target", "check", f"measured [{shown.bounds}]", "threshold", "verdict")
        )
        told = "".join(
            f"<p>{escape(target)}: {escape(said)}.</p>" for target, said in self.document.stand_ins.items()
        )
        return (
            f"<p>{_badge(self.verdict)} {escape(self.next_step)}</p>{told}"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{escape(str(self.folder))}</p>"
        )


@dataclass(frozen=True)
class RunResult(Judged):
    """A run. made: where only some steps were made again, their names."""

    job: Job = field(repr=False)
    made: Sequence[str] = ()
    data_notes: Sequence[str] = ()

    @property
    def report(self) -> Path:
        return self.folder / "report" / "report.html"

    @property
    def deployed(self) -> dict[str, Path]:
        """By target, the folder that goes to the device."""
        return {target.name: self.folder / "deploy" / target.name for target in self.job.targets}

    @property
    def figures(self) -> Figures:
        """Of the student that is judged."""
        by_target = self.document.figures
        judged = [target.name for target in self.job.targets]
        return Figures({name: _student(by_target[name], self.job) for name in judged if name in by_target})


@dataclass(frozen=True)
class ComparisonResult(Judged):
    """Two models against each other."""

    @property
    def compared(self) -> Compared:
        """Who was compared with whom, on what, and how long."""
        assert self.document.compared is not None
        return self.document.compared

    @property
    def report(self) -> Path:
        return self.folder / "compare.html"

    @property
    def figures(self) -> Figures:
        """Of the candidate."""
        by_target = self.document.figures
        return Figures({target: arms.get("candidate", {}) for target, arms in by_target.items()})


@dataclass(frozen=True)
class Verified(Judged):
    """A pack that holds: its digests, and the verdict that its samples give. folder: the file; is_signed: by the key that it was held
    against; edgecomp: the version that made it; judged_on: the day that its waivers were held against; notes: what else is to be said."""

    job: Job = field(repr=False)
    is_signed: bool
    edgecomp: str
    judged_on: datetime.date
    notes: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """Of `edgecomp verify`: 0 where it is signed by the reader's key, whatever the verdict is; 3 where nobody knows who made it."""
        return exit_codes.PASS if self.is_signed else exit_codes.INCONCLUSIVE


@dataclass(frozen=True)
class Benched:
    """One model file under one target. content: what bench.json holds."""

    folder: Path
    content: dict[str, Any]

    @property
    def target(self) -> str:
        return str(self.content["target"]["name"])

    @property
    def metrics(self) -> dict[str, Figure]:
        return metrics_of(self.content)


@dataclass(frozen=True)
class BenchResult:
    """What was measured of a model file, by target. errors: by target or scenario, what could not be done."""

    results: Sequence[Benched]
    errors: Mapping[str, Exception]

    @property
    def figures(self) -> Figures:
        return Figures({one.target: one.metrics for one in self.results})

    @property
    def doubts(self) -> list[str]:
        """Why what was measured cannot be believed; none where it can."""
        return [doubt for one in self.results for doubt in one.content["doubts"]]

    def to_pandas(self) -> "pandas.DataFrame":
        """A row a target and metric. Raises RuntimeUnavailableError where pandas is not installed."""
        return _frame(
            {"target": one.target, "metric": metric, **_estimate(figure)}
            for one in self.results
            for metric, figure in one.metrics.items()
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(one.target)}</td><td>{escape(METRICS[metric].title)}</td>"
            f"<td>{escape(estimate_text(figure))}</td><td>{escape(unit_text(figure))}</td></tr>"
            for one in self.results
            for metric, figure in one.metrics.items()
        )
        failed = "".join(
            f"<p>{escape(name)}: {escape(str(error))}</p>" for name, error in self.errors.items()
        )
        doubts = "".join(f"<p>{_badge('INVALID')} {escape(doubt)}</p>" for doubt in self.doubts)
        return f"{doubts}<table><tbody>{rows}</tbody></table>{failed}"


def _student(arms: Mapping[str, dict[str, Figure]], job: Job) -> dict[str, Figure]:
    from edgecomp.arms import judged

    return dict(arms.get(judged(job.recipe.quantize).name, {}))


def _estimate(figure: Figure | None) -> dict[str, Any]:
    names = ("estimate", "low", "high", "confidence", "sided")
    return {name: getattr(figure, name, None) for name in names}


def _badge(verdict: str) -> str:
    return f'<b style="color:{COLOURS.get(verdict, "inherit")}">{escape(verdict)}</b>'


def _frame(rows: Iterator[dict[str, Any]]) -> "pandas.DataFrame":
    try:
        import pandas
    except ImportError as error:
        raise RuntimeUnavailableError("a table needs pandas: pip install pandas") from error
    return pandas.DataFrame(list(rows))
