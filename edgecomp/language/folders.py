"""The folders that ONNX Runtime GenAI and OpenVINO GenAI load, of a model in float or of one whose integers it was trained through."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import CaptureError, RuntimeUnavailableError
from edgecomp.files.json_files import read_mapping
from edgecomp.language import gguf_files
from edgecomp.language.models import LanguageModel, own_name, save
from edgecomp.language.weights import Integers, integers_of, plain_weights

IN_FLOAT = 1
"""MatMulNBits' accuracy_level: what is multiplied with the weights stays float32."""
NOT_ROUNDED = "session.disable_quant_qdq"
"""A session's setting, with which DequantizeLinear of weights is computed once, when it is made. Without it ONNX Runtime makes of it and the product a
MatMulNBits that rounds what is multiplied; and with float activations that kernel, in 8 bits, takes some thirty times as long as fp32's (AVX2, 1.31; benchmarks/eight_bit_products.py)."""
ZERO = {4: 8, 8: 128}
"""The zero point of MatMulNBits and GatherBlockQuantized, where none is given."""
DOMAIN = "com.microsoft"
TABLE = "model.embed_tokens.weight"
"""Of the embeddings, which the last layer reads as well where it has no weights of its own."""


def weights_of(network: LanguageModel) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, Integers]]:
    """All weights of `network` by Hugging Face's names, those in integers as what they stand for, and these integers."""
    floats = {own_name(name): tensor.float().numpy() for name, tensor in plain_weights(network).items()}
    return floats, {own_name(name): one for name, one in integers_of(network).items()}


def openvino(network: LanguageModel, tokenizer: Any, folder: Path) -> None:
    """Writes OpenVINO GenAI's folder of `network` and its tokenizer into `folder`: openvino_model.xml, what is beside it, and Hugging Face's files of the tokenizer.
    In float, matrices are in fp16. Raises RuntimeUnavailableError, CaptureError."""
    try:
        import openvino_genai
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"openvino-genai cannot be imported: {error}; pip install 'edgecomp[language]'"
        ) from error
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "student.gguf"
        gguf_files.write(file, network.config, tokenizer, *weights_of(network))
        try:
            openvino_genai.LLMPipeline(str(file), "CPU", enable_save_ov_model=True)
        except RuntimeError as error:
            raise CaptureError(
                f"OpenVINO GenAI does not read the student's GGUF: {' '.join(str(error).split())[-300:]}"
            ) from error
        file.unlink()
        for made in sorted(Path(scratch).iterdir()):
            shutil.move(made, folder / made.name)
    tokenizer.save_pretrained(folder)


def onnxruntime(network: LanguageModel, tokenizer: Any, folder: Path) -> None:
    """Writes ONNX Runtime GenAI's folder of `network` and its tokenizer into `folder`: model.onnx, its weights and genai_config.json, by the package's own builder in
    fp32, in which rounded layers of 4 bits then become MatMulNBits; those of 8 are stored as integers and multiplied in fp32. Raises CaptureError."""
    floats, stored = weights_of(network)
    with TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "hf", Path(scratch) / "made"
        save(network, tokenizer, given, plain_weights(network))
        told = [
            sys.executable,
            "-m",
            "onnxruntime_genai.models.builder",
            "-m",
            str(given),
            "-o",
            str(made),
            "-p",
            "fp32",
            "-e",
            "cpu",
            "-c",
            str(Path(scratch) / "cache"),
        ]
        done = subprocess.run(
            told, capture_output=True, text=True, check=False
        )  # prints, and may end the process
        if done.returncode != 0 or not (made / "model.onnx").is_file():
            raise CaptureError(
                f"onnxruntime_genai's builder ended with {done.returncode}: {' '.join(done.stderr.split())[-400:]}"
            )
        if stored:
            _in_integers(made / "model.onnx", floats, stored)
            _configure(made / "genai_config.json")
        for one in sorted(made.iterdir()):
            shutil.move(one, folder / one.name)


