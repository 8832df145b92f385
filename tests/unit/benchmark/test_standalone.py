"""`edgecomp bench MODEL`, through the command line, for models of which nothing is known."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecomp.api.bench import jobs_of
from edgecomp.benchmark.hosts.confinement import MemoryLimit
from edgecomp.benchmark.scenarios.alternated import Taken
from edgecomp.benchmark.worker import answers
from edgecomp.config.job import load_job


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return content


QUICK = ("--restarts", "2", "--max-time", "2")


def bench(folder: Path, *arguments: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "edgecomp", "bench", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert "Traceback" not in done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)


def add(
    path: Path, *, batch: int | str = "batch", opset: int = 18, operator: str = "Add", domain: str = ""
) -> Path:
    """A model that doubles four numbers."""
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "x"], ["y"], domain=domain)],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
    )
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def target(folder: Path, **settings: Any) -> str:
    (folder / "t.yaml").write_text(
        json.dumps({"format": 1, "name": "t", "runtime": "fake", "scheme": "none"} | settings)
    )
    return "t.yaml"


def test_a_foreign_model_under_two_runtimes(tmp_path: Path) -> None:
    add(tmp_path / "double.onnx")
    done = bench(tmp_path, "double.onnx", "-t", "onnxruntime-cpu", "-t", "openvino-cpu", "--json", *QUICK)
    assert done.code == 0, done.err
    assert [one["target"] for one in done.summary["results"]] == ["onnxruntime-cpu", "openvino-cpu"]
    for one in done.summary["results"]:
        assert 0 < one["latency_p50_ms"]["value"] < one["cold_start_p50_ms"]["value"]
        assert one["peak_memory_bytes"]["value"] > one["model_memory_bytes"]["value"] >= 0
        assert one["file_size_bytes"]["value"] == (tmp_path / "double.onnx").stat().st_size
        assert one["latency_p50_ms"]["lower"] is None
        assert "it takes 6" in one["not_supported"]["bounds"]
        folder = tmp_path / one["folder"]
        content = json.loads((folder / "bench.json").read_text())
        assert content["format"] == 2
        assert content["inputs"] == "generated"
        assert content["audit"]["timed_error"] < 1e-6
        with np.load(folder / "samples.npz") as samples:
            walls = samples["single_stream_wall_ns"]
            assert walls.shape[0] == 2
            np.testing.assert_allclose(samples["outputs"].shape, (16, 4))
        p50 = np.median(np.median(walls, axis=1)) / 1e6
        assert p50 == pytest.approx(one["latency_p50_ms"]["value"])
        assert "Figures" in (folder / "bench.html").read_text()


def test_every_scenario_of_a_fake_with_a_known_latency(tmp_path: Path) -> None:
    """2 ms of CPU time: 500 requests a second at most, and eight as one in the same time."""
    (tmp_path / "m.json").write_text(json.dumps({"latency_ns": 2_000_000}))
    name = target(tmp_path, budget={"latency_p99_ms": "20 ms"})
    scenarios = [
        part
        for one in ("server", "dynamic-batching", "multi-stream", "sustained", "stress")
        for part in ("-s", one)
    ]
    done = bench(tmp_path, "m.json", "-t", name, *scenarios, "--restarts", "1", "--max-time", "4", "--minutes", "0.05",
                 "--clients", "2", "--json")  # fmt: skip
    assert done.code == 0, done.err
    (one,) = done.summary["results"]
    assert one["cpu_p50_ms"]["value"] == pytest.approx(2, rel=0.1)
    assert 250 <= one["server_per_s"]["value"] <= 500
    assert one["batched_server_per_s"]["value"] > 600
    content = json.loads((tmp_path / one["folder"] / "bench.json").read_text())
    (alone, both) = content["scenarios"]["stress"]["rounds"]
    assert (alone["clients"], both["clients"]) == (1, 2)
    assert both["wrong"] == 0
    assert both["errors"] == []
    assert content["scenarios"]["sustained"]["blocks"] >= 2
    assert content["scenarios"]["server"]["limit_ms"] == 20


def test_wrong_answers_under_load_are_counted(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"latency_ns": 10_000, "wrong_after": 2000}))
    done = bench(tmp_path, "m.json", "-t", target(tmp_path), "-s", "stress", "--restarts", "1", "--max-time", "1",
                 "--minutes", "0.05", "--clients", "1", "--json")  # fmt: skip
    assert done.code == done.summary["exit_code"] == 4, done.err
    (one,) = done.summary["results"]
    content = json.loads((tmp_path / one["folder"] / "bench.json").read_text())
    assert content["scenarios"]["stress"]["rounds"][0]["wrong"] > 0
    assert any("to 1 clients at once are not the single client's" in doubt for doubt in one["doubts"])


def test_a_model_that_answers_repeated_inputs_from_memory_is_seen(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"latency_ns": 200_000, "repeated_factor": 0.1}))
    done = bench(tmp_path, "m.json", "-t", target(tmp_path), "--json", *QUICK)
    assert done.code == 4
    (one,) = done.summary["results"]
    assert one["audit"]["repeated_over_fresh"] < 0.3
    assert "it seems to be answered from memory" in one["doubts"][0]


def save(
    path: Path, nodes: list[Any], ports: list[tuple[str, int, Any]], *, outputs: int = 1, **weights: Any
) -> None:
    """A model of these nodes; the last ports are its outputs."""
    values = [helper.make_tensor_value_info(*port) for port in ports]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "model", values[:-outputs], values[-outputs:], held)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
ROWS = ["batch", 4]


@pytest.mark.parametrize(("operator", "what"), [("Log", "NaN"), ("Exp", "infinity")])
def test_outputs_that_are_no_numbers_are_said_and_the_rest_is_kept(
    tmp_path: Path, operator: str, what: str
) -> None:
    """Of any output: it is the second here."""
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node(operator, ["y"], ["z"])]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ROWS), ("y", FLOAT, ROWS), ("z", FLOAT, ROWS)], outputs=2)
    np.savez(tmp_path / "in.npz", x=np.full((20, 4), 1 if what == "NaN" else -1000, np.float32))
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == done.summary["exit_code"] == 4, done.err
    assert f"INVALID output z holds {what}." in " ".join(done.err.split())
    (one,) = done.summary["results"]
    assert one["doubts"] == [f"output z holds {what}"]
    assert one["audit"]["outputs"]["y"] == {
        "dtype": "float32", "shape": [1, 4], "broken": "", "timed_error": 0.0, "alone_error": None,
    }  # fmt: skip
    folder = tmp_path / one["folder"]
    assert json.loads((folder / "bench.json").read_text())["audit"]["timed_error"] is None
    assert f"output z holds {what}" in (folder / "bench.html").read_text()
    assert one["latency_p50_ms"]["value"] > 0


def test_an_output_of_any_kind_is_timed_and_kept(tmp_path: Path) -> None:
    """Classes in words and their probabilities by name, as scikit-learn's are exported, a flag, and boxes of any number."""
    classifier = helper.make_node(
        "LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=np.eye(2, 4).ravel().tolist(),
        intercepts=[0.0, 0.0], classlabels_strings=["cat", "dog"], post_transform="SOFTMAX",
    )  # fmt: skip
    nodes = [
        classifier,
        helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"]),
        helper.make_node("Greater", ["x", "zero"], ["flag"]),
        helper.make_node("NonZero", ["flag"], ["found"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
    ]
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"]),
        helper.make_value_info("z", helper.make_sequence_type_proto(kind)),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, ROWS),
        helper.make_tensor_value_info("found", INT64, [2, "how_many"]),
        helper.make_tensor_value_info("sum", FLOAT, []),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", FLOAT, ROWS)], outputs, [numpy_helper.from_array(np.float32(0), "zero")]
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    done = bench(tmp_path, "m.onnx", "--json", *QUICK)
    assert done.code == 0, done.err
    (one,) = done.summary["results"]
    told = one["audit"]["outputs"]
    assert {name: output["dtype"] for name, output in told.items()} == {
        "label": "string", "z": "float64", "flag": "bool", "found": "int64", "sum": "float32",
    }  # fmt: skip
    assert {output["timed_error"] for output in told.values()} == {0}
    with np.load(tmp_path / one["folder"] / "samples.npz") as samples:
        assert samples["outputs.names"].tolist() == list(told)
        assert set(samples["outputs.0"]) <= {"cat", "dog"}
        assert samples["outputs.3.shapes"].shape == (16, 2)


def test_a_batch_that_fails_costs_the_figures_of_the_batch(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "one"], ["y"])]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ROWS), ("y", FLOAT, [1, 4])], one=np.array([1, 4]))
    done = bench(tmp_path, "m.onnx", "-s", "multi-stream", "--json", *QUICK)
    assert done.code == 0, done.err
    (one,) = done.summary["results"]
    assert one["latency_p50_ms"]["value"] > 0
    assert one["not_supported"]["throughput_p50_per_s"].startswith("not run: a batch of 32 fails: ")
    content = json.loads((tmp_path / one["folder"] / "bench.json").read_text())
    assert content["scenarios"]["multi-stream"]["not_run"].startswith("a batch of 8 fails: ")


