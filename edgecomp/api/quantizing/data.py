"""What `edgecomp quantize` takes for inputs: an .npz, a table, a text file of lines, a folder of images: as a recipe's `data`. One row a kind."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecomp.api.quantizing.model import Model, pictures
from edgecomp.data.sources.image_folder import SUFFIXES as IMAGES
from edgecomp.data.sources.paths import has_suffix, visible
from edgecomp.data.sources.tables.hugging_face import SUFFIXES as TABLES
from edgecomp.data.sources.tables.hugging_face import TEXTS
from edgecomp.errors import UsageError, nearest, nearest_there
from edgecomp.files.array_files import names_in, read_npz

KINDS = (
    f"an .npz file with the model's inputs by name, a table ({', '.join(TABLES[:1])}, .csv, .jsonl …) with a column for each, a folder of "
    "images, or a text file of lines (.txt)"
)
FOLDERS = "folder"  # what labels of a folder of images are called


@dataclass(frozen=True)
class Asked:
    """What is said of the inputs: label: the array or column of labels; column: of texts or images, or a pattern of those of numbers; tokenizer, length: of texts, in tokens;
    size, mean, std: of images, as `data` has them."""

    label: str | None = None
    column: str | None = None
    tokenizer: str | None = None
    length: int | None = None
    size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None


def section(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    """A recipe's `data` of the inputs at `path` for `model`, without its fractions. asked: what else is said of them. Raises UsageError,
    FileError."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder{nearest_there(path)}; the inputs are {KINDS}")
    kind = next((make for fits, make in READERS if fits(path)), None)
    if kind is None:
        raise UsageError(f"{path}: the inputs are {KINDS}")
    made = kind(path, model, asked)
    of_images, of_texts = "mean" in made, "tokenizer" in made
    for option, value, used in (
        ("--size, --mean and --std", (asked.size, asked.mean, asked.std), of_images),
        ("--tokenizer and --length", (asked.tokenizer, asked.length), of_texts),
    ):
        if any(one is not None for one in value) and not used:
            raise UsageError(
                f"{option}: {path} has no {'images' if 'size' in option else 'texts'} for the model: take them out"
            )
    label = {"label": asked.label} if asked.label and kind is not _images else {}
    return made | label


def _arrays(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    there = names_in(path)
    names = [one.name for one in model.inputs] or [name for name in there if name != asked.label]
    if not model.inputs and len(names) > 1:
        raise UsageError(f"{path}: the model does not say what its inputs are called, and there are {', '.join(names)}: save the one array that it "
                         "takes")  # fmt: skip
    if missing := [name for name in names if name not in there]:
        raise UsageError(f"{path}: has no array {missing[0]!r}{nearest(missing[0], there)}, which the model takes; it has {', '.join(there)}: save "
                         f"{', '.join(names)} in it, [N, ...] each")  # fmt: skip
    held = read_npz(path, names)
    as_declared = all(
        held[one.name].dtype == one.dtype and _fits(held[one.name].shape[1:], one.shape)
        for one in model.inputs
    )
    by_name = (
        {"inputs": names} if as_declared else {"tensors": {one.name: one.declared for one in model.inputs}}
    )
    return {"source": "numpy", "path": str(path.absolute())} | by_name


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, given) for size, given in zip(wanted, shape, strict=True)
    )


