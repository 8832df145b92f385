"""Folders for servers: the configuration is what Triton parses, settings follow from the bench, the Python backend answers as the script does."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unit.package.test_deploy import VALUES, deployed, files_of

from edgecomp import serving_folder
from edgecomp.errors import FileError, UsageError
from edgecomp.files.json_files import read_json
from edgecomp.package.serving import triton
from edgecomp.package.serving.settings import derived

RUNTIMES = {"onnxruntime-cpu": "onnxruntime", "openvino-cpu": "openvino"}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    files_of(folder)
    (folder / "given.pt2").touch()  # it is copied, and not read
    return folder


@pytest.fixture
def model(made_once: Path, tmp_path: Path) -> Path:
    """Logits that are the input: `given.onnx`, and as an IR beside it."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "given"


def config(folder: Path) -> Any:
    """As Triton reads it."""
    protobuf = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format  # type: ignore[import-untyped]  # it has no stubs

    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), protobuf.ModelConfig())


def bench(folder: Path, digest: str, **changed: Any) -> Path:
    """What a bench of that file says: batches serve more, two clients nearly the most, the third call is steady."""
    folder.mkdir()
    figure = {"value": 100.0, "lower": 95.0, "upper": 105.0}
    content = {
        "model": "model.onnx",
        "file_sha256": {"model.onnx": digest},
        "target": {},
        "metrics": {
            "server_per_s": figure,
            "batched_server_per_s": {"value": 200.0, "lower": 190.0, "upper": 210.0},
        },
        "scenarios": {
            "dynamic-batching": {"most": 4, "delay_ms": 1.5, "limit_ms": 15.0},
            "stress": {
                "rounds": [
                    {"clients": clients, "per_s": per_s, "wrong": 0, "errors": []}
                    for clients, per_s in ((1, 100.0), (2, 196.0), (4, 200.0))
                ]
            },
        },
    } | changed
    (folder / "bench.json").write_text(json.dumps(content), encoding="utf-8")
    np.savez(folder / "samples.npz", warmup_wall_ns=np.array([[900, 300, 100, 100, 100, 100, 100, 100]] * 3))
    return folder


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_triton_is_told_what_the_bench_found(model: Path, runtime: str) -> None:
    folder = deployed(model, runtime)
    digest = read_json(folder / "contract.json")["files"][
        "model.onnx" if runtime == "onnxruntime-cpu" else "model.xml"
    ]
    made = serving_folder(
        folder, model.parent / "repository", name="rows", bench=bench(model.parent / "bench", digest)
    )
    assert made == model.parent / "repository" / "rows" / "1"
    told = config(made.parent)
    assert (told.name, told.backend, told.max_batch_size) == ("rows", RUNTIMES[runtime], 4)
    assert [(one.name, list(one.dims)) for one in (*told.input, *told.output)] == [
        ("input", [3]),
        ("logits", [3]),
    ]
    assert told.instance_group[0].count == 2
    assert told.dynamic_batching.max_queue_delay_microseconds == 1500
    assert [(one.batch_size, one.count) for one in told.model_warmup] == [(1, 3), (4, 3)]
    threads = {"onnxruntime": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}[RUNTIMES[runtime]]
    assert told.parameters[threads].string_value == "2"
    fed = np.fromfile(made.parent / "warmup" / "input-4", np.float32).reshape(4, 3)
    np.testing.assert_array_equal(fed, VALUES[[0, 1, 2, 0]])
    for name in read_json(folder / "contract.json")["files"]:
        assert (made / name).read_bytes() == (folder / name).read_bytes()


def test_without_a_bench_nothing_is_claimed(model: Path) -> None:
    made = serving_folder(deployed(model, "onnxruntime-cpu"), model.parent / "repository")
    told = config(made.parent)
    assert told.name == "deployed"
    assert (told.instance_group[0].count, told.HasField("dynamic_batching"), told.model_warmup[0].count) == (
        1,
        False,
        1,
    )
    assert "nothing was measured" in (made.parent / "config.pbtxt").read_text(encoding="utf-8")


