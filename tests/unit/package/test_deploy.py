"""The script that is deployed runs its file as it was measured: the runtime, its options, its threads."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
import pytest
import torch
from onnx import TensorProto, helper

from edgecomp import runtimes
from edgecomp.data.preprocessing import Numbers, load
from edgecomp.data.splits import Split
from edgecomp.errors import UsageError
from edgecomp.package.deploy import write_deploy_folder
from edgecomp.runtimes import TABLE

ROWS = Numbers("array", (3,), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), classes=("a", "b", "c"))
SCRIPTED = {runtime for runtime, row in TABLE.items() if row.scripted}
VALUES = np.eye(3, dtype=np.float32)[[2, 0, 1]]


def files_of(folder: Path) -> None:
    """Logits that are the input, as an ONNX file in `folder`, and as an IR beside it."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("input", "logits")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["logits"])], "g", ports[:1], ports[1:]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(made, folder / "given.onnx")
    ov.save_model(ov.convert_model(folder / "given.onnx"), folder / "given.xml", compress_to_fp16=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Logits that are the input, as an ONNX file, and as an IR and PyTorch's file beside it."""
    files_of(tmp_path)
    rows = torch.export.Dim("rows")
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "given.pt2")
    return tmp_path / "given"


def deployed(model: Path, runtime: str, preprocessing: Numbers = ROWS, **options: Any) -> Path:
    folder = model.parent / "deployed"
    folder.mkdir()
    write_deploy_folder(
        model=model.with_suffix(Path(TABLE[runtime].model_file).suffix),
        runtime=runtime,
        options=options,
        threads=2,
        preprocessing=preprocessing,
        validation=Split({"values": VALUES}, np.array([2, 0, 1])),
        data=model.parent,
        folder=folder,
    )
    return folder


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["infer.py"])
    runpy.run_path(str(folder / "infer.py"), run_name="__main__")


