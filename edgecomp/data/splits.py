"""Seeded, stratified splits of a source, as arrays in files of their own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import duplicates, preprocessing
from edgecomp.data.augmentation.synthetic import Synthesis, with_written
from edgecomp.data.augmentation.texts import FOLDER as VIEWS
from edgecomp.data.augmentation.texts import TextVariation
from edgecomp.data.heads import Head
from edgecomp.data.sources import Examples, Source
from edgecomp.data.tokens import Tokenizer
from edgecomp.errors import DataError
from edgecomp.files.array_files import read_npz
from edgecomp.files.json_files import shaped
from edgecomp.files.writing import write_json
from edgecomp.inputs import MASK, as_bytes, some
from edgecomp.tasks import DEFAULT, Labels, Meant, SeveralOutputs
from edgecomp.tasks import task as meaning
from edgecomp.tasks.embedding import Similarity

SPLITS = ("train", "calibration", "validation", "test")
FILE = "splits.json"
OF_TEACHER = "teacher"  # the folder of a teacher's preprocessing, where its student reads other inputs
FEWEST = 10  # examples of a class, where a split is to be carved


@dataclass(frozen=True)
class Split:
    """arrays: images or numbers as `values` [N, ...], or texts as `input_ids` and `attention_mask` [N, L]; labels: as edgecomp.tasks has them;
    slices: of the test split, texts [N], where the recipe names them; rows: of the train and the validation split, int64 [N], the places of its
    examples in the data as they came, where those are kept; synthetic: of the train split, [N], which of its examples a teacher wrote, where one has."""

    arrays: Mapping[str, npt.NDArray[Any]]
    labels: Labels
    slices: npt.NDArray[np.str_] | None = None
    rows: npt.NDArray[np.int64] | None = None
    synthetic: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """Its first `count` examples, or all where there are fewer."""
        slices = None if self.slices is None else self.slices[:count]
        return Split(some(self.arrays, slice(count)), self.labels[:count], slices)

    @classmethod
    def load(cls, folder: Path, name: str) -> "Split":
        """The split `name` that `write_splits` wrote into `folder`. Raises FileError where it is not what was
        written."""
        arrays = read_npz(folder / f"{name}.npz")
        with shaped(folder / f"{name}.npz", "edgecomp"):
            return cls(
                arrays,
                arrays.pop("labels"),
                *(arrays.pop(one, None) for one in ("slices", "rows", "synthetic")),
            )


def check_varied(source: Source, *, task: Meant = DEFAULT, varied: Mapping[str, str]) -> None:
    """Raises DataError where examples of `source` are to vary in a way that is not theirs. task: what labels are; varied: the names of what
    varies, as a recipe's `data` has them, each with what they are of: `images`, `texts`, or `images or rows`."""
    values, each = source.splits["train"].values, meaning(task).of_each
    if isinstance(values, list):
        are, have = "texts", "texts"
    elif not isinstance(values, np.ndarray):
        are, have = "", "a network's inputs as they are"
    else:
        are = "images" if values.ndim == 4 else "rows"
        have = "images" if are == "images" else f"arrays of shape {values.shape[1:]}"
    if each == "pixel":
        are, have = "", "images with masks, which are not varied with them"
    if each == "token":
        are, have = "", "texts with a tag for each word, which are not varied with them"
    for name, of in varied.items():
        if not are or are not in of:
            off = {"shift": "set data.shift=0", "flip": "set data.flip=false"}.get(name, "take it out")
            raise DataError(f"data.{name} is for {of}, and these are {have}: {off}")


