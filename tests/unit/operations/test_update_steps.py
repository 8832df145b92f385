"""What holds of key samples, and what an update refuses before it touches anything; the update itself is tests/serving/test_update.py."""

from pathlib import Path

import numpy as np
import pytest
from kserve import serving

from edgecomp import update
from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.errors import DeviceError, UsageError
from edgecomp.operations.update import _lost

OLD = {"logits": np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]], np.float32)}
SAMPLES = Evaluation({"x": np.zeros((3, 4), np.float32)})


def labelled(*labels: int) -> Evaluation:
    return Evaluation({"x": np.zeros((3, 4), np.float32)}, labels=np.array(labels))


def test_of_classes_the_largest_value_decides_and_labels_before_the_old_answers() -> None:
    assert _lost(OLD, {"logits": OLD["logits"] * 5 + 1}, SAMPLES) == ""
    turned = {"logits": OLD["logits"][:, ::-1]}
    assert "3 of 3 key samples are answered otherwise: 0, 1, 2" in _lost(OLD, turned, SAMPLES)
    assert _lost(OLD, turned, labelled(1, 0, 1)) == ""
    assert "1 of 3" in _lost(OLD, turned, labelled(1, 0, 0))


def test_numbers_hold_within_a_hundredth_of_their_deviation() -> None:
    old = {"y": np.array([[0.0], [10.0], [20.0]], np.float32)}
    assert _lost(old, {"y": old["y"] + 0.05}, SAMPLES) == ""
    assert "1 of 3" in _lost(old, {"y": old["y"] + np.array([[0], [0], [0.1]], np.float32)}, SAMPLES)


def test_texts_are_the_same_unless_labels_say_what_is_right() -> None:
    old = {**OLD, "label": np.array([["a"], ["b"], ["a"]])}
    now = {**OLD, "label": np.array([["a"], ["b"], ["b"]])}
    assert "output label: 1 of 3" in _lost(old, now, SAMPLES)
    assert _lost(old, now, labelled(0, 1, 0)) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_holds_never(value: float) -> None:
    assert "output logits has" in _lost(
        OLD, {"logits": np.full((3, 2), value, np.float32)}, labelled(0, 0, 0)
    )


def test_outputs_of_another_shape_or_new_ones_do_not_hold() -> None:
    assert "another shape" in _lost(OLD, {"logits": OLD["logits"][:, :1]}, SAMPLES)
    assert "another shape" in _lost(OLD, {"more": OLD["logits"]}, SAMPLES)


def repository(folder: Path) -> Path:
    (folder / "models" / "double" / "1").mkdir(parents=True)
    (folder / "models" / "double" / "config.pbtxt").write_text(
        'name: "double"\nbackend: "python"\n', encoding="utf-8"
    )
    return folder / "models"


def test_what_cannot_begin_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tritonclient.http", reason="pip install 'edgecomp[serving]'")
    models, keys = repository(tmp_path), tmp_path / "keys.npz"
    np.savez(keys, x=np.zeros((2, 4), np.float32))
    with serving() as (url, _):
        with pytest.raises(UsageError, match="names a version"):
            update(tmp_path, f"{url}/versions/1", models, keys)
        with pytest.raises(UsageError, match="has no model 'double'"):
            update(tmp_path, url, tmp_path, keys)
        (models / "double.next").mkdir()
        with pytest.raises(UsageError, match="another update is under way"):
            update(tmp_path, url, models, keys)
        (models / "double.next").rmdir()
        (tmp_path / "out").mkdir()
        with pytest.raises(UsageError, match="verdicts are not changed"):
            update(tmp_path, url, models, keys, out=tmp_path / "out")
    with pytest.raises(DeviceError, match="no answer"):
        update(tmp_path, url, models, keys)
    assert sorted(one.name for one in (models / "double").iterdir()) == ["1", "config.pbtxt"]


def test_what_is_no_deployed_folder_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tritonclient.http", reason="pip install 'edgecomp[serving]'")
    monkeypatch.chdir(tmp_path)
    models, keys = repository(tmp_path), tmp_path / "keys.npz"
    np.savez(keys, x=np.zeros((2, 4), np.float32))
    with serving() as (url, _), pytest.raises(UsageError, match=r"has no contract\.json"):
        update(tmp_path, url, models, keys)
    assert [one.name for one in models.iterdir()] == ["double"]
