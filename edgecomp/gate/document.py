"""The verdict document: what verdict.json of a run and of a comparison holds, as one typed, versioned model.

`python -m edgecomp.gate.document` writes its JSON Schema (verdict.schema.json beside this file, which the wheel carries).

Format 2: figures say whether their bounds are one-sided or two-sided (`sided`), both documents have `made_with` and `compared` (null
for a run). Format 1 is read as well: its bounds are all one-sided.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecomp import __version__
from edgecomp.config.policy import Policy, Waiver
from edgecomp.config.schema import explain
from edgecomp.errors import FileError
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import digest_of, write_json
from edgecomp.gate.verdict import Reason, Verdict, combine, exit_code
from edgecomp.machine import installed
from edgecomp.metrics.registry import METRICS
from edgecomp.stats.figure import Figure

FORMAT_VERSION = 2
LIBRARIES = ("numpy", "scipy")  # whose versions may change a figure
SCHEMA_FILE = Path(__file__).with_name("verdict.schema.json")


class Part(BaseModel):
    """Frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Check(Part):
    """A metric held to a limit on one target, and what came of it.

    limit, limit_value: as the policy writes it, and in the figure's dimension; passes: on which side of it; estimate: the figure, None
    where there is none; waiver: one that is valid; severity: `warn` is shown, and does not decide.
    """

    target: str
    name: str
    metric: str
    title: str
    limit: str
    limit_value: float
    passes: Literal["below", "above"]
    estimate: Figure | None
    verdict: Verdict
    reason: Reason
    sentence: str
    waiver: Waiver | None = None
    severity: Literal["block", "warn"] = "block"

    @property
    def decides(self) -> bool:
        """Whether it counts for the exit code: it is not waived, and does not merely advise."""
        return self.waiver is None and self.severity == "block"

    def but(self, **changes: Any) -> "Check":
        """The same check with `changes`, field → value, which are not validated."""
        return self.model_copy(update=changes)


class PolicyRecord(Part):
    """The policy that was judged by; changes: what a recipe made of it, in words; sha256: of its checks."""

    name: str
    on_inconclusive: Literal["block", "warn"]
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    sha256: str


class GroupDifference(Part):
    """A class or a slice: its examples, right answers of both models, and the difference in points: estimate, lower and upper bound."""

    name: str
    examples: int
    reference_right: int
    right: int
    difference_pt: tuple[float, float, float]


class ChangedPair(Part):
    """A cell of the confusion matrix of changes: the reference's answer and the arm's, of how many examples."""

    reference: str
    answer: str
    examples: int
    lost: int
    gained: int


class ChangedExample(Part):
    example: int
    label: str
    slice: str | None
    reference: str
    answer: str


class Changes(Part):
    """What differs between two models' answers to the same labelled examples (edgecomp.gate.groups).

    confidence: of each group's bounds, which are one-sided; changed, lost, gained: of `examples`, how many answers.
    """

    reference: str
    arm: str
    confidence: float
    examples: int
    changed: int
    lost: int
    gained: int
    classes: tuple[GroupDifference, ...]
    slices: tuple[GroupDifference, ...]
    answers: tuple[ChangedPair, ...]
    changes: tuple[ChangedExample, ...]