def _table(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    """Of columns by the inputs' names; else of texts, or images, where the model may take those; else of numbers side by side."""
    found: dict[str, Any] = {"source": "huggingface", "path": str(path.absolute())}
    columns = _columns(path)
    for option, one in (("--labels", asked.label), ("--column", asked.column)):
        if one and not fnmatch.filter(columns, one):
            raise UsageError(
                f"{path}: has no column {one!r} ({option}){nearest(one, columns)}; it has {_shown(columns)}"
            )
    names = [one.name for one in model.inputs]
    if names and {*names} <= {*columns}:
        return found | {"tensors": {one.name: one.declared for one in model.inputs}}
    kinds = {columns[one] for one in fnmatch.filter(columns, asked.column or "*")}
    if "text" in kinds and (not names or "input_ids" in names):
        return found | _column(asked) | _of_texts(path, model, asked)
    if "image" in kinds and (not names or len(names) == 1):
        return found | _column(asked) | _of_images(path, model, asked)
    numbers = [
        name
        for name in fnmatch.filter(columns, asked.column or "*")
        if columns[name] == "number" and name != asked.label
    ]
    takes_rows = len(names) == 1 and len(model.inputs[0].shape) == 1
    if takes_rows and numbers and model.inputs[0].shape in ((len(numbers),), (None,)):
        return found | {"inputs": numbers, "mean": [0.0], "std": [1.0]}
    if takes_rows and numbers:
        raise UsageError(f"{path}: the model takes rows of {model.inputs[0].shape[0]} numbers, and the table has {len(numbers)} columns of them: {_shown(columns)}. "
                         "Name those that are meant, --column 'x*' for instance, and the one of labels with --labels")  # fmt: skip
    wanted = (
        ", ".join(f"{one.name} {one.declared}" for one in model.inputs) or "one column of texts or images"
    )
    missing = next((name for name in names if name not in columns), "")
    raise UsageError(f"{path}: the model takes {wanted}, and the columns are {_shown(columns)}: call them as the model's inputs"
                     f"{nearest(missing, columns) if missing else ''}")  # fmt: skip


def _shown(columns: dict[str, str], most: int = 8) -> str:
    some = ", ".join(f"{name} ({kind})" for name, kind in list(columns.items())[:most])
    return some + (f" and {len(columns) - most} more" if len(columns) > most else "")


def _column(asked: Asked) -> dict[str, Any]:
    return {"inputs": asked.column} if asked.column else {}


def _columns(path: Path) -> dict[str, str]:
    """By the name of a column of the first file: text, image, number, or what else it holds."""
    from edgecomp.data.sources.examples import Wanted
    from edgecomp.data.sources.tables import columns, hugging_face
    from edgecomp.data.sources.tables.table_files import read_table

    found: dict[str, str] = {}

    def note(schema: Any) -> list[str]:
        for place, name in enumerate(schema.names):
            kind = columns.kind(schema.field(place).type)
            found[name] = "number" if columns.is_number(schema.field(place).type) else kind
        return list(schema.names[:1])

    files = hugging_face.files(Wanted("huggingface", str(path.absolute())), Path.cwd())
    read_table(files["train"][0], note, codes=0)
    return found


def _texts(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    if asked.label:
        raise UsageError(
            f"{path}: a file of lines has no labels: write texts and labels as columns of a table"
        )
    found = {"source": "huggingface", "path": str(path.absolute()), "inputs": "text"}
    return found | _of_texts(path, model, asked)


def _of_texts(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    tokenizer = asked.tokenizer or (
        model.network.partition(":")[2] if model.network.startswith("hf:") else ""
    )
    if not tokenizer:
        raise UsageError(
            f"{path}: holds texts: name the folder of the tokenizer that the model was trained with, --tokenizer FOLDER"
        )
    place = Path(tokenizer).expanduser()
    length = next((one.shape[-1] for one in model.inputs if one.name == "input_ids" and one.shape), None)
    return {"tokenizer": str(place.absolute()) if place.is_dir() else tokenizer} | (
        {"max_length": asked.length or length} if asked.length or length else {}
    )


def _images(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    if asked.label not in (None, FOLDERS):
        raise UsageError(
            f"--labels {asked.label}: the labels of a folder of images are the names of its folders: --labels {FOLDERS}"
        )
    return {"source": "images", "path": str(path.absolute())} | _of_images(path, model, asked)


def _of_images(path: Path, model: Model, asked: Asked) -> dict[str, Any]:
    said = pictures(model)
    mean, std = asked.mean or said.mean, asked.std or said.std
    if mean is None or std is None:
        raise UsageError(f"{path}: holds images, and the model does not say what it takes of them: say what is subtracted from pixels of 0 to 1, and what "
                         "divides them, --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 for instance, --mean 0 --std 1 for 0 to 1 as they are, "
                         "--mean 0 --std 0.00392157 for 0 to 255")  # fmt: skip
    sized = {"image_size": asked.size or said.size} if asked.size or said.size else {}
    return sized | ({"mode": said.mode} if said.mode else {}) | {"mean": list(mean), "std": list(std)}


READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Model, Asked], dict[str, Any]]], ...] = (
    (lambda path: path.is_file() and has_suffix(path, (".npz",)), _arrays),
    (lambda path: path.is_file() and has_suffix(path, TABLES), _table),
    (lambda path: path.is_file() and has_suffix(path, TEXTS), _texts),
    (lambda path: path.is_dir() and any(has_suffix(one, IMAGES) for one in visible(path)), _images),
    (lambda path: path.is_dir() and any(has_suffix(one, TABLES) for one in visible(path)), _table),
)
"""What fits, and what makes the section: the first that does."""


def told(data: dict[str, Any]) -> str:
    """How the inputs are made of what was given, `data` of a recipe, in a line; empty where they are taken as they are."""
    if "tokenizer" in data:
        return f"texts: tokens of {data['tokenizer']}, at most {data.get('max_length', 128)}"
    if "mean" not in data or isinstance(data.get("inputs"), list):
        return ""
    mean, std = (", ".join(f"{value:g}" for value in data[name]) for name in ("mean", "std"))
    size = (
        f"resized to {data['image_size']}×{data['image_size']} (bilinear), " if "image_size" in data else ""
    )
    mode = {"L": "grey, ", "RGB": "RGB, "}.get(data.get("mode", ""), "")
    return f"images: {size}{mode}(pixel / 255 - [{mean}]) / [{std}]"
