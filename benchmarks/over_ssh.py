"""The same file measured here and over SSH to this very machine, in turns: what the way there adds to CPU time, and whether answers are the same.

    python benchmarks/over_ssh.py localhost                    # a host that is this machine, by a key that ssh has
    python benchmarks/over_ssh.py localhost --restarts 40 --to reports/ops/over-ssh.json

Both run at once, as the two sides of a comparison do: in every restart a fresh process of each, block by block, forwards and backwards. The ratio's
interval is that of the mean over restarts (95 %, two-sided, Student's t of log ratios).
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from edgecomp import inputs, machine
from edgecomp.benchmark.hosts.device import Device
from edgecomp.benchmark.scenarios.side_by_side import Side, SideBySide
from edgecomp.comparison.selftest import reference_model
from edgecomp.comparison.trial import place_of, signature, timed_inputs
from edgecomp.config.target import load_target
from edgecomp.gate.paired import log_ratios
from edgecomp.metrics.comparison import BASELINE, CANDIDATE, Comparison


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("host")
    parser.add_argument("--target", default="onnxruntime-cpu")
    parser.add_argument("--model", type=Path, help="a file; a reference model where none is given")
    parser.add_argument("--restarts", type=int, default=40)
    parser.add_argument("--to", type=Path)
    asked = parser.parse_args()
    target = load_target(asked.target)
    with tempfile.TemporaryDirectory() as name, Device(asked.host, target.runtime) as device:
        scratch = Path(name)
        here = place_of(target)
        model = asked.model or reference_model(target, scratch)
        side = Side(model, here)
        timed = timed_inputs(signature(BASELINE, side).inputs, target, None)
        inputs.save(timed.inputs, scratch / "inputs", timed.axes)
        pair = SideBySide(
            side,
            Side(model, replace(here, host=device)),
            inputs=scratch / "inputs",
            rows=timed.rows,
            random=np.random.default_rng(0),
        )
        of = Comparison()
        for restart in range(asked.restarts):
            of.restarts.append(pair.restart())
            print(f"\r{restart + 1} of {asked.restarts}", end="", flush=True)
        print()
        same = all(
            np.array_equal(pair.outputs[BASELINE][key], pair.outputs[CANDIDATE][key])
            for key in pair.outputs[BASELINE]
        )
        found = {"host": asked.host, "target": target.name, "model": model.name, "restarts": asked.restarts, "machine": machine.facts(),
                 "answers_are_the_same": same,
                 "over_here": {metric: over(log_ratios(of, metric, asked.restarts)) for metric in ("cpu_p50_ms", "latency_p50_ms")}}  # fmt: skip
    for metric, (middle, low, high) in found["over_here"].items():
        print(
            f"{metric}: over SSH / here = {middle:.4f} [{low:.4f}, {high:.4f}] at 95 %, {asked.restarts} restarts"
        )
    print(f"answers are the same: {same}")
    if asked.to is not None:
        asked.to.parent.mkdir(parents=True, exist_ok=True)
        asked.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def over(ratios: "np.ndarray") -> tuple[float, float, float]:
    """The mean of log ratios [restarts] as a ratio, and its bounds."""
    low, high = stats.t.interval(
        0.95, len(ratios) - 1, ratios.mean(), ratios.std(ddof=1) / np.sqrt(len(ratios))
    )
    return float(np.exp(ratios.mean())), float(np.exp(low)), float(np.exp(high))


if __name__ == "__main__":
    main()