def write_splits(
    source: Source,
    *,
    task: Meant = DEFAULT,
    standardise: bool = True,
    test_fraction: float,
    validation_fraction: float,
    calibration_fraction: float,
    limit: int | None,
    tokenizer: Tokenizer | None,
    max_bytes: int | None = None,
    student_inputs: Sequence[str] = (),
    teacher_inputs: Sequence[str] = (),
    seed: int,
    folder: Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rows: bool = False,
    variation: TextVariation | None = None,
    views: int = 1,
    synthesis: Synthesis | None = None,
) -> list[str]:
    """Writes train.npz, calibration.npz, validation.npz, test.npz, splits.json, preprocessing.json and, of
    texts, tokenizer.json, into `folder`.

    The test split is a file of its own, so that what must not read it does not have it open. What the source
    does not have is carved out of its training split: test_fraction, validation_fraction,
    calibration_fraction are of the whole of it, and examples that are the same go to one split. limit: of
    training examples, half as many of the others; None: all. A split's examples are in an order that `seed`
    draws, whatever the source's (a folder is read class by class), so that its first ones stand for all of
    them. Returns what a user should know of them, a sentence each. Raises DataError where a class would be
    missing from a split. task: what labels are, a row of TASKS; standardise: numbers are learnt in units of
    their deviation from the mean, in the training split; tokenizer: of texts, else None; max_bytes: of texts that the student, and without a
    tokenizer the teacher, reads as bytes: with both, the teacher's preprocessing is written into OF_TEACHER. student_inputs, teacher_inputs: of inputs by name, those that each takes, all where it
    names none; where they are not the same, the teacher's preprocessing is written there too. mean, std: by channel or feature, or one for
    all; those of the training split where None. rows: whether it is kept where each example was in the data as they came. variation: of the
    training texts, where they vary, of which so many `views` are written, the texts themselves the first. synthesis: from the texts of all splits and the labels of the training split, more texts and
    labels that are learnt from, where there are any: behind the training examples, and marked.
    """
    rest = np.arange(len(source.splits["train"].labels))
    labels, classes = _strata(source.splits["train"].labels, source.classes, task)
    of_classes = classes == source.classes
    _check_classes(labels, classes, "train", of_classes)
    same = duplicates.identities(source.splits)
    together = same["train"]
    if task == Similarity.name:
        together = duplicates.with_pairs(together, source.splits["train"].labels[:, 0])
    if of_classes:
        _check_rare(
            labels, same["train"], classes, len(SPLITS) - len(source.splits)
        )  # a calibration split may lack a class
    carved: dict[str, npt.NDArray[np.int64]] = {}
    left = 1.0
    for name, fraction in (
        ("test", test_fraction),
        ("validation", validation_fraction),
        ("calibration", calibration_fraction),
    ):
        if name not in source.splits:
            share = fraction / left
            if len(np.unique(together)) == len(labels):
                rest, carved[name] = _stratified(rest, labels, share, classes, seed, name)
            else:
                random = np.random.default_rng((seed, SPLITS.index(name)))
                rest, carved[name] = duplicates.drawn_together(rest, labels, together, share, random)
            left -= fraction
    carved["train"] = rest
    kept, kept_labels, places = {}, {}, {}
    head = _head(source.splits["train"].labels[rest], source.classes, task, standardise)
    for name in SPLITS:
        examples = source.splits["train"] if name in carved else source.splits[name]
        index = carved[name] if name in carved else np.arange(len(examples.labels))
        strata, _ = _strata(examples.labels, source.classes, task)
        most = limit if limit is None or name == "train" else max(1, limit // 2)
        if most is not None and most < len(index):
            single = np.unique(strata[index], return_counts=True)[1].min() < 2
            chosen = index if single else _stratified(index, strata, most, classes, seed, name)[1]
            if single or len(np.unique(strata[chosen])) < len(np.unique(strata[index])):
                random = np.random.default_rng((seed, SPLITS.index(name)))
                chosen = _of_every_class(index, strata, most, random)
            index = chosen
        index = np.random.default_rng((seed, SPLITS.index(name))).permutation(np.sort(index))
        _check_classes(strata[index], classes, name, of_classes)
        places[name] = index
        kept[name] = same["train" if name in carved else name][index]
        kept_labels[name] = np.unique(examples.labels[index], axis=0, return_inverse=True)[1].ravel()
        if of_classes:
            kept_labels[name] = strata[index]
    source, written = with_written(source, carved, places, synthesis)
    for name, index in places.items():
        examples = source.splits["train"] if name in carved else source.splits[name]
        arrays, labels_of, made = _arrays(
            examples, index, head, tokenizer, max_bytes, student_inputs, teacher_inputs
        )
        if mean is not None and "values" not in arrays:
            raise DataError("data.mean and data.std are of images or numbers: take them out")
        if name == "train":
            if not made:
                values = arrays["values"]
                made = (
                    preprocessing.fitted(values, head, source.columns)
                    if mean is None or std is None
                    else preprocessing.given(values, head, source.columns, mean, std),
                )
            made[0].save(folder)
            for of_teacher in made[1:]:
                (folder / OF_TEACHER).mkdir()
                of_teacher.save(folder / OF_TEACHER)
        beside: dict[str, npt.NDArray[Any]] = {"labels": labels_of}
        if name == "test" and examples.slices is not None:
            beside["slices"] = examples.slices[index]
        if rows and name in ("train", "validation"):
            beside["rows"] = index
        if name == "train" and len(written):
            beside["synthetic"] = np.isin(index, written)
        np.savez(folder / f"{name}.npz", **beside, **arrays)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
        if name == "train" and variation is not None:
            _write_views(_texts(examples, index), variation, views, tokenizer, max_bytes, folder)
    if tokenizer is not None:
        tokenizer.save(folder / preprocessing.TOKENIZER)
    sizes = {name: len(one) for name, one in kept.items()}
    counted = duplicates.found(kept, kept_labels, same["train"])
    judged = "validation" in carved or "test" in carved
    notes = [*source.notes, *duplicates.told(counted, sizes, len(labels), judged)]
    told: dict[str, Any] = {
        "examples": {name: len(one) for name, one in places.items()},
        "duplicates": counted,
        "notes": notes,
    }
    if synthesis is not None:
        names = [source.classes[label] for label in source.splits["train"].labels[written]]
        told["synthetic"] = {name: names.count(name) for name in sorted(set(names))}
    if rows:
        told["source"] = {
            name: len(source.splits[name].labels) - (len(written) if name == "train" else 0)
            for name in ("train", "validation")
            if name in source.splits
        }
    write_json(folder / FILE, told)
    return notes


def _strata(
    labels: Labels, names: tuple[str, ...], task: Meant
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Groups, [N], that every split has in proportion, and their names: the classes, or all examples as one."""
    found = meaning(task).strata(labels)
    return (np.zeros(len(labels), np.int64), ("any",)) if found is None else (found, names)


def _head(labels: Labels, names: tuple[str, ...], task: Meant, standardise: bool) -> Head:
    """What the network answers. labels: of the training split."""
    of = meaning(task, names)
    numbers = (
        [one.labels for one in of.outputs if one.task.are_numbers] if isinstance(of, SeveralOutputs) else []
    )
    if not (standardise and (of.are_numbers or numbers)):
        return Head(task, names)
    mean, std = labels.mean(axis=0, dtype=np.float64), labels.std(axis=0, dtype=np.float64)
    if isinstance(of, SeveralOutputs):  # classes stay as they are
        others = np.ones(labels.shape[1], bool)
        for place in numbers:
            others[place] = False
        mean[others], std[others] = 0, 1
    return Head(task, names, tuple(map(float, mean)), tuple(map(float, np.where(std > 0, std, 1.0))))


def _check_rare(
    labels: npt.NDArray[np.int64], same: npt.NDArray[np.int64], classes: tuple[str, ...], splits: int
) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < FEWEST:
        rare = classes[int(counts.argmin())]
        raise DataError(f"class {rare!r} has {counts.min()} examples in the training data; {FEWEST} are needed, for "
                        "splits that have every class")  # fmt: skip
    for label, count in enumerate(counts):
        if (different := len(np.unique(same[labels == label]))) < splits:
            raise DataError(f"class {classes[label]!r} has {count} examples in the training data, and {different} of them differ; "
                            f"{splits} different ones are needed, for splits that share no example")  # fmt: skip


def _stratified(
    index: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    share: float,
    classes: tuple[str, ...],
    seed: int,
    name: str,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Index without, and with, a share (a fraction, or a number) that has every class in proportion."""
    from sklearn.model_selection import train_test_split

    wanted = share if isinstance(share, int) else math.ceil(share * len(index) - 1e-6)
    if wanted < len(classes):
        raise DataError(f"the {name} split would have {wanted} examples for {len(classes)} classes: raise "
                        f"data.{name}_fraction")  # fmt: skip
    without, chosen = train_test_split(index, test_size=wanted, random_state=seed, stratify=labels[index])
    return without, chosen


def _of_every_class(
    index: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], most: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """At most so many of `index`, one of each class at least, where a share in proportion would leave the rarest out."""
    index = random.permutation(index)
    present, counts = np.unique(labels[index], return_counts=True)
    shares = 1 + (max(0, most - len(present)) * (counts - 1)) // len(index)
    firsts = [index[labels[index] == label][:share] for label, share in zip(present, shares, strict=True)]
    return np.concatenate(firsts)


def _check_classes(
    labels: npt.NDArray[np.int64], classes: tuple[str, ...], name: str, of_classes: bool
) -> None:
    if len(labels) == 0:
        raise DataError(
            f"the {name} split is empty: there is nothing to {'train' if name == 'train' else 'judge'} on"
        )
    if not of_classes:
        return
    if len(classes) < 2:
        raise DataError(f"the data set has one class, {classes[0]!r}: a classifier needs two")
    present = np.unique(labels)
    if name in ("train", "test") and len(present) < len(classes):
        missing = next(label for index, label in enumerate(classes) if index not in present)
        raise DataError(f"class {missing!r} is missing from the {name} split, which has {len(present)} of "
                        f"{len(classes)} classes")  # fmt: skip


def _arrays(
    examples: Examples,
    index: npt.NDArray[np.int64],
    head: Head,
    tokenizer: Tokenizer | None,
    max_bytes: int | None,
    student_inputs: Sequence[str],
    teacher_inputs: Sequence[str],
) -> tuple[dict[str, npt.NDArray[Any]], Labels, tuple[preprocessing.Preprocessing, ...]]:
    """What is kept of the examples at `index`, their labels, and what their preprocessing is where the values need not be asked for it: the
    student's, and the teacher's where that is another. Raises DataError."""
    labels = head.standardised(examples.labels[index])
    values = examples.values
    if not isinstance(values, list):
        for name, given in (("tokenizer", tokenizer), ("max_bytes", max_bytes)):
            if given is not None:
                images = isinstance(values, np.ndarray) and values.dtype == np.uint8
                raise DataError(f"data.{name} is for texts; these are {'images' if images else 'arrays'}")
    if isinstance(values, dict):
        return (
            some(values, index),
            labels,
            preprocessing.of_each(values, head, student_inputs, teacher_inputs),
        )
    if student_inputs or teacher_inputs:
        raise DataError(
            f"{'student' if student_inputs else 'teacher'}.inputs: of inputs by name (data.tensors, or several arrays as data.inputs), and these data are "
            "one: take it out"
        )
    if not isinstance(values, list):
        return {"values": values[index]}, labels, ()
    if tokenizer is None and max_bytes is None:
        raise DataError(
            "these are texts: name the tokenizer that the teacher was trained with, data.tokenizer=FOLDER, or how many of their bytes are read, "
            "data.max_bytes=96"
        )
    texts = _texts(examples, index)
    made: list[preprocessing.Preprocessing] = []
    if max_bytes is not None:
        made.append(preprocessing.Bytes(max_bytes, head.names, **head.more))
    if tokenizer is not None:
        made.append(preprocessing.Tokens(tokenizer.vocabulary, tokenizer.max_length, head.names, **head.more))
    if tokenizer is not None and meaning(head.task).of_each == "token":
        ids, mask, labels = tokenizer.with_tags(texts, labels)
        return {"input_ids": ids, MASK: mask}, labels, tuple(made)
    return _as_arrays(texts, tokenizer, max_bytes), labels, tuple(made)


def _texts(examples: Examples, index: npt.NDArray[np.int64]) -> list[str]:
    """Those of the `examples`, which are texts, at `index`."""
    return [str(examples.values[position]) for position in index]


def _as_arrays(
    texts: Sequence[str], tokenizer: Tokenizer | None, max_bytes: int | None
) -> dict[str, npt.NDArray[Any]]:
    """What networks read of `texts`: bytes, tokens, or both."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    if max_bytes is not None:
        arrays[preprocessing.BYTES] = as_bytes(texts, max_bytes)
    if tokenizer is not None:
        arrays["input_ids"], arrays[MASK] = tokenizer(texts)
    return arrays


def _write_views(
    texts: Sequence[str],
    variation: TextVariation,
    views: int,
    tokenizer: Tokenizer | None,
    max_bytes: int | None,
    folder: Path,
) -> None:
    """Views 1, 2, ... of the training texts, a file each; view 0 is the training split itself."""
    (folder / VIEWS).mkdir()
    for view in range(1, views):
        arrays = _as_arrays(variation.of(texts, view), tokenizer, max_bytes)
        np.savez(folder / VIEWS / f"{view}.npz", **arrays)  # type: ignore[arg-type]  # as above
