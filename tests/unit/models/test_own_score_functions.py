"""A score function of the user's own: found, called, and blamed with its line where it is wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from edgecomp.errors import UsageError, UserCodeError
from edgecomp.models.own_code import load_score

CODE = """
import numpy as np


def right(outputs, labels):
    return outputs.argmax(axis=1) == labels


def mean(outputs, labels):
    return (outputs.argmax(axis=1) == labels).mean()


def short(outputs, labels):
    return np.ones(3)


def words(outputs, labels):
    return ["good"] * len(outputs)


def ragged(outputs, labels):
    return [[1], [1, 2]]


def holes(outputs, labels):
    return np.where(labels == 1, np.nan, 1.0)


def raises(outputs, labels):
    return outputs["boxes"]


def leaves(outputs, labels):
    raise SystemExit(3)


def spoils(outputs, labels):
    outputs[:] = 0
    return np.ones(len(outputs))


def lazy(outputs, labels):
    import beside_it

    return beside_it.ones(len(outputs))
"""

OUTPUTS = np.eye(4, dtype=np.float32)
LABELS = np.array([0, 1, 2, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "scores.py").write_text(CODE)
    (tmp_path / "own" / "beside_it.py").write_text(
        "import numpy\n\n\ndef ones(n):\n    return numpy.ones(n)\n"
    )
    return tmp_path


def test_a_function_of_a_file_scores_every_example(folder: Path) -> None:
    score = load_score("own/scores.py:right", folder)
    assert score(OUTPUTS, LABELS, 4).tolist() == [1, 1, 1, 0]
    assert [file.name for file in score.files] == ["beside_it.py", "scores.py"]
    assert load_score("own/scores.py:lazy", folder)(OUTPUTS, LABELS, 4).tolist() == [1, 1, 1, 1]


def test_a_file_mended_within_the_second_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes its bytecode for that of a file of the same size and second."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    file = tmp_path / "own.py"
    outputs, labels = {"y": np.zeros((3, 1), np.float32)}, np.zeros(3)
    for number in (1, 2):
        file.write_text(f"def score(outputs, labels):\n    return [{number}.0] * 3\n", encoding="utf-8")
        os.utime(file, (1_000_000, 1_000_000))
        assert [*load_score("own.py:score", tmp_path)(outputs, labels, 3)] == [number] * 3
    assert not (tmp_path / "__pycache__").exists()


def test_a_function_of_a_module_is_found_as_a_factory_is(folder: Path) -> None:
    (folder / "own" / "scores.py").rename(folder / "scores_of_mine.py")
    score = load_score("scores_of_mine:right", folder)
    assert score(OUTPUTS, LABELS, 4).tolist() == [1, 1, 1, 0]
    assert [file.name for file in score.files] == ["scores_of_mine.py"]


def test_what_it_writes_to_changes_nothing(folder: Path) -> None:
    outputs = OUTPUTS.copy()
    load_score("own/scores.py:spoils", folder)(outputs, LABELS, 4)
    np.testing.assert_array_equal(outputs, OUTPUTS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own/scores.py:rihgt", "own/scores.py has no function 'rihgt'; did you mean 'right'"),
        ("own/score.py:right", r"no such file: .*own/score\.py; did you mean 'scores\.py'"),
        (
            "nowhere.at_all:right",
            "score 'nowhere.at_all:right' cannot be imported: .*looked in the installed",
        ),
        ("os:system", "score 'os:system': os is Python's own, which makes no scores"),
        ("right", "is no score: write package.module:function, or path/to/file.py:function"),
    ],
)
def test_what_is_not_there_is_told(folder: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_score(name, folder)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            "mean",
            r"returns numbers of shape \[\] for 4 examples, and must return one number for each, shape \[4\]",
        ),
        ("short", r"returns numbers of shape \[3\] for 4 examples"),
        ("words", "returns list for 4 examples"),
        ("ragged", "returns list for 4 examples"),
        ("holes", r"returns nan for example 1 \(from 0\), and 1 of 4 are not finite"),
    ],
)
def test_what_is_no_number_for_each_example_is_told_with_its_line(
    folder: Path, function: str, words: str
) -> None:
    line = 1 + CODE.splitlines().index(f"def {function}(outputs, labels):")
    with pytest.raises(UsageError, match=words) as told:
        load_score(f"own/scores.py:{function}", folder)(OUTPUTS, LABELS, 4)
    assert f"own/scores.py, line {line})" in str(told.value)


@pytest.mark.parametrize(("function", "words"), [("raises", "IndexError"), ("leaves", "SystemExit: 3")])
def test_what_it_raises_is_its_own_fault(folder: Path, function: str, words: str) -> None:
    line = 2 + CODE.splitlines().index(f"def {function}(outputs, labels):")
    with pytest.raises(UserCodeError, match=words) as told:
        load_score(f"own/scores.py:{function}", folder)(OUTPUTS, LABELS, 4)
    assert f"own/scores.py, line {line})" in str(told.value)


def test_what_its_file_raises_is_its_own_fault(folder: Path) -> None:
    (folder / "broken.py").write_text("import numpy\nx = 1 / 0\n")
    with pytest.raises(UserCodeError, match=r"cannot be imported: ZeroDivisionError.*broken\.py, line 2"):
        load_score("broken.py:right", folder)
