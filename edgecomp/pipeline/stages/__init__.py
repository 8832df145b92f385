"""Each stage, told from a job: settings become plain arguments here, and nowhere else.

A stage reads the run folder and writes into `out`; a long one keeps what it needs to resume in `checkpoints`.
Heavy libraries are imported where a stage begins its work, so that a run with nothing to do takes no time.
"""

from edgecomp.pipeline.stages.exporting import best_ptq, deploy, export, parity, pytorch
from edgecomp.pipeline.stages.judging import check_evidence, check_labels, checked, gate, report
from edgecomp.pipeline.stages.learning import (
    control,
    data,
    distill,
    precision,
    quantize,
    soft_labels,
    teacher,
)
from edgecomp.pipeline.stages.measuring import (
    bench,
    emulation,
    executed_as,
    portable,
    profile_training,
    speed,
)

__all__ = [
    "bench", "best_ptq", "check_evidence", "check_labels", "checked", "control", "data", "deploy", "distill", "emulation", "executed_as", "export", "gate", "parity", "portable", "precision",
    "profile_training", "pytorch", "quantize", "report", "soft_labels", "speed", "teacher",
]  # fmt: skip
