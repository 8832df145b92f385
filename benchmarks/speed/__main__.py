"""How fast int8 is against fp32: the same network in the same runtime, by network, runtime and batch.

    python benchmarks/speed                                        # every cell of this kind of CPU
    python benchmarks/avx2_only python benchmarks/speed            # the same as a CPU without VNNI
    python benchmarks/speed --networks "cifar10's ResNet-8" --restarts 5
    python benchmarks/speed --show                                 # only writes the table of what is there

Networks of random weights, calibrated on random inputs: what a kernel takes does not depend on its weights. A cell is CPU time over
fp32's, in turns, in processes of their own, the median over restarts with the lowest and highest; it is kept in reports/speed and
not measured again. fp32: the student as it is exported. int8: every layer in integers. chosen: with the layers in float that
`quantize.precision_by: speed` leaves there.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import NETWORKS, Made

from edgecomp import inputs
from edgecomp.artifacts import write_json
from edgecomp.bench.process import Place
from edgecomp.bench.side_by_side import Side, SideBySide
from edgecomp.export import openvino_ir
from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.machine import cpu_model, host_isa
from edgecomp.quantize.calibration import calibrate
from edgecomp.quantize.capture import capture
from edgecomp.quantize.folding import fold
from edgecomp.quantize.placement import place

RUNTIMES = {"onnxruntime-cpu": "model.onnx", "openvino-cpu": "model.xml"}
BATCHES = (1, 32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--to", type=Path, default=Path("reports/speed"))
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    for name in () if asked.show else asked.networks:
        file = asked.to / f"{name}, {host_isa()}.json".replace("'", "")
        if file.is_file():
            print(f"{name}: there already")
            continue
        print(name, flush=True)
        facts = {"network": name, "isa": host_isa(), "cpu": cpu_model()}
        write_json(file, facts | {"runtimes": measured(NETWORKS[name], asked.restarts)})
    (asked.to / "speed.md").write_text(table(asked.to), encoding="utf-8")


def measured(made: Made, restarts: int) -> dict[str, Any]:
    """Runtime → batch → CPU time of an int8 inference over one in fp32, by restart."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = exported(made, folder)
        for batch in BATCHES:
            inputs.save(made.inputs(8 * batch), folder / f"inputs{batch}")
        for runtime in RUNTIMES:
            place_ = Place(runtime, {}, threads=1, timeout_s=300)
            for batch in BATCHES:
                pair = SideBySide(
                    Side(files["fp32", runtime], place_),
                    Side(files["int8", runtime], place_),
                    inputs=folder / f"inputs{batch}",
                    rows=batch,
                    random=np.random.default_rng(0),
                )
                ratios = [ratio(pair.restart().samples) for _ in range(restarts)]
                found.setdefault(runtime, {})[str(batch)] = ratios
                print(f"  {runtime}, batch {batch}: {np.median(ratios):.2f}", flush=True)
    return found


def exported(made: Made, folder: Path) -> dict[tuple[str, str], Path]:
    """(precision, runtime) → file."""
    torch.manual_seed(0)
    network = made.network().eval()
    given = made.inputs(32)
    example = [torch.from_numpy(values[:2]) for values in given.values()]
    plain = capture(network, example, made.axes)
    quantised = place(capture(network, example, made.axes), "cpu-u8-narrow")
    calibrate(quantised, [given])
    files = {}
    for name, graph in (("fp32", plain), ("int8", fold(quantised))):
        (folder / name).mkdir()
        file = folder / name / "model.onnx"
        export_onnx(graph, example, file, input_names=made.names, dynamic_axes=made.axes)
        openvino_ir.convert(file, folder / name)
        files |= {(name, runtime): folder / name / kind for runtime, kind in RUNTIMES.items()}
    return files


def ratio(samples: Any) -> float:
    return round(float(np.median(samples["candidate.cpu_ns"]) / np.median(samples["baseline.cpu_ns"])), 4)


def table(folder: Path) -> str:
    lines = ["# int8 over fp32, CPU time", "", "`python benchmarks/speed`: the median over restarts (lowest and highest), one thread.", ""]  # fmt: skip
    heads = [f"{runtime}, batch {batch}" for runtime in RUNTIMES for batch in BATCHES]
    lines += [f"| network | ISA | {' | '.join(heads)} |", f"| --- | --- | {'--- | ' * len(heads)}"]
    for file in sorted(folder.glob("*.json")):
        cell = json.loads(file.read_text(encoding="utf-8"))
        shown = [cell["runtimes"][runtime][str(batch)] for runtime in RUNTIMES for batch in BATCHES]
        ratios = [f"{np.median(one):.2f} ({min(one):.2f}–{max(one):.2f})" for one in shown]
        lines.append(f"| {cell['network']} | {cell['isa']} | {' | '.join(ratios)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