def test_a_model_that_refuses_what_was_made_up_is_not_blamed(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "size"], ["y"])]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ROWS), ("size", INT64, [2]), ("y", FLOAT, ["a", "b"])])
    done = bench(tmp_path, "m.onnx", *QUICK)
    said = " ".join(done.err.split())
    assert done.code == 2
    assert (
        "Its inputs were made up (x float32 [4] of normal numbers; size int64 [2] of ids under 100)" in said
    )
    assert "give real ones with --inputs FILE.npz, or say what is legal with --range" in said
    np.savez(tmp_path / "in.npz", x=np.ones((20, 4), np.float32), size=np.array([2, 2]))
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == 0, done.err
    assert done.summary["results"][0]["made_up"] == {}


def test_time_comes_first_where_the_file_says_so(tmp_path: Path) -> None:
    """And a batch is a batch of sequences: a sum over time is one a sequence."""
    nodes = [helper.make_node("ReduceSum", ["x", "first"], ["y"], keepdims=0)]
    shape = ["time", "batch", 4]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, shape), ("y", FLOAT, ROWS)], first=np.array([0]))
    values = np.random.default_rng(0).normal(size=(7, 40, 4)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=values)
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == 0, done.err
    with np.load(tmp_path / done.summary["results"][0]["folder"] / "samples.npz") as samples:
        np.testing.assert_allclose(samples["outputs"], values.sum(axis=0), rtol=1e-5, atol=1e-5)
    done = bench(tmp_path, "m.onnx", "--shape", "time=3", "--json", *QUICK)
    assert done.summary["results"][0]["made_up"] == {"x": "float32 [3, 4] of normal numbers"}


