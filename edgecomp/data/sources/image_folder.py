"""Images in folders: one folder a class, or one folder a split with a folder a class in each; in any folders where nothing is labelled."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecomp.data.sources.examples import SPLITS, Examples, Source, Wanted, refuse_unused
from edgecomp.data.sources.images import stacked, unreadable
from edgecomp.data.sources.paths import found, split_of_folder, visible
from edgecomp.errors import DataError, nearest

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_LITTER = {"Thumbs.db", "desktop.ini"}  # a file manager's


def read(wanted: Wanted, folder: Path) -> Source:
    """Images of all splits; classes are the names of the class folders of all splits, sorted. wanted: what
    was asked for; folder: the recipe's, for a relative path. Raises DataError."""
    task = wanted.meaning
    if task.label_axes not in ((0,), ()):
        raise DataError(f"{wanted.path}: folders are classes, and task {wanted.task} has other labels: write them into a table "
                        "(source huggingface) or an .npz file (numpy)")  # fmt: skip
    by_split = {split: _found(root, wanted) for split, root in _roots(wanted, folder).items()}
    classes = sorted({name for pairs in by_split.values() for _, name in pairs})
    index = {name: place for place, name in enumerate(classes)}
    splits = {}
    left_out = {}
    for split, pairs in by_split.items():
        if wanted.to_clean:
            pairs, left_out[split] = _without_unreadable(pairs, wanted)
            by_split[split] = pairs
        images = read_images([path for path, _ in pairs], wanted)
        splits[split] = Examples(images, np.asarray([index[name] for _, name in pairs], np.int64))
    if not task.label_axes:
        labels, _ = task.encode({split: [None] * len(pairs) for split, pairs in by_split.items()}, None, "")
        unlabelled = {name: Examples(one.values, labels[name]) for name, one in splits.items()}
        return Source(unlabelled, (), left_out=left_out)
    task.encode({"train": classes}, None, str(wanted.path))
    return Source(splits, tuple(classes), left_out=left_out)


def _without_unreadable(
    pairs: list[tuple[Path, str]], wanted: Wanted
) -> tuple[list[tuple[Path, str]], list[tuple[int, str, str]]]:
    """The files that can be read together, and the others with why not. Raises DataError where none can."""
    odd = unreadable(len(pairs), lambda index: pairs[index][0], wanted.image_size, wanted.mode)
    gone = {place for place, _, _ in odd}
    if len(gone) == len(pairs):
        raise DataError(f"{wanted.path}: none of {len(pairs)} images can be read: {pairs[0][0]} {odd[0][2]}")
    told = [(place, rule, f"{pairs[place][0].name}: {why}") for place, rule, why in odd]
    return [pair for place, pair in enumerate(pairs) if place not in gone], told


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """Split → its images, sorted. wanted: what was asked for; folder: the recipe's, for a relative path.
    Raises DataError."""
    return {
        split: [path for path, _ in _found(root, wanted)] for split, root in _roots(wanted, folder).items()
    }


def read_images(paths: list[Path], wanted: Wanted) -> npt.NDArray[np.uint8]:
    """The images in the files `paths`, [N, height, width] or [N, height, width, channels], as `wanted` says. Raises DataError."""
    return stacked(
        len(paths),
        lambda index: paths[index],
        lambda index: str(paths[index]),
        wanted.image_size,
        wanted.mode,
    )


def _roots(wanted: Wanted, folder: Path) -> dict[str, Path]:
    """Split → the folder that holds its class folders."""
    refuse_unused(wanted, "inputs", "label", "slice")
    path = found(wanted, folder)
    if not path.is_dir():
        raise DataError(f"data.path: {path} is a file; images come in a folder, with a folder for each class")
    inside = _folders(path)
    if wanted.files:
        for split, name in wanted.files.items():
            if not (path / name).is_dir():
                there = [entry.name for entry in inside]
                raise DataError(f"data.files.{split}: no such folder: {path / name}{nearest(name, there)}")
        return {split: path / wanted.files[split] for split in SPLITS if split in wanted.files}
    named = [entry for entry in inside if split_of_folder(entry.name)]
    if not any(_folders(entry) for entry in named):
        if len(named) > 1 and named == inside:
            raise DataError(f"{path}: {', '.join(entry.name for entry in named)} are named as splits, and have no class "
                            "folders in them: images belong in a folder named as their class")  # fmt: skip
        return {"train": path}  # so `train` may be a class: of vehicles, say
    roots: dict[str, Path] = {}
    for entry in inside:
        split = split_of_folder(entry.name) or ""
        if not split or split in roots:
            raise DataError(f"{path}: has {', '.join(entry.name for entry in inside)}, and it cannot be told which is "
                            "which split; name them in data.files")  # fmt: skip
        roots[split] = entry
    if "train" not in roots:
        raise DataError(f"{path}: has {', '.join(entry.name for entry in inside)}, and no folder train")
    return {split: roots[split] for split in SPLITS if split in roots}


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _found(root: Path, wanted: Wanted) -> list[tuple[Path, str]]:
    """The images of a split, each with its class; where nothing is labelled, all that lie anywhere in the folder."""
    if wanted.meaning.label_axes:
        return _labelled(root)
    images = [path for path in visible(root) if path.suffix.lower() in SUFFIXES]
    if not images:
        raise DataError(f"{root}: has no image; known are {', '.join(SUFFIXES)}")
    return [(path, "") for path in images]


def _labelled(root: Path) -> list[tuple[Path, str]]:
    """The images of a split, each with its class."""
    stray = next((p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES and p.is_file()), None)
    if stray is not None:
        raise DataError(f"{stray}: lies in no class folder, so it has no label; images belong in a folder named as "
                        "their class")  # fmt: skip
    pairs = []
    for class_folder in _folders(root):
        if nested := [inner.name for inner in _folders(class_folder) if visible(inner)]:
            raise DataError(f"{class_folder}: holds folders ({', '.join(nested[:4])}{', …' if len(nested) > 4 else ''}), and a "
                            "class folder holds its images: name the splits in data.files, set data.path to the folder of "
                            "the class folders, or put the images into one folder a class")  # fmt: skip
        images = [path for path in visible(class_folder) if path.name not in _LITTER]
        for path in images:
            if path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path}: is no image by its name; known are {', '.join(SUFFIXES)}; "
                                "convert it or take it out")  # fmt: skip
        if not images:
            raise DataError(f"{class_folder}: a class folder without images; fill it or take it out")
        pairs += [(path, class_folder.name) for path in images]
    if not pairs:
        raise DataError(f"{root}: is empty: it has no class folder with images")
    return pairs
