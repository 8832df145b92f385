"""Whether a candidate can stand where the baseline stood: the checks that say so, and answers that must hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import Compared, classifier, compare

KIND = {"inputs", "outputs"}
EYE = np.eye(4, dtype=np.float32)


def samples(file: Path, **more: Any) -> Path:
    """Each of four inputs is of another class."""
    np.savez(file, x=np.eye(4, dtype=np.float32), **more)
    return file


def judged(folder: Path, weights: Any, **more: Any) -> Compared:
    """A candidate of these weights beside one that answers the class of each sample."""
    (folder / "p.yaml").write_text(
        '{"format": 1, "name": "p", "checks": {"file_size_bytes": {"max": "1 MiB"}}}'
    )
    classifier(folder / "base.onnx")
    classifier(folder / "new.onnx", weights=weights)
    samples(folder / "keys.npz", **more)
    given = "-t", "onnxruntime-cpu", "--policy", "p.yaml", "--key-samples", "keys.npz", "--json"
    return compare(folder, "base.onnx", "new.onnx", *given)


def test_the_same_inputs_and_outputs_are_checks_that_pass(tmp_path: Path) -> None:
    done = judged(tmp_path, 2 * EYE)
    assert done.code == 0, done.err
    assert {name: row["verdict"] for name, row in done.compatible.items()} == dict.fromkeys(
        (*sorted(KIND), "key_samples"), "PASS"
    )


# Of four samples, the answers to two are exchanged.
EXCHANGED = EYE[[1, 0, 2, 3]]


@pytest.mark.parametrize(
    ("weights", "labels", "told"),
    [
        (EXCHANGED, None, "2 of 4 are answered otherwise: samples 0, 1, counted from 0"),
        (
            EYE,
            [0, 1, 2, 2],
            "1 of 4 are answered otherwise: samples 3, counted from 0",
        ),  # of the baseline too
        (EXCHANGED, [1, 0, 2, 3], ""),
    ],
)
def test_an_answer_that_must_hold_and_does_not_fails(
    tmp_path: Path, weights: Any, labels: list[int] | None, told: str
) -> None:
    done = judged(tmp_path, weights, **({} if labels is None else {"label": np.array(labels)}))
    (row,) = [one for one in done.verdict(tmp_path)["gates"] if one["name"] == "key_samples"]
    assert (row["verdict"], done.code) == (("FAIL", 1) if told else ("PASS", 0))
    assert told in row["sentence"]
    assert row["limit"] == ("their labels" if labels else "the baseline's answers")


def test_of_numbers_a_hundredth_of_the_deviation_is_the_same_answer(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx", width=1)
    samples(tmp_path / "keys.npz")
    given = "-t", "onnxruntime-cpu", "--max-time", "1", "--key-samples", "keys.npz", "--json"
    for factor, verdict in ((1.001, "PASS"), (1.1, "FAIL")):
        classifier(tmp_path / "new.onnx", weights=factor * EYE[:, :1])
        done = compare(tmp_path, "base.onnx", "new.onnx", *given)
        assert done.compatible["key_samples"]["verdict"] == verdict, done.err


def test_no_number_is_no_answer(tmp_path: Path) -> None:
    done = judged(tmp_path, EYE * np.nan)
    assert (done.compatible["key_samples"]["verdict"], done.compatible["key_samples"]["reason"]) == (
        "INVALID",
        "not_finite",
    )
    assert done.code == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--key-samples", "kyes.npz"), "no such file of examples: kyes.npz; did you mean 'keys.npz'"),
        (("--key-samples", "keys.npz", "--task", "regression"), "leave out `label`"),
        (("--key-samples", "wide.npz"), "wide.npz"),
    ],
)
def test_key_samples_that_do_not_fit_are_refused(tmp_path: Path, given: tuple[str, ...], words: str) -> None:
    classifier(tmp_path / "base.onnx")
    samples(tmp_path / "keys.npz", label=np.arange(4))
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 7), np.float32))
    done = compare(tmp_path, "base.onnx", "base.onnx", "-t", "onnxruntime-cpu", *given)
    assert done.code == 2
    assert words in " ".join(done.err.split())


def test_a_file_beside_a_deployed_folder_is_told(tiny_run: Path, tmp_path: Path) -> None:
    folder = tiny_run / "deploy" / "onnxruntime-cpu"
    given = "-t", "onnxruntime-cpu", "--policy", "no-slower", "--max-time", "1", "--json"
    done = compare(tmp_path, str(folder), str(folder / "model.onnx"), *given)
    assert done.compatible.keys() >= KIND
    assert "preprocessing" not in done.compatible
    assert "does not tell its preprocessing and labels" in " ".join(
        done.verdict(tmp_path)["compared"]["warnings"]
    )
    both = compare(tmp_path, str(folder), str(folder), *given)
    assert {both.compatible[name]["verdict"] for name in ("preprocessing", "labels", *KIND)} == {"PASS"}