def test_batches_must_be_shown_to_serve_more(tmp_path: Path) -> None:
    overlapping = {
        name: {"value": value, "lower": 90.0, "upper": 210.0}
        for name, value in (("server_per_s", 100.0), ("batched_server_per_s", 200.0))
    }
    unbounded = {
        name: {"value": value, "lower": None, "upper": None}
        for name, value in (("server_per_s", 100.0), ("batched_server_per_s", 200.0))
    }
    for name, metrics, words in (
        ("a", overlapping, "not shown to serve more"),
        ("b", unbounded, "too few restarts"),
        ("c", {}, "not both"),
    ):
        found = derived(1, {"model.onnx": "x"}, bench(tmp_path / name, "x", metrics=metrics))
        assert not found.batches
        assert any(words in why for why in found.why)


def test_a_round_with_wrong_answers_or_errors_sets_no_instances(tmp_path: Path) -> None:
    rounds = [
        {"clients": 1, "per_s": 100.0, "wrong": 0, "errors": []},
        {"clients": 2, "per_s": 300.0, "wrong": 3, "errors": []},
        {"clients": 4, "per_s": 400.0, "wrong": 0, "errors": ["x"]},
    ]
    found = derived(
        1,
        {"model.onnx": "x"},
        bench(tmp_path / "bench", "x", scenarios={"stress": {"rounds": rounds}}, metrics={}),
    )
    assert found.instances == 1


def test_a_bench_of_another_model_is_refused(model: Path) -> None:
    folder = deployed(model, "onnxruntime-cpu")
    with pytest.raises(UsageError, match="whose sha256 is another"):
        serving_folder(folder, model.parent / "repository", bench=bench(model.parent / "bench", "another"))
    assert not (model.parent / "repository").exists()
    with pytest.raises(FileError, match=r"bench\.json"):
        serving_folder(folder, model.parent / "repository", bench=folder)
    digest = read_json(folder / "contract.json")["files"]["model.onnx"]
    with pytest.raises(FileError, match="is not what edgecomp bench writes there"):
        serving_folder(
            folder,
            model.parent / "repository",
            bench=bench(model.parent / "cut", digest, scenarios={"stress": {"rounds": [{}]}}),
        )


class Response(SimpleNamespace):
    pass


