"""The arms of a run: the variants of a model that it makes, measures and compares. Nothing else spells their names.

To add one: a row of ARMS; where it is trained, a row of NETWORKS in pipeline/loaders.py, and its step in pipeline/steps.py.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Arm:
    """name: its key in measurements, files and reports; label, colour: in tables and pictures.

    steps: those that make it, the first of which trains it and keeps its history; of one that a runtime's own tool makes of the
    fp32 student there are none. baseline: what `quantize.baselines` calls it, where it has to be asked for. tool: of a runtime.
    per_scheme, per_target: made for each quantisation scheme, or each target. low_bits: its label with fewer than 8 bits, of which `{}` says how many.
    """

    name: str
    label: str
    colour: str
    steps: tuple[str, ...] = ()
    baseline: str = ""
    tool: str = ""
    per_scheme: bool = False
    per_target: bool = False
    low_bits: str = ""


class Asked(Protocol):
    """What of a recipe's `quantize` decides the arms of a run."""

    @property
    def trains(self) -> bool: ...

    @property
    def in_float(self) -> bool: ...

    @property
    def tool(self) -> str: ...

    @property
    def chosen(self) -> bool: ...

    @property
    def picks(self) -> bool: ...

    @property
    def hands_on(self) -> bool: ...

    @property
    def baselines(self) -> Collection[str]: ...


TEACHER = Arm("teacher", "teacher, fp32", "#767c85", ("teacher",))
STUDENT_FP32 = Arm("student_fp32", "student, fp32", "#3b78b5", ("distill",))
STUDENT_INT8 = Arm(
    "student_int8", "student, int8", "#d9541e", ("quantize", "precision"),
    per_scheme=True, low_bits="student, {} (simulated)",
)  # fmt: skip
CONTROL = Arm("control", "student, fp32, as many more epochs", "#7fb0dc", ("control",), baseline="control")
PTQ_ORT = Arm(
    "ptq_ort", "student, ONNX Runtime's PTQ", "#2f8f6b", baseline="ptq-ort", tool="ptq-ort", per_scheme=True
)
PTQ_NNCF = Arm(
    "ptq_nncf", "student, NNCF's PTQ", "#8a63b0", baseline="ptq-nncf", tool="ptq-nncf", per_scheme=True
)
PTQ_DYNAMIC = Arm(
    "ptq_dynamic",
    "student, dynamic PTQ",
    "#4a9a9a",
    baseline="ptq-dynamic",
    tool="ptq-dynamic",
    per_scheme=True,
)
PTQ_BEST = Arm(
    "ptq_best", "student, best PTQ on validation", "#b08a2e", ("ptq",), baseline="ptq-best",
    per_target=True, low_bits="student, best PTQ on validation, {} (simulated)",
)  # fmt: skip
BEST = Arm("best", "student, best of trained and PTQ on validation", "#b5472a", ("best",), per_target=True)

CASCADE = Arm("cascade", "cascade: student, int8, then teacher", "#a3386c", ("cascade",), per_target=True)

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        TEACHER,
        STUDENT_FP32,
        STUDENT_INT8,
        CONTROL,
        PTQ_ORT,
        PTQ_NNCF,
        PTQ_DYNAMIC,
        PTQ_BEST,
        BEST,
        CASCADE,
    )
}
TOOLS = tuple(arm.tool for arm in ARMS.values() if arm.tool)


def judged(asked: Asked) -> Arm:
    """The arm that is deployed and judged. asked: a recipe's `quantize`."""
    return CASCADE if asked.hands_on else student(asked)


def student(asked: Asked) -> Arm:
    """The student as it is released, or as it is the first of a cascade. asked: a recipe's `quantize`."""
    if asked.picks:
        return BEST
    return STUDENT_FP32 if asked.in_float else PTQ_BEST if asked.chosen else STUDENT_INT8


def baselines(asked: Asked) -> list[Arm]:
    """Arms that are measured beside the judged one because `asked`, a recipe's `quantize`, names them, in its
    order."""
    by_name = {arm.baseline: arm for arm in ARMS.values() if arm.baseline}
    return [by_name[name] for name in asked.baselines]


def measured(asked: Asked, *, gated: bool) -> list[Arm]:
    """Every arm that is measured under a target; under one that is not `gated` the teacher alone. asked: a
    recipe's `quantize`."""
    return (
        [*dict.fromkeys((TEACHER, STUDENT_FP32, *baselines(asked), student(asked), judged(asked)))]
        if gated
        else [TEACHER]
    )


def tries_ptq(asked: Asked) -> bool:
    """Whether, for a target, the best of all post-training quantisations is looked for. asked: a recipe's `quantize`."""
    return asked.picks or PTQ_BEST in measured(asked, gated=True)


def trained(asked: Asked) -> list[Arm]:
    """Every arm that a run trains, in the order of its steps. asked: a recipe's `quantize`."""
    own = [STUDENT_INT8] if asked.trains else []
    return [
        TEACHER,
        STUDENT_FP32,
        *own,
        *(arm for arm in baselines(asked) if arm.steps and not arm.per_target),
    ]


def of_tools(asked: Asked) -> dict[Arm, str]:
    """Every arm that is one file by a runtime's own tool, made of the fp32 student → the tool. asked: a
    recipe's `quantize`."""
    own = {STUDENT_INT8: asked.tool} if asked.tool else {}
    return {arm: arm.tool for arm in baselines(asked) if arm.tool} | own
