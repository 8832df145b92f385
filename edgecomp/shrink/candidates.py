"""Candidates: points that were measured, and what became of them; each a file of its own, so that a killed search loses none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.files.writing import write_json
from edgecomp.shrink.spaces import Point, name_of

CANDIDATE, COST = "candidate.json", "cost.json"
Work = dict[str, list[float]]
"""By kind of operator of a network: how many there are, their multiply-accumulates, and the numbers that they read and write, of one example."""
TRAINED, OVER, FAILED, ENDED = "trained", "over budget", "failed", "ended early"  # what became of one


@dataclass(frozen=True)
class Cost:
    """What an untrained student was measured to take, quantised and exported. parameters: how many; figures: by target and metric, the median over
    restarts in the metric's base unit; died: why it did not fit into a target's memory, where it did not; grades: by target, how far its times can be
    trusted (edgecomp.benchmark.quality); seconds: that measuring took; work: what the network does."""

    parameters: int
    figures: Mapping[str, Mapping[str, float]]
    died: str = ""
    grades: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    work: Work = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A point and what became of it. number: the order in which they were asked for; cost: None where it could not be built or measured; score: on
    the validation split, in per cent, None where it was not trained to its end; why: it was not; failed: it could not be, rather than may not; training_s: seconds;
    epochs: after which it was ended, for it was weak beside the others, 0 where it was not."""

    number: int
    point: Point
    cost: Cost | None
    score: float | None = None
    why: str = ""
    failed: bool = False
    training_s: float = 0.0
    epochs: int = 0

    @property
    def name(self) -> str:
        """Of its records."""
        return name_of(self.point)

    @property
    def became(self) -> str:
        """In a word or two."""
        if self.failed:
            return FAILED
        return TRAINED if self.score is not None else ENDED if self.epochs else OVER


def place_of(folder: Path, point: Point) -> Path:
    """The folder of the records of a `point`, in that of a search."""
    return folder / "points" / name_of(point)


def save(folder: Path, candidate: Candidate) -> None:
    """Keeps what became of a `candidate` in the `folder` of a search."""
    write_json(place_of(folder, candidate.point) / CANDIDATE, asdict(candidate))


def load(folder: Path, point: Point) -> Candidate | None:
    """What became of a `point`, in the `folder` of a search; None where that is not known yet. Raises FileError."""
    file = place_of(folder, point) / CANDIDATE
    return _read(file) if file.is_file() else None


def load_all(folder: Path) -> list[Candidate]:
    """Every candidate in the `folder` of a search, in the order in which they were asked for. Raises FileError."""
    found = map(_read, (folder / "points").glob(f"*/{CANDIDATE}"))
    return sorted(found, key=lambda one: (one.number, one.name))


def save_cost(folder: Path, point: Point, cost: Cost) -> None:
    """Keeps the `cost`, what a `point` was measured to take, in the `folder` of a search, before it is trained."""
    write_json(place_of(folder, point) / COST, asdict(cost))


def load_cost(folder: Path, point: Point) -> Cost | None:
    """What a `point` was measured to take, in the `folder` of a search; None where it was not measured. Raises FileError."""
    file = place_of(folder, point) / COST
    if not file.is_file():
        return None
    with shaped(file, "edgecomp search"):
        return Cost(**read_mapping(file))


def spent(found: Sequence[Candidate]) -> dict[str, float]:
    """Seconds that went into measuring, and into training, all candidates that were `found`."""
    return {
        "measuring_s": sum(one.cost.seconds for one in found if one.cost),
        "training_s": sum(one.training_s for one in found),
    }


def _read(file: Path) -> Candidate:
    with shaped(file, "edgecomp search"):
        content: dict[str, Any] = read_mapping(file)
        cost = content.pop("cost")
        return Candidate(cost=None if cost is None else Cost(**cost), **content)