def test_answers_that_depend_on_the_batch_are_told_and_no_fault_of_the_timing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ROWS), ("y", FLOAT, ROWS)])
    done = bench(tmp_path, "m.onnx", "--json", *QUICK)
    assert done.code == 0, done.err
    (one,) = done.summary["results"]
    assert one["doubts"] == []
    assert "output y depends on what else is in its batch: 32 at once" in one["notes"][0]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # OpenVINO's own converter's
def test_an_ir_without_names_is_called_by_place(tmp_path: Path) -> None:
    """As openvino.convert_model leaves what it has from PyTorch."""
    import openvino as ov
    import torch

    network = torch.nn.Linear(4, 2).eval()
    ov.save_model(
        ov.convert_model(network, example_input=torch.ones(1, 4), input=[-1, 4]), tmp_path / "m.xml"
    )
    done = bench(tmp_path, "m.xml", "--json", *QUICK)
    assert done.code == 0, done.err
    assert list(done.summary["results"][0]["audit"]["outputs"]) == ["output_0"]


def test_padding_on_the_left_reaches_the_model(tmp_path: Path) -> None:
    """A text classifier that answers from its last token, as decoders do."""
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["z"]),
        helper.make_node("Gather", ["z", "last"], ["y"], axis=1),
    ]
    shape = ["batch", "length"]
    ports = [(name, INT64, shape) for name in ("input_ids", "attention_mask")]
    save(tmp_path / "m.onnx", nodes, [*ports, ("y", INT64, ["batch"])], last=np.array(-1))
    mask = (np.arange(8) >= np.arange(20)[:, None] % 6).astype(np.int64)
    ids = np.random.default_rng(0).integers(1, 9, mask.shape)
    np.savez(tmp_path / "in.npz", input_ids=ids, attention_mask=mask)
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == 0, done.err
    with np.load(tmp_path / done.summary["results"][0]["folder"] / "samples.npz") as samples:
        np.testing.assert_array_equal(samples["outputs"], ids[:, -1])


