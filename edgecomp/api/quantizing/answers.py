"""Whether a way to quantise is the same function as the model: made, exported and asked, before anything is timed."""

import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecomp.api.run import prepared
from edgecomp.config.target import Target
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.gate.document import Check
from edgecomp.gate.judge import judge
from edgecomp.gate.verdict import Reason
from edgecomp.metrics.measurements import Measurements
from edgecomp.pipeline import execution
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import measuring
from edgecomp.progress import Listener

MEASURED = "bench"
"""The stage before which a file is what a device would get."""


def made_and_asked(
    recipe: Path, overrides: Sequence[str], folder: Path, check: str, listener: Listener
) -> tuple[list[Check], float]:
    """The check of answers of every target, of the int8 file on the test split, as a run will judge it, and how many seconds the asking took. Nothing else
    of the run is measured, and what was made is kept in its `folder`. recipe, overrides: what is made; check: the metric that decides; listener: told of progress, and may end it. Raises TimeIsUp, and
    RuntimeUnavailableError where no target could be asked."""
    job, place, every = prepared(recipe, overrides, folder, False, listener)
    with place.locked():
        execution.save_job(job, place)
        execution.execute(
            job, place, list(takewhile(lambda step: step.stage != MEASURED, every)), listener.started
        )
        run, began = Run(job, place.path, listener.track, listener.note), time.monotonic()
        found = [one for target in job.targets for one in _asked(run, target, check)]
    if found and all(one.reason is Reason.NOT_RUN for one in found):
        raise RuntimeUnavailableError(found[0].sentence)  # and no training would tell more
    return found, time.monotonic() - began


def _asked(run: Run, target: Target, check: str) -> list[Check]:
    with TemporaryDirectory(prefix="edgecomp-answers-") as name:
        (scratch := Path(name) / "bench").mkdir()
        measuring.bench(run, scratch, scratch, target, for_answers=True)
        rows = {name: row for name, row in run.job.rows[target.name].items() if row.metric == check}
        return judge({target.name: rows}, {target.name: Measurements.load(scratch)}, run.job.policy.wall)
