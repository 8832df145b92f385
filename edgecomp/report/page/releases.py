"""Earlier results of a run's recipe, as whoever keeps them hands them to a report."""

from collections.abc import Mapping
from typing import NamedTuple

from edgecomp.stats.figure import Figure


class Release(NamedTuple):
    """One result of one target. at: when, ISO 8601; sha256: of the model's files; source: where its samples lie; figures: by metric."""

    at: str
    target: str
    sha256: str
    source: str
    verdict: str | None
    figures: Mapping[str, Figure]