def backend(made: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that was written, as Triton's stub runs it."""
    stub = ModuleType("triton_python_backend_utils")
    stub.get_input_tensor_by_name = lambda request, name: SimpleNamespace(as_numpy=lambda: request[name])  # type: ignore[attr-defined]
    stub.Tensor = lambda name, values: (name, values)  # type: ignore[attr-defined]
    stub.InferenceResponse = lambda tensors=(), error=None: Response(outputs=dict(tensors), error=error)  # type: ignore[attr-defined]
    stub.TritonError = str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    spec = importlib.util.spec_from_file_location("served", made / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.TritonPythonModel()
    found.initialize({"model_repository": str(made.parent), "model_version": made.name})
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_python_backend_takes_raw_inputs_and_gives_labels(
    model: Path,
    runtime: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = serving_folder(deployed(model, runtime), model.parent / "repository", backend="python")
    told = config(made.parent)
    assert [(one.name, one.data_type, list(one.dims)) for one in told.input] == [("values", 11, [3])]
    assert [one.name for one in told.output] == ["logits", "label"]
    served = backend(made, monkeypatch)
    answers = served.execute([{"values": VALUES[:2]}, {"values": VALUES[2:]}])
    assert [one.outputs["label"].ravel().tolist() for one in answers] == [[b"c", b"a"], [b"b"]]
    np.testing.assert_allclose(answers[0].outputs["logits"], VALUES[:2])


def test_one_bad_request_costs_no_other_its_answer(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = serving_folder(deployed(model, "onnxruntime-cpu"), model.parent / "repository", backend="python")
    served = backend(made, monkeypatch)
    good, bad = served.execute([{"values": VALUES}, {"values": VALUES[:, :2]}])
    assert good.outputs["label"].ravel().tolist() == [b"c", b"a", b"b"]
    assert "ValueError" in bad.error


def test_openvino_model_server_is_told_of_every_model_once(model: Path) -> None:
    folder, repository = deployed(model, "openvino-cpu"), model.parent / "repository"
    digest = read_json(folder / "contract.json")["files"]["model.xml"]
    made = serving_folder(
        folder, repository, server="openvino", name="rows", bench=bench(model.parent / "bench", digest)
    )
    serving_folder(folder, repository, server="openvino", name="others")
    models = [one["config"] for one in read_json(repository / "config.json")["model_config_list"]]
    assert [one["name"] for one in models] == ["rows", "others"]
    assert models[0]["base_path"] == "rows"
    assert (models[0]["nireq"], models[0]["plugin_config"]) == (
        2,
        {"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "4"},
    )
    assert sorted(file.name for file in made.iterdir()) == ["model.bin", "model.xml"]
    with pytest.raises(UsageError, match="these very files"):
        serving_folder(folder, repository, server="openvino", name="rows", version=2)


def test_another_version_leaves_the_configuration_as_it_is(model: Path) -> None:
    folder, repository = deployed(model, "onnxruntime-cpu"), model.parent / "repository"
    first = serving_folder(folder, repository, name="rows")
    (first.parent / "config.pbtxt").write_text(
        (first.parent / "config.pbtxt").read_text(encoding="utf-8").replace("count: 1 kind", "count: 3 kind"),
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match=r"has a version 1 already.*--version 2"):
        serving_folder(folder, repository, name="rows")
    second = serving_folder(folder, repository, name="rows", version=2)
    assert second.name == "2"
    assert config(first.parent).instance_group[0].count == 3
    with pytest.raises(UsageError, match="is not of the backend python"):
        serving_folder(folder, repository, name="rows", version=3, backend="python")


def test_a_version_with_other_outputs_is_another_model(model: Path) -> None:
    folder, repository = deployed(model, "onnxruntime-cpu"), model.parent / "repository"
    made = serving_folder(folder, repository, name="rows")
    file = made.parent / "config.pbtxt"
    file.write_text(file.read_text(encoding="utf-8").replace("dims: [3]", "dims: [4]"), encoding="utf-8")
    with pytest.raises(UsageError, match="other inputs or outputs"):
        serving_folder(folder, repository, name="rows", version=2)
    assert not (repository / "rows" / "2").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"server": "tritn"}, "did you mean 'triton'"),
        ({"name": "../x"}, "a model's name is of letters"),
        ({"version": 0}, "from 1 on"),
        ({"backend": "openvino"}, "name onnxruntime or python"),
        ({"server": "openvino", "backend": "python"}, "is of Triton"),
    ],
)
def test_what_cannot_be_written_is_told(model: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        serving_folder(deployed(model, "onnxruntime-cpu"), model.parent / "repository", **asked)
    assert not (model.parent / "repository").exists()


def test_what_is_no_deployed_folder_or_was_changed_is_told(model: Path) -> None:
    with pytest.raises(UsageError, match=r"has no contract\.json"):
        serving_folder(model.parent, model.parent / "repository")
    folder = deployed(model, "onnxruntime-cpu")
    (folder / "model.onnx").write_bytes(b"changed")
    with pytest.raises(UsageError, match="sha256 differs"):
        serving_folder(folder, model.parent / "repository")


def test_a_runtime_that_no_server_here_takes_is_told(model: Path) -> None:
    with pytest.raises(UsageError, match="is for pytorch-cpu; folders for servers"):
        serving_folder(deployed(model, "pytorch-cpu"), model.parent / "repository")


def test_texts_travel_with_their_length() -> None:
    assert triton.as_bytes(np.array([["ab"], ["é"]]), "string") == b"\x02\0\0\0ab\x02\0\0\0\xc3\xa9"