@pytest.mark.parametrize("runtime", ["onnxruntime-cpu", "openvino-cpu", "pytorch-cpu"])
def test_the_script_runs_what_lies_beside_it(
    model: Path, runtime: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(deployed(model, runtime), monkeypatch)
    assert capsys.readouterr().out.split() == ["c", "a", "b"]


@pytest.mark.parametrize("given", ["nothing.npy", "picture.png"])
def test_the_script_ends_with_a_sentence_where_it_is_given_no_file_of_numbers(
    model: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy would say of a picture that it holds pickled data, and how to load that."""
    (model.parent / "picture.png").write_bytes(b"\x89PNG")
    monkeypatch.setattr(sys, "argv", ["infer.py", str(model.parent / given)])
    with pytest.raises(SystemExit, match=f"wanted: a .npy file, which .*{given} is not"):
        runpy.run_path(str(deployed(model, "onnxruntime-cpu") / "infer.py"))


def test_a_rows_columns_are_named_in_their_order(model: Path) -> None:
    folder = deployed(model, "onnxruntime-cpu", replace(ROWS, columns=("age", "size", "weight")))
    contract, said = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("contract.json", "preprocessing.json")
    )
    assert contract["inputs"][0]["columns"] == said["columns"] == ["age", "size", "weight"]


def test_what_has_no_columns_names_none(model: Path) -> None:
    folder = deployed(model, "onnxruntime-cpu")
    assert "columns" not in (folder / "contract.json").read_text(encoding="utf-8")
    assert load(folder) == ROWS


@pytest.mark.parametrize("runtime", ["onnxruntime-cpu", "openvino-cpu"])
@pytest.mark.parametrize(
    ("changed", "asked", "words"),
    [
        ({}, VALUES[:0], r"wanted: numbers \[N, \*\(3,\)\], one at least"),
        ({}, VALUES[:, :2], "wanted: numbers"),
        ({}, VALUES.astype(str), "wanted: numbers"),
        ({}, VALUES * np.float32(np.nan), "the model's answers are not finite"),
        (
            {"classes": ["a", "b"]},
            VALUES,
            r"the model answers \(3, 3\) to 3 inputs, and preprocessing.json has 2 classes",
        ),
        ({"classes": ["a", "b", "c", "d"]}, VALUES, "has 4 classes"),
        ({"classes": []}, VALUES, "has 0 classes"),
        ({"std": [1.0, 0.0, 1.0]}, VALUES, "each std over 0"),
        ({"std": [1.0, -1.0, 1.0]}, VALUES, "each std over 0"),
        ({"std": [1.0, float("nan"), 1.0]}, VALUES, "each std over 0"),
        ({"mean": [float("inf"), 0.0, 0.0]}, VALUES, "mean and std must be numbers"),
    ],
)
def test_the_script_ends_with_a_sentence_where_it_cannot_answer(
    model: Path, runtime: str, changed: dict[str, Any], asked: Any, words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = deployed(model, runtime)
    told = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    (folder / "preprocessing.json").write_text(json.dumps(told | changed), encoding="utf-8")
    np.save(folder / "sample.npy", asked)
    with pytest.raises(SystemExit, match=words):
        run(folder, monkeypatch)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("std", [[1.0], [1.0] * 4])
def test_as_many_deviations_as_features(
    model: Path, std: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deployed(model, "onnxruntime-cpu")
    told = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    (folder / "preprocessing.json").write_text(json.dumps(told | {"std": std}), encoding="utf-8")
    with pytest.raises(ValueError, match="cannot reshape"):
        run(folder, monkeypatch)


class Recorded(Exception):  # noqa: N818 - it ends a script where it would run
    pass


def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What ONNX Runtime is told, by whoever opens a session from now on."""
    told: list[Any] = []

    def session(model: Any, settings: ort.SessionOptions, providers: Any) -> None:
        try:
            spinning = settings.get_session_config_entry("session.intra_op.allow_spinning")
        except RuntimeError:  # not set
            spinning = "1"
        level = settings.graph_optimization_level
        told.append((Path(model).name, settings.intra_op_num_threads, level, spinning, providers))
        raise Recorded

    monkeypatch.setattr(ort, "InferenceSession", session)
    return told


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("onnxruntime-cpu", {}),
        ("onnxruntime-cpu", {"spinning": False}),
        ("onnxruntime-cpu", {"spinning": True, "optimisation": "basic"}),
        ("onnxruntime-cuda", {"tf32": True, "convolution_search": "heuristic"}),
        ("onnxruntime-tensorrt", {"int8": True}),
        ("onnxruntime-tensorrt", {"fp16": True, "optimisation": "off"}),
        ("onnxruntime-tensorrt", {"engine_cache": True}),
    ],
)
def test_onnx_runtime_is_told_what_it_was_told_when_it_was_measured(
    model: Path, runtime: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deployed(model, runtime, **options)
    told = sessions(monkeypatch)
    monkeypatch.setattr("edgecomp.runtimes.onnxruntime_gpu.gpus", lambda: ["a GPU"])
    wanted = ["CUDAExecutionProvider", "TensorrtExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: wanted)
    with pytest.raises(Recorded):
        runtimes.adapter(runtime).load(folder / "model.onnx", threads=2, options=options)
    with pytest.raises(Recorded):
        run(folder, monkeypatch)
    assert told[0] == told[1]
    assert told[1][:2] == ("model.onnx", 2)
    assert "openvino" not in (folder / "infer.py").read_text(encoding="utf-8")


def test_a_script_for_a_gpu_does_not_run_on_the_cpu_instead(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime falls back without an error."""
    cpu = ort.InferenceSession(f"{model}.onnx", providers=["CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: cpu)
    with pytest.raises(SystemExit, match="TensorrtExecutionProvider could not start"):
        run(deployed(model, "onnxruntime-tensorrt", int8=True), monkeypatch)


def test_a_script_of_pytorchs_for_a_gpu_compiles_on_it_and_does_not_run_without_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = deployed(model, "pytorch-gpu", mode="compile")
    with pytest.raises(SystemExit, match="no GPU that this PyTorch can use"):
        run(folder, monkeypatch)
    told = []

    def moved(program: Any, device: str) -> Any:
        told.append(device)
        return program

    def compiled(module: Any, dynamic: bool) -> Any:
        told.append(dynamic)
        raise Recorded

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("torch.export.passes.move_to_device_pass", moved)
    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(Recorded):
        run(folder, monkeypatch)
    assert told == ["cuda", False]


@pytest.mark.parametrize("options", [{}, {"inference_precision": "bf16"}, {"low_precision": False}])
def test_openvino_is_told_what_it_was_told_when_it_was_measured(
    model: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deployed(model, "openvino-cpu", **options)
    told = []

    class Core:
        def read_model(self, path: Path) -> Path:
            return path

        def compile_model(self, path: Path, device: str, settings: dict[str, Any]) -> None:
            told.append((path, device, settings))
            raise Recorded

    adapter = runtimes.adapter("openvino-cpu")
    core = ModuleType("openvino")
    core.Core = Core  # type: ignore[attr-defined]
    monkeypatch.setattr("edgecomp.runtimes.openvino_cpu.ov", core)
    monkeypatch.setitem(sys.modules, "openvino", core)
    with pytest.raises(Recorded):
        adapter.load(folder / "model.xml", threads=2, options=options)
    with pytest.raises(Recorded):
        run(folder, monkeypatch)
    assert told[0] == told[1]


def test_every_runtime_that_can_be_a_target_has_a_script() -> None:
    assert {runtime for runtime, row in TABLE.items() if row.schemes != ("none",)} <= SCRIPTED


@pytest.mark.parametrize("runtime", [runtime for runtime in TABLE if runtime not in SCRIPTED])
def test_nothing_is_deployed_for_a_runtime_without_a_script(model: Path, runtime: str) -> None:
    with pytest.raises(UsageError, match=f"nothing is deployed for {runtime}, which has no script"):
        deployed(model, runtime)
    assert not list((model.parent / "deployed").iterdir())


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_script_of_pytorchs_computes_in_the_precision_that_was_measured(
    model: Path, precision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(network.weight)
    rows = torch.export.Dim("rows")
    program = torch.export.export(network, (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, model.with_suffix(".pt2"))
    folder = deployed(model, "pytorch-cpu", precision=precision)
    kind = {"fp16": "float16", "bf16": "bfloat16"}[precision]
    script = (folder / "infer.py").read_text(encoding="utf-8")
    assert f"kind = torch.{kind}" in script
    assert 'torch.autocast("cpu", kind)' in script
    run(folder, monkeypatch)
    assert capsys.readouterr().out.split() == ["c", "a", "b"]
