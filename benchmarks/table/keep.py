"""What is kept of a cell: two small files, which a table can be made of again on any machine.

cell.json: the command, the versions and digests it ran with, and by target and arm sizes, shares and ratios of time by
restart. answers.npz: `TARGET.ARM`, one bit a test example, whether the file as executed answers it rightly.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.measurements import Measurements

TIMES = {"b1": "single_stream_cpu_ns", "b32": "offline_wall_ns"}


def keep(run: Path, about: dict[str, Any], to: Path) -> None:
    """Writes the folder `to`, whole or not at all, from a finished run. Raises ValueError where a target was not measured."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["steps"]
    verdict = json.loads((run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    right: dict[str, npt.NDArray[np.uint8]] = {}
    targets: dict[str, Any] = {}
    for target in verdict["figures"]:
        measured = Measurements.load(run / "bench" / target)
        if measured.not_run:
            raise ValueError(f"{target} was not measured ({measured.not_run})")
        targets[target] = {"arms": {arm: _figures(measured, arm) for arm in measured.arms}}
        targets[target]["machine"] = measured.facts["machine"]["cpu"]
        for arm, one in measured.arms.items():
            right[f"{target}.{arm}"] = one.logits.argmax(1) == measured.labels
        emulated = run / "emulation" / target / "test.npy"
        if emulated.is_file():
            logits = np.load(emulated, allow_pickle=False)
            right[f"{target}.emulated"] = logits.argmax(1) == measured.labels[: len(logits)]
        best = run / "ptq" / target / "ptq.json"
        if best.is_file() and "ptq_best" in measured.arms:
            targets[target]["ptq_best"] = json.loads(best.read_text(encoding="utf-8"))
    content = about | {
        "verdict": verdict["verdict"],
        "teacher_sha256": manifest["teacher"]["outputs"]["teacher/teacher.safetensors"]["sha256"],
        "labels_sha256": hashlib.sha256(measured.labels.tobytes()).hexdigest(),
        "seconds": {name: round(record["seconds"], 1) for name, record in manifest.items()},
        "examples": {name: len(bits) for name, bits in right.items()},
        "targets": targets,
    }
    scratch = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    np.savez_compressed(scratch / "answers.npz", **{name: np.packbits(bits) for name, bits in right.items()})  # type: ignore[arg-type]
    (scratch / "cell.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    shutil.rmtree(to, ignore_errors=True)
    scratch.rename(to)


def _figures(measured: Measurements, arm: str) -> dict[str, Any]:
    arms = measured.arms
    agreement = (arms[arm].logits.argmax(1) == arms["teacher"].logits.argmax(1)).mean() * 100
    return {
        "file_bytes": arms[arm].file_size_bytes,
        "parameter_bytes": arms[arm].parameter_bytes,
        "agreement_pct": float(agreement),
        "int8_share_pct": (arms[arm].parity or {}).get("int8_share_pct"),
        "cpu_p50_ms": [float(value) for value in _medians(measured, arm, "single_stream_cpu_ns") / 1e6],
        "faster_than": {
            other: {
                name: [
                    round(float(value), 4)
                    for value in _medians(measured, other, samples) / _medians(measured, arm, samples)
                ]
                for name, samples in TIMES.items()
            }
            for other in ("student_fp32", "teacher")
            if other in arms
        },
    }


def _medians(measured: Measurements, arm: str, samples: str) -> npt.NDArray[np.float64]:
    """By restart."""
    return np.asarray(np.median(measured.arms[arm].samples[samples], axis=1), np.float64)
