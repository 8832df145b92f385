"""A teacher of one modality, a student of another, on paired inputs: from data to a verdict and a device that has the student's alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packing import holds
from running import Cli

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent

NETS = """
from torch import nn

def sees(classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes))

def hears(classes):
    return nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, classes))

class Both(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.sees, self.hears = sees(classes), hears(classes)

    def forward(self, picture, sound):
        return self.sees(picture) + self.hears(sound)

both = Both
"""
RECIPE = """name: heard
data: { source: numpy, path: pairs.npz, inputs: [picture, sound], label: label }
teacher: { network: "nets:sees", inputs: [picture], epochs: 8, batch_size: 32, learning_rate: 1.0e-2 }
student: { network: "nets:hears", inputs: [sound] }
distill: { epochs: 8, batch_size: 32, learning_rate: 1.0e-2 }
quantize: { epochs: 2 }
targets: [onnxruntime-cpu, openvino-cpu]
"""
SHORT = [
    "threads=1",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Of three things, each with a picture that shows it well and a sound that tells it less well."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    looks, sounds = random.normal(size=(3, 1, 8, 8)), random.normal(size=(3, 16))
    np.savez(
        tmp_path / "pairs.npz",
        picture=(looks[labels] + 0.5 * random.normal(size=(900, 1, 8, 8))).astype(np.float32),
        sound=(sounds[labels] + 1.5 * random.normal(size=(900, 16))).astype(np.float32),
        label=labels,
    )
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "recipe.yaml"


@pytest.mark.slow
def test_who_sees_teaches_who_hears(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = cli("run", str(recipe), *SHORT, "--out", str(folder), "--json")
    assert done.code in (0, 1, 3), done.err
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        gates = {row["name"]: row for row in done.json["gates"] if row["target"] == target}
        assert gates["export_error_pct"]["verdict"] == "PASS"
        assert gates["int8_share_pct"]["verdict"] == "PASS"
        contract = json.loads((folder / "deploy" / target / "contract.json").read_text())
        assert [(one["name"], one["shape"]) for one in contract["inputs"]] == [("sound", [None, 16])]
    figures = json.loads((folder / "gate" / "verdict.json").read_text())["figures"]["onnxruntime-cpu"]
    seen, heard = (figures[arm]["accuracy_pct"]["value"] for arm in ("teacher", "student_int8"))
    assert seen > 97  # by the picture
    assert 70 < heard < seen  # by the sound alone
    holds(folder)
    np.savez(tmp_path / "heard.npz", sound=np.load(tmp_path / "pairs.npz")["sound"][:40])
    script = [sys.executable, "-P", str(folder / "deploy" / "onnxruntime-cpu" / "infer.py"), "heard.npz"]
    said = subprocess.run(script, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()
    assert np.mean(np.array(said, int) == np.load(tmp_path / "pairs.npz")["label"][:40]) > 0.6


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["teacher.inputs=[pictur]"], "teacher.inputs: the data have no input 'pictur'; did you mean 'picture'?"),
        (["student.inputs=[sound, sound]"], "inputs: 'sound' is named twice"),
        (["student.network=teacher"], "student.network: teacher has them read the same"),
        (["+quantize.cascade={most_lost: '1 %'}"], "quantize.cascade has them read the same"),
        (["+distill.hidden=[{teacher: '1', student: '1'}]"], "looks inside the teacher, which reads other inputs"),
        (["data.inputs=sound"], "student.inputs: of inputs by name"),
    ],
)  # fmt: skip
def test_what_they_cannot_share_is_told_before_anything_is_trained(
    cli: Cli, recipe: Path, changes: list[str], complaint: str
) -> None:
    done = cli("run", str(recipe), *changes, "--out", str(recipe.parent / "run"))
    assert done.code == 2, done.out
    assert complaint in " ".join(done.err.split())
    assert not (recipe.parent / "run" / "teacher").exists()


def test_other_inputs_are_other_data(recipe: Path) -> None:
    def key(*overrides: str) -> object:
        job = on_this_machine(fingerprinted(load_job(str(recipe), list(overrides))))
        return steps(Run(job, recipe.parent / "run", silent))[0].settings

    assert key() == key("student.network=nets:sees")
    assert key() != key("student.inputs=[picture]")
    assert key() != key("~teacher.inputs")


def test_one_may_take_all_and_the_other_some(cli: Cli, recipe: Path) -> None:
    done = cli(
        "run",
        str(recipe),
        "--plan",
        "~teacher.inputs",
        "teacher.network=nets:both",
        "--out",
        str(recipe.parent / "run"),
    )
    assert done.code == 0, done.err