class Open(BaseModel):
    """A record of another room's, of which only these keys are read here."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ModelRecord(Part):
    """given: as on the command line; files: name → sha256; sha256: one digest of all."""

    given: str
    model: str
    files: dict[str, str]
    sha256: str


class TargetRecord(Open):
    """A target as it was resolved (edgecomp.config.target)."""

    name: str
    description: str = ""
    runtime: str
    threads: int = 1
    isa: str = "host"


class Compared(Part):
    """Who was compared with whom, on what, and how long; facts: of the measurement; log_ratios: check → arm → of each restart."""

    baseline: ModelRecord
    candidate: ModelRecord
    target: TargetRecord
    runtime_version: str | None
    began: str
    elapsed_s: float
    restarts: int
    examples: int
    data: dict[str, str] | None
    not_compared: str
    warnings: tuple[str, ...]
    facts: dict[str, Any]
    certificate: dict[str, Any] | None
    log_ratios: dict[str, dict[str, list[float]]]


class VerdictDocument(Part):
    """The verdict on all checks, and all that it rests on.

    made_with: versions of what may change it; verdict: of the checks that block; unwaived: without those that are waived, which gives
    the exit code; gates: the checks; figures: target → arm → metric; answers: by target; stand_ins: by target whose own runtime was not
    there, what gave its answers, in words; compared: of a comparison alone.
    """

    format: Literal[2] = FORMAT_VERSION  # type: ignore[assignment]  # a Literal takes no name
    made_with: dict[str, str] = {}
    verdict: Verdict
    unwaived: Verdict
    exit_code: int
    next_step: str
    policy: PolicyRecord
    gates: tuple[Check, ...]
    figures: dict[str, dict[str, dict[str, Figure]]]
    answers: dict[str, Changes] = {}
    stand_ins: dict[str, str] = {}
    compared: Compared | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        return self.gates

    def as_json(self) -> dict[str, Any]:
        """What verdict.json holds."""
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> "VerdictDocument":
        """The same document with `changes`, field → value, which are not validated."""
        return self.model_copy(update=changes)


def made_with() -> dict[str, str]:
    """Versions of what may change a document; `metrics` is that of their table, for with one more metric there is one more figure."""
    libraries = {name: installed(name) for name in LIBRARIES}
    return {"edgecomp": __version__, "metrics": digest_of(sorted(METRICS))[:12], **libraries}


def document(
    checks: Sequence[Check],
    policy: Policy,
    *,
    next_step: str,
    changes: Sequence[str],
    warnings: Sequence[str],
    sha256: str,
    figures: Mapping[str, Mapping[str, Mapping[str, Figure]]],
    answers: Mapping[str, Changes],
    stand_ins: Mapping[str, str] | None = None,
    compared: Compared | None = None,
) -> VerdictDocument:
    """The document of checks that are judged, waivers laid over them.

    policy: whose checks they are; next_step, figures, answers, stand_ins (None for none), compared: as in
    VerdictDocument; changes, warnings, sha256: as in PolicyRecord.
    """
    unwaived = whole(check for check in checks if check.decides)
    return VerdictDocument(
        made_with=made_with(),
        verdict=whole(check for check in checks if check.severity == "block"),
        unwaived=unwaived,
        exit_code=exit_code(unwaived, policy.on_inconclusive),
        next_step=next_step,
        policy=PolicyRecord(
            name=policy.name,
            on_inconclusive=policy.on_inconclusive,
            changes=tuple(changes),
            warnings=tuple(warnings),
            sha256=sha256,
        ),
        gates=tuple(checks),
        figures={target: {arm: dict(of) for arm, of in arms.items()} for target, arms in figures.items()},
        answers=dict(answers),
        stand_ins=dict(stand_ins or {}),
        compared=compared,
    )


def whole(checks: Any) -> Verdict:
    """The verdict on checks together."""
    return combine(check.verdict for check in checks)


def read(file: Path) -> VerdictDocument:
    """The verdict document in `file`. Raises FileError where it is none, or a newer one."""
    return from_json(read_json(file), str(file))


def from_json(content: object, where: str) -> VerdictDocument:
    """The document of `content`, as JSON gives it, of any format so far.

    where: what the message calls it. Raises FileError.
    """
    try:
        return VerdictDocument.model_validate(upgraded(content))
    except ValidationError as error:
        raise FileError(f"{where}: is no verdict document: {explain(error, VerdictDocument)[0]}") from None


def upgraded(content: object) -> object:
    """The content of an older format as this one has it; what is none is given back as it is."""
    if not isinstance(content, dict):
        return content
    if content.get("format") != 1:
        return {"stand_ins": {}, **content}
    return {
        "made_with": {},
        "answers": {},
        "stand_ins": {},
        "compared": None,
        **_sided(content),
        "format": FORMAT_VERSION,
    }


def _sided(value: Any) -> Any:
    """Every figure in it with what format 1 left unsaid."""
    if isinstance(value, list):
        return [_sided(one) for one in value]
    if not isinstance(value, dict):
        return value
    if {"value", "lower", "upper", "dimension"} <= value.keys():
        return {**value, "sided": value.get("sided", "one"), "samples": value.get("samples")}
    return {key: _sided(one) for key, one in value.items()}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of verdict.json."""
    found = VerdictDocument.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def canonical(content: VerdictDocument) -> VerdictDocument:
    """`content` as JSON reads it again. Raises ValueError where it holds what JSON has no number for."""
    return VerdictDocument.model_validate(json.loads(json.dumps(content.as_json(), allow_nan=False)))


if __name__ == "__main__":
    write_json(SCHEMA_FILE, json_schema())