def test_a_file_of_one_length_gets_all_of_it(tmp_path: Path) -> None:
    """Padding that is on the right, and that it does not let go."""
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=FLOAT),
    ]
    ports = [(name, INT64, ["batch", 8]) for name in ("input_ids", "attention_mask")]
    save(tmp_path / "m.onnx", nodes, [*ports, ("y", FLOAT, ["batch", 8])])
    mask = (np.arange(8) < 5).astype(np.int64) * np.ones((20, 1), np.int64)
    np.savez(tmp_path / "in.npz", input_ids=mask, attention_mask=mask)
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == 0, done.err


def test_an_output_for_each_token_of_texts_of_any_length(tmp_path: Path) -> None:
    shape = ["batch", "length"]
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT),
    ]
    ports = [(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    save(tmp_path / "m.onnx", nodes, [*ports, ("y", TensorProto.FLOAT, shape)])
    lengths = np.r_[np.full(32, 5), np.full(8, 12)]
    mask = (np.arange(12) < lengths[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(1, 9, mask.shape) * mask
    np.savez(tmp_path / "in.npz", input_ids=ids, attention_mask=mask)
    done = bench(tmp_path, "m.onnx", "--inputs", "in.npz", "--json", *QUICK)
    assert done.code == 0, done.err
    folder = tmp_path / done.summary["results"][0]["folder"]
    with np.load(folder / "samples.npz") as samples:
        np.testing.assert_array_equal(samples["outputs"], ids)
    assert json.loads((folder / "bench.json").read_text())["audit"]["timed_error"] == 0


def test_a_file_of_one_batch_size_is_fed_so(tmp_path: Path) -> None:
    add(tmp_path / "eight.onnx", batch=8)
    done = bench(tmp_path, "eight.onnx", "-s", "multi-stream", "--json", *QUICK)
    assert done.code == 0, done.err
    content = json.loads((tmp_path / done.summary["results"][0]["folder"] / "bench.json").read_text())
    assert content["rows"] == 8
    assert content["scenarios"]["multi-stream"] == {"not_run": "the file takes batches of 8 and no others"}


def test_the_audit_is_of_whole_batches() -> None:
    """Of ten examples, four at once, the last two are never timed."""
    logits = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    timed = {0: answers.told({"y": logits[:4]}), 1: answers.told({"y": logits[4:8]})}
    taken = Taken(timed_answers=timed, repeated=[[1]], fresh=[[1]], outputs={"y": logits})
    assert taken.audit(rows=4)["timed_error"] == 0


def test_what_one_target_cannot_do_leaves_the_other_its_result(tmp_path: Path) -> None:
    add(tmp_path / "double.onnx")
    done = bench(tmp_path, "double.onnx", "-t", "onnxruntime-cuda", "-t", "onnxruntime-cpu", "--json", *QUICK)
    assert done.code == 70
    assert "no GPU here" in done.summary["errors"]["onnxruntime-cuda"]
    assert [one["target"] for one in done.summary["results"]] == ["onnxruntime-cpu"]


def test_a_model_over_its_budget_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"load_bytes": 600 * 2**20}))
    done = bench(tmp_path, "m.json", "-t", target(tmp_path, memory="128 MiB"), *QUICK)
    assert done.code == 1
    assert "over the target's memory of 128.0 MiB" in " ".join(done.err.split())


def test_a_scenario_that_fails_leaves_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"latency_ns": 10_000, "crash_after": 4000}))
    done = bench(
        tmp_path, "m.json", "-t", target(tmp_path), "-s", "stress", "--minutes", "0.05", "--json", *QUICK
    )
    assert done.code == 70
    assert "ended with exit code 11 (stress)" in done.summary["errors"]["t, stress"]
    (one,) = done.summary["results"]
    assert one["latency_p50_ms"]["value"] > 0
    assert "exit code 11" in (tmp_path / one["folder"] / "bench.html").read_text()


