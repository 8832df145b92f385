"""What edgecomp comes to on a GPU, and what it cannot do there yet: training, labels, three precisions, int8, bench and compare.

    python benchmarks/gpu                  # reports/gpu: gpu.md and gpu.json; minutes on one GPU
    python benchmarks/gpu --quick          # the same checks, small
    python benchmarks/gpu --only int8,labels       # these alone; the others' rows of an earlier sitting stay, if of this card

It needs no network, and no GPU up to the checks that do: those say "not run" without one. `--rehearse` runs them on the CPU,
which shows that they work and measures nothing. What is there is written after every row. The exit code is 1 where a row
FAILs or failed.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import environment
import inference_checks as inference
import product_checks as product
import torch
import training_checks as training
from rows import Check, Done, in_order, kept, run_all, shown, write
from subjects import Sitting

from edgecomp.machine import gpus

CHECKS = [
    Check("CPU and GPU agree", training.agrees_with_the_cpu),
    Check("training steps", training.steps),
    Check("labels", training.labels),
    Check("int8", inference.int8, needs_gpu=False),
    Check("throughput", inference.throughput),
    Check("int8 speed", inference.int8_speed),
    Check("memory snapshot", training.snapshot),
    Check("profile", training.profiled),
    Check("precisions", inference.precisions),
    Check("CUDA graphs", inference.cuda_graphs),
    Check("compare", product.compare),
    Check("bench", product.bench),
    Check("ONNX Runtime", product.onnxruntime, needs_gpu=False),
    Check("other runtimes", product.other_runtimes, needs_gpu=False),
]


def main(arguments: list[str] | None = None) -> int:
    asked = parsed(arguments)
    has_gpu = bool(gpus()) and torch.cuda.is_available()
    torch.backends.cudnn.allow_tf32 = False  # or convolutions in fp32 are none
    checks = {check.name: check for check in CHECKS}
    chosen = [checks[name] for name in asked.only or checks]
    facts = environment.facts()
    before = kept(asked.to, facts) if asked.only else []
    deadline = time.monotonic() + 60 * asked.minutes

    def keep(done: list[Done]) -> None:
        write(asked.to, facts, in_order(list(checks), before, done))
        row = done[-1].rows[-1]
        took = f"{done[-1].seconds:5.1f} s"
        print(f"{took} {row.verdict:<9} {row.name}: {shown(row)} {row.limit} {row.reason[:110]}", flush=True)

    asked.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of compilers, about what they might do better
        device = "cuda" if has_gpu else "cpu"
        sitting = Sitting(device, asked.quick, asked.to, Path(scratch), has_gpu)
        done = run_all(chosen, sitting, has_gpu or asked.rehearse, deadline, keep)
    return int(any(row.is_bad for one in done for row in one.rows))


def names_of_checks(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in {check.name for check in CHECKS}]:
        raise argparse.ArgumentTypeError(f"no such check: {unknown[0]!r}")
    return names


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--quick", action="store_true", help="small networks, few repeats")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, its checks on the CPU")
    parser.add_argument(
        "--only",
        type=names_of_checks,
        default=[],
        metavar="NAME,…",
        help=", ".join(one.name for one in CHECKS),
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no check begins")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
