"""Where training through integers begins: at the ranges and biases that were best without any."""

from pathlib import Path

from edgecomp.errors import FileError
from edgecomp.files.json_files import read_mapping
from edgecomp.ptq.grid import BIASES, CALIBRATIONS, Candidate


def best_ranges(folder: Path) -> tuple[str, ...]:
    """The overrides of a recipe's calibration; none where nothing is known.

    folder: a run's, with the post-training candidates' scores of each of its targets. Of our own that keep batch statistics, which is what training
    begins with, that of the highest score for the target that it is worst for.
    """
    by_name = {
        Candidate("ours", kind, bias=bias).name: (kind, bias)
        for kind in CALIBRATIONS["ours"]
        for bias in BIASES["ours"]
    }
    lowest: dict[tuple[str, str], float] = {}
    for file in sorted(folder.glob("ptq/*/ptq.json")):
        try:
            scores = read_mapping(file, "scores")["scores"]
        except FileError:
            return ()
        known = {one["name"]: one["validation_score_pct"] for one in scores}
        for name, begins in by_name.items():
            score = known.get(name)
            lowest[begins] = -float("inf") if score is None else min(score, lowest.get(begins, score))
    best = max(lowest, key=lowest.__getitem__, default=None)
    if best is None or lowest[best] == -float("inf"):
        return ()
    kind, bias = best
    return (f"quantize.calibration={kind}", *([] if bias == "none" else ["quantize.bias_correction=true"]))