def test_a_batch_that_does_not_fit_is_no_model_that_does_not(tmp_path: Path) -> None:
    """One example needs 8 MiB beside weights of 32, thirty-two need 256."""
    with MemoryLimit(2**26) as limited:
        if not limited.certain:
            pytest.skip(f"no cgroup can be made here: {limited.why}")
    weight = numpy_helper.from_array(np.ones((4, 2**21), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["y"], keepdims=1, noop_with_empty_axes=0),
    ]
    shape = ["batch", 4]
    graph = helper.make_graph(nodes, "wide", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])], [weight])  # fmt: skip
    nodes[1].input.append("")
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        tmp_path / "m.onnx",
    )
    name = target(tmp_path, runtime="onnxruntime-cpu", scheme="cpu-u8-narrow", memory="200 MiB")
    done = bench(tmp_path, "m.onnx", "-t", name, "--json", *QUICK)
    assert done.code == 0, done.err
    content = json.loads((tmp_path / done.summary["results"][0]["folder"] / "bench.json").read_text())
    assert content["offline_batch"] == 1
    assert content["confinement"]["how"].startswith("cgroup")
    held = content["memory"]["steady"]
    kernel = held["cgroup_anonymous_bytes"]
    assert abs(held["anonymous_bytes"] - kernel) <= 0.05 * kernel + 4 * 2**20


def test_a_result_is_never_written_over(tmp_path: Path) -> None:
    add(tmp_path / "double.onnx")
    (tmp_path / "there").mkdir()
    done = bench(tmp_path, "double.onnx", "--out", "there", *QUICK)
    assert done.code == 2
    assert "results are not changed" in done.err


def test_a_run_folder_is_measured_on_the_targets_of_its_job(tmp_path: Path) -> None:
    """Not on those shipped, and not what a target has left that the job no longer has."""
    wide = target(
        tmp_path, name="wide", runtime="onnxruntime-cpu", scheme="cpu-u8-narrow", description="mine"
    )
    job = load_job("digits", [f"targets=[{tmp_path / wide}]", "ungated_targets=[]"])
    (tmp_path / "job.json").write_text(job.model_dump_json())
    for name in ("wide", "old"):
        (tmp_path / "deploy" / name).mkdir(parents=True)
        add(tmp_path / "deploy" / name / "model.onnx")
    ours = tmp_path / "deploy" / "wide" / "model.onnx"
    assert jobs_of(tmp_path, []) == jobs_of(tmp_path, ["wide"]) == [(ours, job.targets[0])]
    (other,) = jobs_of(tmp_path, ["onnxruntime-cpu"])
    assert (other[0], other[1].name) == (ours, "onnxruntime-cpu")
    (tmp_path / wide).rename(tmp_path / "old.yaml")
    text = (tmp_path / "old.yaml").read_text().replace('"wide"', '"old"')
    (tmp_path / "old.yaml").write_text(text)
    assert jobs_of(tmp_path, [str(tmp_path / "old.yaml")])[0][0] == ours


