"""`edgecomp compare` as a user runs it, and small models to run it on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from running import Outcome, command, environment

# An estimate, as verdict.json holds it.
FIGURE = {
    "value": 1.25,
    "lower": 1.2,
    "upper": 1.3,
    "dimension": "time",
    "unit": "restarts",
    "count": 5,
    "confidence": 0.95,
    "sided": "one",
}


COMPATIBLE = ("inputs", "outputs", "preprocessing", "labels", "key_samples")


class Compared(Outcome):
    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """By name, the checks that a policy has, and of a side that dies."""
        return {row["name"]: row for row in self.json["gates"] if row["name"] not in COMPATIBLE}

    @property
    def compatible(self) -> dict[str, dict[str, Any]]:
        """By name, those of whether the one can stand where the other stood."""
        return {row["name"]: row for row in self.json["gates"] if row["name"] in COMPATIBLE}

    def verdict(self, folder: Path) -> dict[str, Any]:
        """What it left."""
        content: dict[str, Any] = json.loads((folder / self.json["folder"] / "verdict.json").read_text())
        return content


def compare(folder: Path, *arguments: str, **more: str) -> Compared:
    own = environment() | {"COLUMNS": "80", "EDGECOMP_HISTORY": str(folder / "history.sqlite")}
    own.pop("GITHUB_ACTIONS", None)
    done = subprocess.run(
        command("compare", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=own | more,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Compared(done.returncode, done.stdout, done.stderr)


def fake(folder: Path, name: str, **behaviour: Any) -> str:
    (folder / name).write_text(json.dumps({"latency_ns": 300_000} | behaviour))
    return name


def classifier(
    path: Path,
    *,
    weights: Any = None,
    width: int = 4,
    name: str = "x",
    batch: Any = "batch",
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """x [N, 4] → logits [N, width]: the weights' columns."""
    held = np.eye(4, width, dtype=np.float32) if weights is None else np.asarray(weights, np.float32)
    nodes = [
        helper.make_node("Cast", [name], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, dtype, [batch, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, width])],
        [numpy_helper.from_array(held, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def examples(path: Path, count: int = 400, **more: Any) -> Path:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, count)
    values = np.eye(4, dtype=np.float32)[labels] + random.normal(0, 0.1, (count, 4)).astype(np.float32)
    np.savez(path, **({"x": values, "label": labels} | more))
    return path
