"""The lines in three parts, in ways that ask more or less of a student."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}


def by_line(lines: pa.Table, seed: int) -> dict[str, pa.Table]:
    """At random, copies of a line in one part; templates repeat across the parts."""
    return _parts(lines, lines["content"].to_pylist(), np.random.default_rng(seed))


def by_template(lines: pa.Table, seed: int) -> dict[str, pa.Table]:
    """Each event template of a system in one part: what is judged is of templates that no student has seen."""
    keys = [
        f"{system} {event}"
        for system, event in zip(lines["system"].to_pylist(), lines["event_id"].to_pylist(), strict=True)
    ]
    return _parts(lines, keys, np.random.default_rng(seed))


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
    kept = lines.select(["content", "system"])
    return {name: kept.filter(pa.array(part == name)) for name in SHARES}


SPLITS = {"line": by_line, "order": in_order, "template": by_template}
