"""What a rule of cleaning has found, and the table of it that a user may veto."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgecomp.data.sources.examples import Values
from edgecomp.errors import DataError, FileError, nearest
from edgecomp.files.archives import check_parquet
from edgecomp.files.limits import read_bytes
from edgecomp.files.scratch import replacing

Action = Literal["remove", "report", "off"]
REMOVE, REPORT, OFF, KEEP = "remove", "report", "off", "keep"
MOST_BYTES = 2**30  # of a table of findings
NOT_AN_EXAMPLE = (
    "broken-image",
    "mixed-images",
)  # these cannot be kept: there is nothing to learn or to judge


@dataclass(frozen=True)
class Rule:
    """action: what is done about what it finds, where nobody says otherwise; score: what its score is, in words."""

    action: Action
    score: str
    title: str


RULES: Mapping[str, Rule] = {
    "broken-image": Rule("remove", "1", "images that cannot be read"),
    "mixed-images": Rule("remove", "1", "images of another size or mode than the rest"),
    "empty": Rule("remove", "1", "texts without a character"),
    "too-long": Rule("report", "characters", "texts beyond `longest`"),
    "encoding": Rule(
        "report", "share of damaged characters", "texts that were read in another encoding than written"
    ),
    "language": Rule(
        "report", "1 - probability of `languages`", "texts in none of the `languages` that were named"
    ),
    "duplicate": Rule("remove", "1", "training examples with the inputs and the label of an earlier one"),
    "contradiction": Rule(
        "report", "share of those that have another label", "examples with the same inputs and several labels"
    ),
    "near-duplicate": Rule("report", "likeness, 0 to 1", "training examples near to an earlier one"),
    "leak": Rule("remove", "1", "training examples that are in the validation or test split"),
    "near-leak": Rule("report", "likeness, 0 to 1", "training examples near to one of those splits"),
    "label-error": Rule(
        "report", "1 - probability of its label", "labels that predictions speak against (confident learning)"
    ),
    "low-confidence": Rule(
        "report", "1 - highest probability", "answers that the teacher is not confident of"
    ),
    "outlier": Rule(
        "report", "local outlier factor", "examples whose surroundings are emptier than their neighbours'"
    ),
}
"""By name, in the order in which they are told. A new rule is a row here and one of `search.SEARCHES`."""


@dataclass(frozen=True)
class Finding:
    """split, row: which example, its place in the data as they came; rule: a key of RULES; score: as the rule's; action: `remove`, `report`, or
    a user's `keep`; of: another example that it is because of, `SPLIT:ROW`; detail: more in words, never the example itself; key: of the
    example's inputs, so that a table is not taken for other data's."""

    split: str
    row: int
    rule: str
    score: float
    action: str = REPORT
    of: str = ""
    detail: str = ""
    key: str = ""


COLUMNS = tuple(Finding.__dataclass_fields__)


def actions(said: Mapping[str, str]) -> dict[str, Action]:
    """What is done about each rule: as `said`, by rule, and by default. Raises DataError where there is no such rule, or no such action."""
    for name, action in said.items():
        if name not in RULES:
            raise DataError(
                f"no such rule of cleaning: {name!r}{nearest(name, RULES)}; there are {', '.join(RULES)}"
            )
        if action not in (REMOVE, REPORT, OFF):
            raise DataError(f"rule {name}: {action!r} is none of remove, report, off")
        if name in NOT_AN_EXAMPLE and action != REMOVE:
            raise DataError(
                f"rule {name}: what cannot be read as the rest cannot be learnt from; it can only be removed: mend those files"
            )
    return {name: said.get(name, rule.action) for name, rule in RULES.items()}  # type: ignore[misc]  # actions were looked at above


def keys(values: Values) -> list[str]:
    """A key for each of the examples' `values`: 12 hexadecimal digits of what it holds."""
    if isinstance(values, list):
        return [_digest(text.encode("utf-8", "surrogatepass")) for text in values]
    arrays = list(values.values()) if isinstance(values, dict) else [values]
    return [
        _digest(b"".join(np.ascontiguousarray(array[row]).tobytes() for array in arrays))
        for row in range(len(arrays[0]))
    ]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def write(file: Path, findings: Sequence[Finding]) -> None:
    """Writes the table of `findings` into `file`, .csv or .parquet. Raises DataError of another suffix, OSError."""
    import pyarrow
    from pyarrow import csv, parquet

    check_suffix(file)
    table = pyarrow.table(
        {name: [getattr(one, name) for one in findings] for name in COLUMNS}, schema=_schema()
    )
    with replacing(file) as temporary:
        if file.suffix == ".parquet":
            parquet.write_table(table, temporary)
        else:
            csv.write_csv(table, temporary)


def check_suffix(file: Path) -> None:
    """Raises DataError where `file` is no .csv and no .parquet file by its name."""
    if file.suffix not in (".csv", ".parquet"):
        raise DataError(f"{file}: findings are a .csv or a .parquet table")


def read(file: Path) -> list[Finding]:
    """The findings in `file`, as a user has left them. Raises DataError where it is no table of findings."""
    import pyarrow
    from pyarrow import csv, parquet

    check_suffix(file)
    try:
        if file.suffix == ".parquet":
            with parquet.ParquetFile(file) as opened:
                check_parquet(file, opened)
                table = opened.read()
        else:
            content = pyarrow.BufferReader(read_bytes(file, MOST_BYTES))
            told = csv.ConvertOptions(column_types=_schema(), strings_can_be_null=False)
            table = csv.read_csv(content, convert_options=told)
    except (pyarrow.ArrowException, OSError, FileError) as error:
        raise DataError(f"{file} cannot be read as a table of findings: {error}") from error
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise DataError(
            f"{file} has no column {missing[0]!r}: it is no table of findings of `edgecomp data clean`"
        )
    rows = [
        Finding(**{name: row[name] for name in COLUMNS}) for row in table.select(list(COLUMNS)).to_pylist()
    ]
    for number, one in enumerate(rows, start=2):
        if one.rule not in RULES or one.action not in (REMOVE, REPORT, KEEP):
            raise DataError(
                f"{file}, line {number}: rule {one.rule!r}, action {one.action!r}: an action is remove, report or keep, and a rule one of {', '.join(RULES)}"
            )
        if one.row is None or one.row < 0 or one.score is None or not math.isfinite(one.score):
            raise DataError(
                f"{file}, line {number}: row {one.row}, score {one.score}: rows count from 0, and a score is a number"
            )
    return rows


def _schema() -> Any:
    import pyarrow

    kinds = {"row": pyarrow.int64(), "score": pyarrow.float64()}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])


def decided(findings: Iterable[Finding], action_of: Mapping[str, Action]) -> list[Finding]:
    """The `findings` with what is done about each: as action_of says of its rule, on the training split; elsewhere they are reported, but for
    what is no example."""
    return [
        replace(
            one, action=action_of[one.rule] if one.split == "train" or one.rule in NOT_AN_EXAMPLE else REPORT
        )
        for one in findings
        if action_of[one.rule] != OFF
    ]
