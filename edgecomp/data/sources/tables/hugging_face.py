"""Tables with a column of inputs, or several of numbers, and one of labels: parquet, CSV or JSON files, or a data set of the hub."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edgecomp.data.labels import as_slices, as_written
from edgecomp.data.sources.examples import Examples, Source, Values, Wanted
from edgecomp.data.sources.paths import find, found, has_suffix, looked, split_files
from edgecomp.data.sources.tables import hub
from edgecomp.data.sources.tensors import checked, fitted
from edgecomp.errors import DataError, FileError, nearest
from edgecomp.files.json_files import parse_json
from edgecomp.tasks import SeveralOutputs

# Texts alone: what a number is, the reader says.
WRITTEN = tuple(kind + packed for kind in (".csv", ".tsv") for packed in ("", ".gz", ".zip"))
LINES = tuple(kind + packed for kind in (".json", ".jsonl", ".ndjson") for packed in ("", ".gz", ".zip"))
TEXTS = (".txt",)  # one a line
SUFFIXES = (".parquet", *LINES, *WRITTEN)


def read(wanted: Wanted, folder: Path) -> Source:
    """Images, texts or arrays of numbers, by the type of the inputs' column. wanted: what was asked for;
    folder: the recipe's, for a relative path. Raises DataError."""
    try:
        return _read(wanted, folder)
    except ModuleNotFoundError as error:
        if error.name not in ("pyarrow", "datasets"):
            raise
        raise DataError(f"source 'huggingface' needs the package {error.name}, which is not installed: "
                        "pip install datasets") from error  # fmt: skip


def _read(wanted: Wanted, folder: Path) -> Source:
    from edgecomp.data.sources.tables import columns

    where = str(wanted.path)
    if wanted.tensors:
        wanted = replace(wanted, inputs=list(wanted.tensors))
    tables, inputs, label = _tables(wanted, folder)
    for split, table in tables.items():
        if table.num_rows == 0:
            raise DataError(f"{where}: the {split} split is empty: it has columns and no examples")
    left_out = {}
    if wanted.to_clean and isinstance(inputs, str):
        for split, table in tables.items():
            left_out[split] = columns.unreadable_images(table.column(0), wanted.image_size, wanted.mode)
            gone = {place for place, _, _ in left_out[split]}
            if gone and len(gone) == table.num_rows:
                raise DataError(f"{where}, {split} split: no image can be read: {left_out[split][0][2]}")
            if gone:
                tables[split] = table.take([place for place in range(table.num_rows) if place not in gone])
    in_texts = [split for split, paths in files(wanted, folder).items() if has_suffix(paths[0], WRITTEN)]
    found = [_labels(tables, name, in_texts) for name in label]
    labels: dict[str, list[object]] = {
        split: list(zip(*(one[split] for one in found), strict=True)) if len(label) != 1 else found[0][split]
        for split in tables
    }
    if isinstance(wanted.meaning, SeveralOutputs):
        labels = {split: [_by_output(row, wanted) for row in rows] for split, rows in labels.items()}
    if not label:
        labels = {split: [None] * table.num_rows for split, table in tables.items()}
    names = _common_names(tables, where) if len(label) == 1 else tuple(label)
    encoded, classes = wanted.meaning.encode(labels, names, where)
    told: list[str] = []
    as_one = isinstance(inputs, str) or wanted.tensors
    categories = {} if as_one else columns.categories(tables["train"].select(inputs), where)
    values: dict[str, Values] = {
        split: _tensors(table, wanted, f"{where}, {split} split")
        if wanted.tensors
        else columns.values(
            table.column(0),
            inputs,
            f"{where}, {split} split",
            wanted.image_size,
            wanted.mode,
            told,
            wanted.to_clean,
        )
        if isinstance(inputs, str)
        else columns.rows(table.select(inputs), categories, f"{where}, {split} split", told)
        for split, table in tables.items()
    }
    names_of_inputs = (
        () if as_one else tuple(one for name in inputs for one in columns.spread_out(name, categories))
    )
    slices = {
        split: as_slices(columns.plain(table.column(wanted.slice)), f"{where}, {split} split", wanted.slice)
        if wanted.slice
        else None
        for split, table in tables.items()
    }
    splits = {split: Examples(values[split], encoded[split], slices[split]) for split in tables}
    return Source(splits, classes, names_of_inputs, tuple(told), left_out)


def _tensors(table: Any, wanted: Wanted, where: str) -> Values:
    """The columns that a network takes by name, as it takes them."""
    from edgecomp.data.sources.tables import columns

    arrays = {name: columns.numbers(table.column(name), name, where) for name in wanted.tensors}
    return checked(fitted(arrays, wanted.tensors, where), where)


def _by_output(row: Any, wanted: Wanted) -> tuple[object, ...]:
    """A row of all columns of labels, as a label of each output."""
    left = list(row) if len(wanted.labels) > 1 else [row]
    return tuple(
        left.pop(0) if len(names) == 1 else tuple(left.pop(0) for _ in names) for _, names in wanted.labels_of
    )


