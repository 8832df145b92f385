"""What `edgecomp quantize` has tried, kept in the run folder, so that the same command goes on where it was."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecomp import __version__
from edgecomp.api.run import job_of
from edgecomp.errors import FileError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import digest_of, write_json
from edgecomp.gate.verdict import Verdict
from edgecomp.metrics.registry import METRICS
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.report.evidence import TRIED


@dataclass(frozen=True)
class Attempt:
    """One way: what it is called, the recipe's keys that make it, how long it took, by target the figure that decides and its verdict, and by target
    that figure, None where there is none."""

    name: str
    overrides: tuple[str, ...]
    seconds: float
    found: dict[str, str]
    verdict: str
    scores: dict[str, float | None]

    @property
    def is_the_same(self) -> bool:
        """Whether every target's check of the answers passed."""
        return bool(self.found) and all(said.endswith(Verdict.PASS) for said in self.found.values())


@dataclass
class Record:
    """`quantize.json` of a run folder: what was asked for, by its digest, and what was tried of it.

    minutes, epochs: the time that the last training was chosen for, and how long it is.
    """

    file: Path
    asked: str
    check: str
    limit: Mapping[str, Any]
    tried: list[Attempt]
    minutes: float | None = None
    epochs: int = 0

    @classmethod
    def of(cls, recipe: Path, folder: Path, check: str, limit: Mapping[str, Any]) -> "Record":
        """That of a call for the same before, or a new one. recipe: what is asked for; folder: the run's; check, limit: what decides."""
        job = fingerprinted(job_of(recipe, ()))
        asked = digest_of([job.model_dump(mode="json", exclude={"folder"}), __version__])
        new = cls(folder / TRIED, asked, check, limit, [])
        known = kept(new.file)
        if known["asked"] == asked:
            new.tried, new.minutes, new.epochs = known["tried"], known["minutes"], known["epochs"]
        return new

    def take(self, minutes: float | None) -> None:
        """Another time, of so many `minutes`, makes another training, but where one was ended before, which has time again now, and where none is needed."""
        begun = self.epochs > 0 and len(self.tried) == 1
        if minutes != self.minutes and (minutes is None or not (begun or self.is_the_same)):
            self.epochs = 0
            del self.tried[1:]
        self.minutes = minutes

    def of_name(self, name: str) -> Attempt | None:
        """What became of the way of that `name`; None where it was not tried."""
        return next((one for one in self.tried if one.name == name), None)

    @property
    def is_the_same(self) -> bool:
        return bool(self.tried) and self.tried[-1].is_the_same

    @property
    def best(self) -> Attempt:
        """The first that is the same function; where none is, the one whose figure is best for the target that it is worst for, of equals the
        cheapest."""
        higher = METRICS[self.check].better == "higher"

        def worth(one: Attempt) -> tuple[bool, float]:
            known = [score if higher else -score for score in one.scores.values() if score is not None]
            return one.is_the_same, min(known) if len(known) == len(one.scores) and known else -math.inf

        return max(self.tried, key=worth)

    def save(self) -> None:
        told = {name: value for name, value in vars(self).items() if name not in ("file", "tried")}
        write_json(
            self.file,
            told
            | {"tried": [vars(one) for one in self.tried], "chosen": self.best.name if self.tried else None},
        )


def kept(file: Path) -> dict[str, Any]:
    """What the `file` of a record says of `asked`, `tried`, `minutes` and `epochs`; of none, or another version's, that nothing was asked: all is
    tried then, and steps that are there are shared."""
    try:
        known = read_mapping(file, "asked", "tried", "minutes", "epochs")
        tried = [Attempt(**one | {"overrides": tuple(one["overrides"])}) for one in known["tried"]]
    except (FileError, KeyError, TypeError):
        return {"asked": None, "tried": []}
    return known | {"tried": tried}
