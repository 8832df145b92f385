"""What is asked of the lines, and the lines in three parts, in ways that ask more or less of a student."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}
FEWEST = 12  # lines of a template that is to be told from others
LEARNT = 10  # of them that are learnt from, as edgecomp asks of every class


def of_systems(lines: pa.Table) -> pa.Table:
    """Which of 13 systems a line is of."""
    return lines.append_column("label", lines["system"])


def of_templates(lines: pa.Table) -> pa.Table:
    """Which event template it is of, among those with enough lines."""
    names = pa.array(_templates(lines))
    counts = Counter(names.to_pylist())
    return lines.append_column("label", names).filter(
        pa.array([counts[name] >= FEWEST for name in names.to_pylist()])
    )


def of_alarms(lines: pa.Table) -> pa.Table:
    """Whether a line of BlueGene/L is an alarm, as its operators marked it."""
    found = lines.filter(pa.compute.equal(lines["system"], "BGL"))
    return found.append_column(
        "label", pa.array(["no" if one == "-" else "yes" for one in found["alert"].to_pylist()])
    )


def _templates(lines: pa.Table) -> list[str]:
    return [
        f"{system} {event}"
        for system, event in zip(lines["system"].to_pylist(), lines["event_id"].to_pylist(), strict=True)
    ]


def by_line(lines: pa.Table, seed: int) -> dict[str, pa.Table]:
    """At random, copies of a line in one part; templates repeat across the parts."""
    return _parts(lines, lines["content"].to_pylist(), np.random.default_rng(seed))


def by_template(lines: pa.Table, seed: int) -> dict[str, pa.Table]:
    """Each event template of a system in one part: what is judged is of templates that no student has seen."""
    return _parts(lines, _templates(lines), np.random.default_rng(seed))


def in_order(lines: pa.Table, seed: int) -> dict[str, pa.Table]:
    """Of each system the first lines are learnt from, and the last ones judged, as they came; the seed changes nothing."""
    systems = np.asarray(lines["system"].to_pylist())
    part = np.empty(len(systems), object)
    for system in np.unique(systems):
        places = np.flatnonzero(systems == system)
        ends = np.cumsum([round(share * len(places)) for share in SHARES.values()])
        for name, some in zip(SHARES, np.split(places, ends[:-1]), strict=True):
            part[some] = name
    return _taken(lines, part)


def in_random_order(parts: dict[str, pa.Table], seed: int) -> list[str]:
    """All lines, each on one line."""
    texts = [" ".join(text.splitlines()) for part in parts.values() for text in part["content"].to_pylist()]
    return [texts[place] for place in np.random.default_rng(seed).permutation(len(texts))]


def _parts(lines: pa.Table, keys: list[str], random: np.random.Generator) -> dict[str, pa.Table]:
    """Lines of one key go together; of each system every part has its share of the keys, one at least."""
    systems, key_of = np.asarray(lines["system"].to_pylist()), np.asarray(keys)
    part = np.empty(len(keys), object)
    for system in np.unique(systems):
        own = random.permutation(np.unique(key_of[systems == system]))
        counts = [max(1, round(share * len(own))) for share in (SHARES["test"], SHARES["validation"])]
        groups = np.split(own, np.cumsum(counts))
        for name, some in zip(("test", "validation", "train"), groups, strict=True):
            part[(systems == system) & np.isin(key_of, some)] = name
    return _taken(lines, part)


def _taken(lines: pa.Table, part: npt.NDArray[np.object_]) -> dict[str, pa.Table]:
    """Lines whose label is in fewer than LEARNT that are learnt from, or in none of another part, cannot be told or judged, and are left out."""
    kept = lines.select(["content", "label"])
    counts = {name: Counter(kept.filter(pa.array(part == name))["label"].to_pylist()) for name in SHARES}
    known = {
        label
        for label, count in counts["train"].items()
        if count >= LEARNT and all(label in of for of in counts.values())
    }
    can_be_told = np.asarray([label in known for label in kept["label"].to_pylist()])
    return {name: kept.filter(pa.array((part == name) & can_be_told)) for name in SHARES}


LABELS = {"system": of_systems, "template": of_templates, "alarm": of_alarms}
SPLITS = {"line": by_line, "order": in_order, "template": by_template}
