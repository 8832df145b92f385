"""How fast int8 is against fp32: the same network in the same runtime, by network, runtime and batch.

    python benchmarks/speed                                        # every cell of this kind of CPU
    python benchmarks/avx2_only python benchmarks/speed            # the same as a CPU without VNNI
    python benchmarks/speed --networks "cifar10's ResNet-8" --restarts 5
    python benchmarks/speed --show                                 # only writes the table of what is there

Networks of random weights, calibrated on random inputs: what a kernel takes does not depend on its weights. A cell is CPU time over
fp32's, in turns, in processes of their own, the median over restarts with the lowest and highest; it is kept in reports/speed and
not measured again. int8: every layer in integers; chosen: with the layers in float that `quantize.precision_by: speed` leaves there,
where int8 is slower at batch 1.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import NETWORKS, Made

from edgecomp import inputs
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.layer_speed import CHOSEN, FP32, INT8, slower_in_integers
from edgecomp.benchmark.scenarios.side_by_side import Side, SideBySide
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import name_of_kernel
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import write_json
from edgecomp.machine import cpu_model, host_isa
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import layer_names
from edgecomp.quantization.placement import place

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
    """Runtime → batch → CPU time over fp32's by restart, of int8, and of the chosen file where int8 is slower at batch 1."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for batch in BATCHES:
            inputs.save(made.inputs(8 * batch), folder / f"inputs{batch}")
        files = exported(made, folder, {FP32: None, INT8: []})
        for runtime in RUNTIMES:
            there = Place(runtime, {}, threads=1, timeout_s=300)
            own = {arm: files[arm, runtime] for arm in (FP32, INT8)}
            cell = found[runtime] = {INT8: beside_fp32(own, INT8, there, folder, restarts)}
            if np.median(cell[INT8]["1"]) > 1:
                slow = slower_in_integers(own, there, made.inputs(1), name_of_kernel, layers_of(made))
                own |= {CHOSEN: exported(made, folder / runtime, {CHOSEN: list(slow)})[CHOSEN, runtime]}
                cell |= {
                    "float_layers": {layer: times._asdict() for layer, times in slow.items()},
                    CHOSEN: beside_fp32(own, CHOSEN, there, folder, restarts),
                }
            for arm in (INT8, CHOSEN):
                told = {
                    batch: round(float(np.median(ratios)), 2) for batch, ratios in cell.get(arm, {}).items()
                }
                print(f"  {runtime}, {arm}: {told}" if told else "", flush=True)
    return found


def beside_fp32(
    files: dict[str, Path], arm: str, there: Place, folder: Path, restarts: int
) -> dict[str, list[float]]:
    found = {}
    for batch in BATCHES:
        pair = SideBySide(
            Side(files[FP32], there),
            Side(files[arm], there),
            inputs=folder / f"inputs{batch}",
            rows=batch,
            random=np.random.default_rng(0),
        )
        found[str(batch)] = [ratio(pair.restart().samples) for _ in range(restarts)]
    return found


def layers_of(made: Made) -> list[str]:
    torch.manual_seed(0)
    example = [torch.from_numpy(values) for values in made.inputs(2).values()]
    return layer_names(capture(made.network().eval(), example, made.axes))


def exported(made: Made, folder: Path, arms: dict[str, list[str] | None]) -> dict[tuple[str, str], Path]:
    """(arm, runtime) → file. arms: layers left in float; None for a network without integers."""
    given = made.inputs(32)
    example = [torch.from_numpy(values[:2]) for values in given.values()]
    files = {}
    for arm, in_float in arms.items():
        torch.manual_seed(0)
        graph = capture(made.network().eval(), example, made.axes)
        if in_float is not None:
            graph = place(graph, "cpu-u8-narrow", in_float)
            calibrate(graph, [given])
            graph = fold(graph)
        (folder / arm).mkdir(parents=True)
        file = folder / arm / "model.onnx"
        export_onnx(graph, example, file, input_names=made.names, dynamic_axes=made.axes)
        ir.convert(file, folder / arm)
        files |= {(arm, runtime): folder / arm / kind for runtime, kind in RUNTIMES.items()}
    return files


def ratio(samples: Any) -> float:
    return round(float(np.median(samples["candidate.cpu_ns"]) / np.median(samples["baseline.cpu_ns"])), 4)


def table(folder: Path) -> str:
    lines = [
        "# int8 over fp32, CPU time", "",
        "`python benchmarks/speed`, and the same under `python benchmarks/avx2_only`: the median over restarts (lowest and highest), one",
        "thread. Where int8 is slower at batch 1, in a second line the file with those layers in float whose kernels are faster so.", "",
    ]  # fmt: skip
    heads = [f"{runtime}, batch {batch}" for runtime in RUNTIMES for batch in BATCHES]
    lines += [
        f"| network | CPU | file | {' | '.join(heads)} |",
        f"| --- | --- | --- | {'--- | ' * len(heads)}",
    ]
    for cell in sorted(
        map(read_json, folder.glob("*.json")), key=lambda cell: (cell["isa"], cell["network"])
    ):
        for arm in (INT8, CHOSEN):
            ratios = [
                cell["runtimes"][runtime].get(arm, {}).get(str(batch))
                for runtime in RUNTIMES
                for batch in BATCHES
            ]
            if any(ratios):
                told = [
                    f"{np.median(one):.2f} ({min(one):.2f}–{max(one):.2f})" if one else "" for one in ratios
                ]
                lines.append(f"| {cell['network']} | {cell['isa']} | {arm} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