def _labels(tables: dict[str, Any], column: str, in_texts: list[str]) -> dict[str, list[object]]:
    """By split, a column of labels; those of files of texts as numbers where all are written so."""
    from edgecomp.data.sources.tables import columns

    labels = {split: columns.plain(table.column(column)) for split, table in tables.items()}
    return labels | as_written({split: labels[split] for split in in_texts})


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """Split → its files; none where `path` can only be a name of the hub. wanted: what was asked for; folder:
    the recipe's, for a relative path. Raises DataError."""
    if find(wanted, folder) is None and _may_be_of_the_hub(wanted):
        return {}
    path = found(wanted, folder)
    return split_files(
        path, wanted, SUFFIXES + (TEXTS if path.is_file() else ())
    )  # in a folder it may say what the rest is


def class_names(schema: Any, column: str) -> tuple[str, ...] | None:
    """The names of a ClassLabel column, from the `huggingface` entry of an Arrow schema's metadata."""
    try:
        feature = parse_json((schema.metadata or {})[b"huggingface"], column)["info"]["features"][column]
    except (KeyError, TypeError, ValueError, FileError):
        return None
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel" or not feature.get("names"):
        return None
    return tuple(str(name) for name in feature["names"])


def _may_be_of_the_hub(wanted: Wanted) -> bool:
    path = str(wanted.path)
    return hub.is_name(path) and not has_suffix(Path(path), SUFFIXES)


def _common_names(tables: dict[str, Any], where: str) -> tuple[str, ...] | None:
    """The class names that the files carry, where any does. Raises DataError where they differ."""
    found_names = {
        split: class_names(table.schema, table.column_names[-1]) for split, table in tables.items()
    }
    distinct = {names for names in found_names.values() if names is not None}
    if len(distinct) > 1:
        shown = "; ".join(f"{split}: {', '.join(names)}" for split, names in found_names.items() if names)
        raise DataError(
            f"{where}: the splits name their classes differently ({shown}): they must be of one data set"
        )
    return next(iter(distinct), None)


def _tables(wanted: Wanted, folder: Path) -> tuple[dict[str, Any], str | list[str], list[str]]:
    """Split → its pyarrow.Table, the labels' columns last, and the columns of the inputs and of the labels: the same in every split."""
    import pyarrow as pa

    from edgecomp.data.sources.tables.table_files import read_table

    pair = wanted
    where = ""
    more = wanted.labels[1:]
    if more and 1 not in wanted.meaning.label_axes:
        raise DataError(
            f"data.label names {len(more) + 1} columns, and task {wanted.task} has one label an example"
        )

    def choose(schema: Any) -> list[str]:
        nonlocal pair
        beside = [pair.slice] if pair.slice else []
        pair = replace(
            pair, inputs=every(pair.inputs, schema.names, [*pair.labels, *more, *beside], "inputs", where)
        )
        if not wanted.meaning.label_axes:
            inputs = choose_inputs(schema, pair.inputs, where, pair.slice)
            pair = replace(pair, inputs=inputs, label=[])
            return [*([inputs] if isinstance(inputs, str) else inputs), *beside]
        first = pair.labels[0] if pair.labels else None
        inputs, label = choose_columns(schema, pair.inputs, first, where, pair.slice)
        for name in more:
            if schema.names.count(name) != 1:
                raise DataError(f"{where}: has no column {name!r} (data.label){nearest(name, schema.names)}")
        pair = replace(pair, inputs=inputs, label=[label, *more])
        return [*([inputs] if isinstance(inputs, str) else inputs), *beside, label, *more]

    tables = {}
    for split, paths in files(wanted, folder).items():
        parts = []
        for path in paths:
            where = str(path)
            parts.append(read_table(path, choose, codes=len(_codes(wanted)), to_clean=wanted.to_clean))
        try:
            tables[split] = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(
                f"{wanted.path}: the files of the {split} split differ in their columns: {error}"
            ) from error
    if tables:
        return tables, pair.inputs or [], pair.labels
    for split, dataset in hub.hub_splits(str(wanted.path), wanted, looked(wanted, folder)).items():
        where = f"{wanted.path}, {split} split"
        tables[split] = hub.arrow_table(dataset, choose(dataset.features.arrow_schema))
    return tables, pair.inputs or [], pair.labels


def every(
    listed: str | list[str] | None, names: list[str], apart: list[str], setting: str, where: str
) -> str | list[str] | None:
    """The columns that are `listed`, where patterns such as `Att*` stand for all that they match of `names` but what is `apart`.

    setting: of `data`, for messages. Raises DataError where a pattern matches none.
    """
    if not isinstance(listed, list):
        return listed
    found: list[str] = []
    for one in listed:
        matching = [name for name in names if name not in apart and fnmatchcase(name, one)]
        if one not in names and any(sign in one for sign in "*?[") and not matching:
            raise DataError(
                f"{where}: no column matches {one!r} (data.{setting}); its columns are {', '.join(names[:20])}"
            )
        found += [one] if one in names or not matching else matching
    return list(dict.fromkeys(found)) if len(set(listed)) == len(listed) else found