def workers_in(folder: Path) -> list[str]:
    """The command lines of workers that have been given inputs of this folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = file.read_text()
        except OSError:  # it has ended meanwhile
            continue
        if "edgecomp.benchmark.worker.main" in text and f'"inputs": "{folder}' in text:
            found.append(text)
    return found


def test_a_termination_ends_the_workers_and_leaves_no_scratch_folder(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"hang_after": 0}))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecomp", "bench", "m.json", "-t", target(tmp_path), "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    while not workers_in(scratch):
        assert process.poll() is None
        time.sleep(0.05)
    for _ in range(2):  # as timeout(1) does
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == json.loads(out.splitlines()[-1])["exit_code"] == 143
    assert "edgecomp: terminated" in err
    assert "is kept" not in err  # only `run` goes on where it was
    assert "Traceback" not in err
    assert workers_in(scratch) == []
    assert list(scratch.iterdir()) == []


def truncated(folder: Path) -> list[str]:
    file = add(folder / "m.onnx")
    file.write_bytes(file.read_bytes()[:40])
    return ["m.onnx"]


def hostile(folder: Path) -> list[str]:
    (folder / "m.onnx").write_bytes(os.urandom(4096))
    return ["m.onnx"]


def newer_opset(folder: Path) -> list[str]:
    add(folder / "m.onnx", opset=99)
    return ["m.onnx"]


def custom_operator(folder: Path) -> list[str]:
    add(folder / "m.onnx", operator="Magic", domain="my.own")
    return ["m.onnx"]


def missing_inputs(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", z=np.zeros((3, 4), np.float32))
    return ["m.onnx", "--inputs", "in.npz"]


def wrong_dtype(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", x=np.full((3, 4), 0.1))
    return ["m.onnx", "--inputs", "in.npz"]


def no_examples(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", x=np.zeros((0, 4), np.float32))
    return ["m.onnx", "--inputs", "in.npz"]


def without_inputs(folder: Path) -> list[str]:
    save(
        folder / "m.onnx",
        [helper.make_node("Identity", ["w"], ["y"])],
        [("y", FLOAT, [3])],
        w=np.ones(3, np.float32),
    )
    return ["m.onnx"]


def huge(folder: Path) -> list[str]:
    ports = [("x", FLOAT, ["batch", 2**31]), ("y", FLOAT, ["batch", 2**31])]
    save(folder / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], ports)
    return ["m.onnx"]


def many_at_once(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return ["m.onnx", "--shape", "batch=1000000"]


def many_clients(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return ["m.onnx", "-s", "stress", "--clients", "100000"]


def shape_of_another(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return ["m.onnx", "--shape", "batsch=2"]


def made_up_and_given(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", x=np.zeros((3, 4), np.float32))
    return ["m.onnx", "--inputs", "in.npz", "--range", "x=0:1"]


def not_finite(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", x=np.array([[0, 1, 2, 3], [4, 5, np.inf, 7]], np.float32))
    return ["m.onnx", "--inputs", "in.npz"]


def out_below_a_file(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return ["m.onnx", "--out", "m.onnx/new"]


def fewer_than_a_batch(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    np.savez(folder / "in.npz", x=np.zeros((3, 4), np.float32))
    name = target(folder, runtime="onnxruntime-cpu", scheme="cpu-u8-narrow", shapes={"batch": 4})
    return ["m.onnx", "--inputs", "in.npz", "-t", name]


def too_many_cores(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return [
        "m.onnx",
        "-t",
        target(folder, runtime="onnxruntime-cpu", scheme="cpu-u8-narrow", cores=999, threads=999 // 4),
    ]


def unknown_scenario(folder: Path) -> list[str]:
    add(folder / "m.onnx")
    return ["m.onnx", "-s", "servr"]


def wrong_file(folder: Path) -> list[str]:
    (folder / "m.pt2").write_bytes(b"x")
    return ["m.pt2", "-t", "onnxruntime-cpu"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, "ONNX Runtime cannot load"),
        (hostile, "ONNX Runtime cannot load"),
        (newer_opset, "ONNX Runtime cannot load"),
        (custom_operator, "Magic"),
        (missing_inputs, "in.npz has no x; it has z"),
        (wrong_dtype, "x is of float64, the model takes float32"),
        (no_examples, "x 0 examples: they must be as many, and one at least"),
        (not_finite, "in.npz: x of example 1 holds a NaN or an infinity (1 of 2 examples do)"),
        (out_below_a_file, "--out m.onnx/new cannot be written"),
        (fewer_than_a_batch, "in.npz has 3 examples, and target t takes 4 at once: give 4 at least"),
        (without_inputs, "the file takes no inputs: it gives the same answer each time"),
        (huge, "1 at once, would take 8.0 GiB, more than 512.0 MiB"),
        (many_at_once, "1,000,000 examples at once are more than 65,536"),
        (many_clients, "Input should be less than or equal to 1024"),
        (shape_of_another, "there is no such axis that the file leaves free; did you mean 'batch'?"),
        (
            made_up_and_given,
            "--shape and --range are of inputs that are made up, and --inputs gives real ones",
        ),
        (too_many_cores, "target t has 999 cores"),
        (unknown_scenario, "no such scenario: 'servr'; did you mean 'server'?"),
        (wrong_file, "onnxruntime-cpu takes .onnx, not .pt2"),
        (lambda _: ["none.onnx"], "no such model file: none.onnx"),
        (lambda _: ["."], "has no job.json: it is not a run folder"),
    ],
)
def test_bad_requests_get_one_clear_message(make: Any, words: str, tmp_path: Path) -> None:
    arguments = make(tmp_path)
    if arguments == ["."]:
        arguments += ["--profile"]
    done = bench(tmp_path, *arguments, *QUICK)
    assert done.code == 2, done.err
    assert words in " ".join(done.err.split())
    assert not (tmp_path / "runs").exists()
