"""A model that takes some milliseconds, deployed as a run deploys it, and a real Triton that serves it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from triton_server import Served, environment, triton

from edgecomp import serving_folder
from edgecomp.data.preprocessing import Numbers
from edgecomp.data.splits import Split
from edgecomp.package.deploy import write_deploy_folder

SIDE, WIDTH, LAYERS, CLASSES = 32, 48, 6, ("cat", "dog", "fox", "owl")
PICTURES = Numbers("image", (3, SIDE, SIDE), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), classes=CLASSES)


def network(seed: int) -> onnx.ModelProto:
    """Convolutions with weights drawn by `seed`: images → logits."""
    random = np.random.default_rng(seed)
    nodes, tensors, last, channels = [], [], "input", 3
    for place in range(LAYERS):
        weights = random.normal(0, (2 / (9 * channels)) ** 0.5, (WIDTH, channels, 3, 3)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weights, f"w{place}"))
        nodes += [
            helper.make_node("Conv", [last, f"w{place}"], [f"c{place}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{place}"], [f"r{place}"]),
        ]
        last, channels = f"r{place}", WIDTH
    tensors.append(
        numpy_helper.from_array(random.normal(0, 1, (WIDTH, len(CLASSES))).astype(np.float32), "head")
    )
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("input", ["n", 3, SIDE, SIDE]), ("logits", ["n", len(CLASSES)]))
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def deploy(seed: int, folder: Path) -> Path:
    """A new deployed `folder` of the network drawn by `seed`."""
    folder.mkdir(parents=True)
    onnx.save(network(seed), folder.with_suffix(".onnx"))
    images = np.random.default_rng(9).integers(0, 256, (16, 3, SIDE, SIDE), dtype=np.uint8)
    write_deploy_folder(
        model=folder.with_suffix(".onnx"),
        runtime="onnxruntime-cpu",
        options={},
        threads=1,
        preprocessing=PICTURES,
        validation=Split({"values": images}, np.zeros(16, np.int64)),
        data=folder,
        folder=folder,
    )
    return folder


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment()
    return deploy(1, tmp_path_factory.mktemp("run") / "first")


@pytest.fixture(scope="session")
def repository(deployed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models in one repository."""
    folder = tmp_path_factory.mktemp("repository") / "models"
    serving_folder(deployed, folder, name="pictures", backend="python")
    serving_folder(deployed, folder, name="others", backend="python")
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with triton(repository, tmp_path_factory.mktemp("server"), "pictures", "others") as served:
        yield served
