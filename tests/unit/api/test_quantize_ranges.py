"""Where training through integers begins."""

import json
from pathlib import Path

from edgecomp.api.quantizing.ranges import best_ranges


def scored(folder: Path, target: str, **scores: float | None) -> None:
    names = {
        "minmax": "ours min-max",
        "percentile": "ours percentile 99.99",
        "mse": "ours mse",
        "corrected": "ours mse + bias",
    }
    (folder / "ptq" / target).mkdir(parents=True)
    told = [{"name": names.get(name, name), "validation_score_pct": score} for name, score in scores.items()]
    told += [{"name": "ptq-ort min-max", "validation_score_pct": 100.0}]
    (folder / "ptq" / target / "ptq.json").write_text(json.dumps({"scores": told}), encoding="utf-8")


def test_it_begins_where_the_target_that_it_is_worst_for_is_best(tmp_path: Path) -> None:
    scored(tmp_path, "a", minmax=90.0, percentile=99.0, mse=97.0)
    scored(tmp_path, "b", minmax=95.0, percentile=80.0, mse=96.0)
    assert best_ranges(tmp_path) == ("quantize.calibration=mse",)


def test_biases_are_corrected_where_that_was_better_for_every_target(tmp_path: Path) -> None:
    scored(tmp_path, "a", minmax=90.0, percentile=80.0, mse=97.0, corrected=99.0)
    scored(tmp_path, "b", minmax=95.0, percentile=80.0, mse=96.0, corrected=98.0)
    assert best_ranges(tmp_path) == ("quantize.calibration=mse", "quantize.bias_correction=true")
    scored(tmp_path, "c", minmax=95.0, percentile=80.0, mse=96.0, corrected=95.5)
    assert best_ranges(tmp_path) == ("quantize.calibration=mse",)


def test_what_could_not_be_executed_somewhere_is_not_begun_with(tmp_path: Path) -> None:
    scored(tmp_path, "a", minmax=90.0, percentile=99.0, mse=None)
    scored(tmp_path, "b", minmax=95.0, percentile=None, mse=96.0)
    assert best_ranges(tmp_path) == ("quantize.calibration=min-max",)


def test_without_scores_the_recipe_stays_as_it_is(tmp_path: Path) -> None:
    assert best_ranges(tmp_path) == ()
    scored(tmp_path, "a", minmax=None, percentile=None, mse=None)
    assert best_ranges(tmp_path) == ()