def _codes(wanted: Wanted) -> list[str]:
    """The columns that are not inputs: of labels, one where none is named, and of slices."""
    labels = (wanted.labels or ["label"]) if wanted.meaning.label_axes else []
    return [*labels, *([wanted.slice] if wanted.slice else [])]


def choose_inputs(
    schema: Any, inputs: str | list[str] | None, where: str, slice_: str | None = None
) -> str | list[str]:
    """The columns of the inputs alone, where nothing is labelled: as named in `inputs`, or the only one of the `schema` that can be meant
    and is not that of the slices, `slice_`. Raises DataError, which begins with `where`."""
    from edgecomp.data.sources.tables import columns

    names: list[str] = schema.names
    named = [] if inputs is None else [inputs] if isinstance(inputs, str) else inputs
    for name in [*named, *([slice_] if slice_ else [])]:
        if names.count(name) != 1:
            raise DataError(
                f"{where}: has no column {name!r}{nearest(name, names)}; its columns are {', '.join(names)}"
            )
    possible = [name for name in names if name != slice_ and columns.can_be_inputs(schema.field(name).type)]
    if inputs or len(possible) == 1:
        return inputs or possible[0]
    which = f"{', '.join(possible)} could be meant" if possible else "none is of images, texts or lists"
    raise DataError(
        f"{where}: name the inputs, data.inputs=COLUMN, or of numbers data.inputs=[COLUMN, …]: {which}"
    )


def choose_columns(
    schema: Any, inputs: str | list[str] | None, label: str | None, where: str, slice_: str | None = None
) -> tuple[str | list[str], str]:
    """The columns of the inputs and of the labels: as named, or the only ones that can be meant, and no
    slice. Raises DataError, which begins with `where`.

    schema: pyarrow's; inputs, label, slice_: the names that were given, if any. Where several could hold
    labels, one with class names is meant, or else one that is called `label`. Columns of numbers are inputs
    only where they are listed: one may be a number of the row, or tell the label.
    """
    from edgecomp.data.sources.tables import columns

    names: list[str] = schema.names
    shown = ", ".join(
        f"{name} ({columns.kind(schema.field(place).type)})" for place, name in enumerate(names)
    )
    listed = [] if inputs is None else [inputs] if isinstance(inputs, str) else inputs
    given = [*(("inputs", one) for one in listed), ("label", label), ("slice", slice_)]
    named = [(setting, name) for setting, name in given if name is not None]
    for setting, name in named:
        if names.count(name) != 1:
            count = "no" if name not in names else f"{names.count(name)} columns, not one"
            raise DataError(f"{where}: has {count} column {name!r} (data.{setting}){nearest(name, names)}; "
                            f"its columns are {shown}")  # fmt: skip
    for _, name in named:
        if len(twice := [setting for setting, other in named if other == name]) > 1:
            settings = " and data.".join(dict.fromkeys(twice))
            how = "both name" if len(set(twice)) > 1 else "names twice"
            raise DataError(f"{where}: data.{settings} {how} {name!r}; its columns are {shown}")
    types = {
        name: schema.field(place).type
        for place, name in enumerate(names)
        if names.count(name) == 1 and name != slice_
    }
    for_label = [label] if label else (
        [name for name in types if class_names(schema, name)]
        or [name for name in types if name == "label"]
        or [name for name, kind in types.items() if columns.can_be_label(kind)]
    )  # fmt: skip
    possible = [name for name, kind in types.items() if columns.can_be_inputs(kind)]
    for_inputs: list[str | list[str]] = [inputs] if inputs else [*possible]
    pairs = [
        (one, other) for one in for_inputs for other in for_label if other != one and other not in listed
    ]
    if len(pairs) == 1:
        return pairs[0]
    missing = " and ".join(
        f"data.{setting}" for setting, name in (("inputs", inputs), ("label", label)) if not name
    )
    problem = (
        "several columns could be meant"
        if pairs
        else "no column of images, texts or lists with one of labels"
    )
    numbers = [
        name for name, kind in types.items() if columns.is_number(kind) and name not in (label, "label")
    ]
    hint = (
        ""
        if for_inputs or not numbers
        else f", columns of numbers as a list (data.inputs=[{', '.join(numbers[:3])}, …])"
    )
    raise DataError(f"{where}: {problem}: name {missing}{hint}; its columns are {shown}")


def numeric_columns(wanted: Wanted, folder: Path) -> list[str]:
    """The columns of numbers of the train split's file, but the label's, in their order. wanted: what was
    asked for; folder: the recipe's, for a relative path. Raises DataError."""
    from edgecomp.data.sources.tables import columns
    from edgecomp.data.sources.tables.table_files import read_table

    names: list[str] = []

    def note(schema: Any) -> list[str]:
        labels = wanted.labels or ["label"]
        names.extend(
            name
            for place, name in enumerate(schema.names)
            if name not in labels and columns.is_number(schema.field(place).type)
        )
        return schema.names[:1] or []

    read_table(files(wanted, folder)["train"][0], note)
    return names