def _in_integers(
    file: Path, floats: Mapping[str, npt.NDArray[np.float32]], stored: Mapping[str, Integers]
) -> None:
    """Rewrites the ONNX `file` so that products with rounded weights, and the embeddings, read integers. Raises CaptureError where a weight in it is not the one that is
    expected, or a rounded one is left in float."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(file)
    graph = model.graph
    initial = {one.name: one for one in graph.initializer}
    used: set[str] = set()
    made: list[Any] = []
    for node in list(graph.node):
        if node.op_type == "MatMul" and node.input[1] in initial:
            names = [name if name in floats else TABLE for name in _layers_of(node.input[1])]
            parts = [stored[name] for name in names]
            wanted = np.concatenate([floats[name] for name in names]).T
            if not np.array_equal(numpy_helper.to_array(initial[node.input[1]]), wanted):
                raise CaptureError(f"{file.name}: {node.input[1]} is not the weights of {', '.join(names)}")
            joined = Integers(
                np.concatenate([one.values for one in parts]),
                np.concatenate([one.scales for one in parts]),
                parts[0].bits,
            )
            nodes, added = _PRODUCTS[joined.bits](node, joined)
            used |= {*names}
        elif node.op_type == "Gather" and "embed_tokens" in node.name:
            nodes, added = _lookup(node, stored[TABLE])
            used.add(TABLE)
        else:
            nodes, added = [node], []
        made += nodes
        graph.initializer.extend(added)
    del graph.node[:]
    graph.node.extend(made)
    if left := set(stored) - used:
        raise CaptureError(f"{file.name}: {', '.join(sorted(left)[:4])} are not in the graph")
    _forget_unused(graph)
    if not any(one.domain == DOMAIN for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    with contextlib.suppress(FileNotFoundError):
        file.with_name(f"{file.name}.data").unlink()
    onnx.save(model, file, save_as_external_data=True, location=f"{file.name}.data")


def _layers_of(initializer: str) -> list[str]:
    """The Hugging Face weights that the builder's `model.layers.0.attn.qkv_proj.MatMul.weight` is made of, one below another."""
    name = initializer.removesuffix(".MatMul.weight")
    if name == "lm_head":
        return ["lm_head.weight"]
    layer, _, projection = name.replace(".attn.", ".self_attn.").rpartition(".")
    each = [f"{one}_proj" for one in "qkv"] if projection == "qkv_proj" else [projection]
    return [f"{layer}.{one}.weight" for one in each]


def packed(stored: Integers) -> npt.NDArray[np.uint8]:
    """The weights that are `stored`, as MatMulNBits has them: uint8 [out, in / group, group · bits / 8], from 0, two neighbours a byte where they have 4 bits, the first in the low half."""
    raised = (stored.values.astype(np.int16) + ZERO[stored.bits]).astype(np.uint8)
    if stored.bits == 4:
        raised = np.asarray(raised[:, ::2] | raised[:, 1::2] << 4, np.uint8)
    return raised.reshape(len(raised), stored.scales.shape[1], -1)


def _configure(file: Path) -> None:
    """Sets NOT_ROUNDED in a genai_config.json."""
    told = read_mapping(file, "model")
    told["model"]["decoder"]["session_options"][NOT_ROUNDED] = "1"
    file.write_text(json.dumps(told, indent=4), encoding="utf-8")


def _product_of_8(node: Any, stored: Integers) -> tuple[list[Any], list[Any]]:
    from onnx import helper, numpy_helper

    weights, scales, floats = (f"{node.input[1]}.{part}" for part in ("integers", "scales", "floats"))
    dequantised = helper.make_node("DequantizeLinear", [weights, scales], [floats], name=floats, axis=0, block_size=stored.group)  # fmt: skip
    product = helper.make_node("MatMul", [node.input[0], floats], list(node.output), name=node.name)
    return [dequantised, product], [
        numpy_helper.from_array(np.ascontiguousarray(stored.values.T), weights),
        numpy_helper.from_array(np.ascontiguousarray(stored.scales.astype(np.float32).T), scales),
    ]


def _product_of_4(node: Any, stored: Integers) -> tuple[list[Any], list[Any]]:
    from onnx import helper, numpy_helper

    out, inputs = stored.values.shape
    weights, scales = f"{node.input[1]}.integers", f"{node.input[1]}.scales"
    made = helper.make_node(
        "MatMulNBits", [node.input[0], weights, scales], list(node.output), name=node.name, domain=DOMAIN,
        K=inputs, N=out, bits=stored.bits, block_size=stored.group, accuracy_level=IN_FLOAT,
    )  # fmt: skip
    return [made], [
        numpy_helper.from_array(packed(stored), weights),
        numpy_helper.from_array(stored.scales.astype(np.float32), scales),
    ]


_PRODUCTS = {4: _product_of_4, 8: _product_of_8}


def _lookup(node: Any, stored: Integers) -> tuple[list[Any], list[Any]]:
    from onnx import helper, numpy_helper

    table, scales = "model.embed_tokens.integers", "model.embed_tokens.scales"
    made = helper.make_node(
        "GatherBlockQuantized", [table, node.input[1], scales], list(node.output), name=node.name, domain=DOMAIN,
        gather_axis=0, quantize_axis=1, block_size=stored.group, bits=8,
    )  # fmt: skip
    return [made], [
        numpy_helper.from_array(packed(stored).reshape(len(stored.values), -1), table),
        numpy_helper.from_array(stored.scales.astype(np.float32), scales),
    ]


def _forget_unused(graph: Any) -> None:
    """Takes out nodes and initializers that nothing reads, such as a table that was turned."""
    while True:
        read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
        unread = [node for node in graph.node if not read & {*node.output}]
        for node in unread:
            graph.node.remove(node)
        if not unread:
            break
    for one in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(one)


MAKERS = {"onnxruntime-genai": onnxruntime, "openvino-genai": openvino}
"""By runtime, what writes its folder."""
