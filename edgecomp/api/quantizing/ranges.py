"""Where training through integers begins: at the ranges that were best without any."""

from pathlib import Path

from edgecomp.errors import FileError
from edgecomp.files.json_files import read_mapping
from edgecomp.ptq.grid import CALIBRATIONS, Candidate


def best_ranges(folder: Path) -> tuple[str, ...]:
    """The override of a recipe's calibration; none where nothing is known.

    folder: a run's, with the post-training candidates' scores of each of its targets. Of our own that correct nothing, which is what training
    begins with, that of the highest score for the target that it is worst for.
    """
    by_name = {Candidate("ours", kind).name: kind for kind in CALIBRATIONS["ours"]}
    lowest: dict[str, float] = {}
    for file in sorted(folder.glob("ptq/*/ptq.json")):
        try:
            scores = read_mapping(file, "scores")["scores"]
        except FileError:
            return ()
        known = {one["name"]: one["validation_score_pct"] for one in scores}
        for name, kind in by_name.items():
            score = known.get(name)
            lowest[kind] = -float("inf") if score is None else min(score, lowest.get(kind, score))
    best = max(lowest, key=lowest.__getitem__, default="")
    return (f"quantize.calibration={best}",) if lowest.get(best, -float("inf")) > -float("inf") else ()
