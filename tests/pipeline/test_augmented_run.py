"""What varies from view to view is what the teacher labelled and the student learns, of texts, rows and images."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Cli

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.label_store import opened
from edgecomp.errors import DataError, UsageError
from edgecomp.inputs import from_bytes
from edgecomp.pipeline import loaders
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.progress import silent
from edgecomp.training.loop import logits_of

TEXTS = """name: lines
data: { source: huggingface, path: lines, inputs: content, label: system, max_bytes: 48, views: 3 }
teacher: { network: ngram, arguments: { buckets: 997, width: 8, hidden: 16 }, epochs: 2 }
student: { network: ngram, arguments: { buckets: 97, width: 4, hidden: 8 } }
distill: { epochs: 3 }
targets: [onnxruntime-cpu]
"""
ROWS = ["data.views=3", "data.shift=0", "data.flip=false", "teacher.epochs=1", "threads=1"]


def labelled(recipe: str, tmp_path: Path, *overrides: str) -> Run:
    job = on_this_machine(fingerprinted(load_job(recipe, ["threads=1", *overrides])))
    made = Run(job, tmp_path / "run", silent)
    for name, make in (
        ("data", learning.data),
        ("teacher", learning.teacher),
        ("soft_labels", learning.soft_labels),
    ):
        (made.folder / name).mkdir(parents=True)
        make(made, made.folder / name, made.folder / f".{name}")
    return made


def is_consistent(run: Run, views: int) -> None:
    """The stored labels of a view are the teacher's answers to that view, and the views differ."""
    own, network = loaders.views(run), loaders.trained_teacher(run)
    with opened(run.folder / "soft_labels") as stored:
        assert stored.views == views
        for index in range(views):
            seen = own.view(index)
            np.testing.assert_allclose(stored.view(index), logits_of(network, seen), atol=2e-2)
            (values,) = seen.arrays.values()
            (first,) = own.train.arrays.values()
            assert (np.asarray(values) != first).any() == (index > 0 or "values" in seen.arrays)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    (tmp_path / "lines").mkdir()
    content = [
        f"{word} block {place * 7919 % 10007} failed" for word in ("disk", "web") for place in range(100)
    ]
    pq.write_table(
        pa.table({"content": content, "system": ["disk"] * 100 + ["web"] * 100}),
        tmp_path / "lines" / "train.parquet",
    )
    (tmp_path / "words.tsv").write_text("failed\tbroke\n")
    (tmp_path / "said.py").write_text(
        "def otherwise(texts, view):\n    return [text + f' ({view})' for text in texts]\n"
    )
    (tmp_path / "recipe.yaml").write_text(TEXTS)
    return str(tmp_path / "recipe.yaml")


def test_texts_vary_by_view_and_their_meaning_stays(texts: str, tmp_path: Path) -> None:
    run = labelled(texts, tmp_path, "+data.augment={same_kind: true, synonyms: words.tsv, replaced: 1, rewrite: said.py:otherwise}")  # fmt: skip
    is_consistent(run, 3)
    first, second, third = (from_bytes(loaders.views(run).view(index).arrays["bytes"]) for index in range(3))
    assert {text for text in first if not text.endswith(" failed")} == set()
    assert all(re.search(r" broke \(\d\)$", text) for text in second)
    for own, one, other in zip(first, second, third, strict=True):
        assert own.split()[:2] == one.split()[:2] == other.split()[:2]
    assert sum(one.split()[2] != other.split()[2] for one, other in zip(second, third, strict=True)) > 100


def test_what_they_are_made_of_is_in_the_key(texts: str, tmp_path: Path, cli: Cli) -> None:
    def key(*overrides: str) -> dict[str, str]:
        return fingerprinted(load_job(texts, list(overrides))).outside

    plain, own = key(), key("+data.augment={synonyms: words.tsv}")
    assert "augmentation" not in plain
    (tmp_path / "words.tsv").write_text("failed\tgave up\n")
    assert key("+data.augment={synonyms: words.tsv}")["augmentation"] != own["augmentation"]
    told = cli("run", texts, "+data.augment={synonyms: word.tsv}", "--out", str(tmp_path / "never"))
    assert told.code == 2
    assert "data.augment.synonyms: no such file" in told.err
    assert "did you mean 'words.tsv'" in told.err


@pytest.mark.parametrize(
    ("recipe", "augment"),
    [("diabetes", "within: all, mixup: 0.4"), ("digits", "mixup: 0.4"), ("digits", "cutmix: 1, mixup: 1, colour: 0.3, within: all")],
)  # fmt: skip
def test_blends_are_answered_by_the_teacher(recipe: str, augment: str, tmp_path: Path) -> None:
    small = (*ROWS, "distill.hard_label_weight=0", f"+data.augment={{{augment}}}")
    run = labelled(recipe, tmp_path, *small)
    is_consistent(run, 3)
    learnt = loaders.views(run, blended=False).view(1).arrays["values"]
    blended = loaders.views(run).view(1).arrays["values"]
    assert (np.asarray(learnt) != np.asarray(blended)).any() == ("within: all" in augment)


@pytest.mark.parametrize(
    ("augment", "more", "complaint"),
    [
        ("mixup: 1, within: all", [], r"which have no hard label, and distill has hard_label_weight: 0\.\d+: set distill.hard_label_weight=0"),
        ("cutmix: 1, within: all", ["+distill.terms=[{loss: dkd}]"], "distill has dkd"),
        ("typos: 0.1", [], "data.augment.typos is for texts, and these are images: take it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_training(
    augment: str, more: list[str], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, DataError), match=complaint):
        labelled("digits", tmp_path, *more, f"+data.augment={{{augment}}}")


def test_numbers_have_no_class_to_blend_within(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data.augment.within: class .* set data.augment.within=all"):
        labelled("diabetes", tmp_path, *ROWS, "+data.augment={mixup: 0.4}")
