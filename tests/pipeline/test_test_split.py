"""The test split is read by nothing that trains or chooses, and once by what measures: watched, file by file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import TINY, environment

pytestmark = pytest.mark.slow

WATCHED = """
import json, sys
from edgecomp.artifacts.run_folder import RunFolder

now, seen = [""], []
sys.addaudithook(lambda event, given: seen.append(now[0]) if event == "open" and str(given[0]).endswith("data/test.npz")
                 and "r" in str(given[1]) else None)
real = RunFolder.run

def run(self, step, recipe):
    now[0] = step.name
    order.append(step.name)
    real(self, step, recipe)
    now[0] = ""

order = []
RunFolder.run = run
from edgecomp.cli.app import main
try:
    main()
finally:
    with open(sys.argv[-1] + "/seen.json", "w") as file:
        json.dump({"order": order, "seen": [name for name in seen if name]}, file)
"""


def test_the_test_split_is_read_once_by_each_measurement_and_by_nothing_before(tmp_path: Path) -> None:
    overrides = [
        *TINY,
        "quantize.baselines=[control,ptq-best]",
        "quantize.max_drop=0.5 pt",
        "targets=[openvino-cpu]",
    ]
    command = [sys.executable, "-c", WATCHED, "run", "digits", *overrides, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode in (0, 1, 3), done.stderr
    watched = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    assert [step for step in watched["seen"] if step != "data"] == ["bench/openvino-cpu"]  # which writes it
    chosen = {
        "teacher",
        "soft_labels",
        "distill",
        "quantize",
        "precision",
        "control",
        "export",
        "ptq/openvino-cpu",
    }
    assert chosen < set(watched["order"])
    assert max(watched["order"].index(step) for step in chosen) < watched["order"].index("bench/openvino-cpu")
