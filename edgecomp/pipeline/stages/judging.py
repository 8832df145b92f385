"""The verdict, and what is said of it."""

import datetime
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import is_for_cpus
from edgecomp.errors import AlteredError, FileError, RunFolderError
from edgecomp.files.array_files import read_npz
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import write_json
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.gate.document import VerdictDocument

VERDICT, TEST = Path("gate", "verdict.json"), Path("data", "test.npz")
_derived_here: "dict[Path, VerdictDocument]" = {}  # by folder, in this process, which need not be done again
EVIDENCE = {"data", "bench", "parity", "portable", "emulation", "health", "gate"}


def gate(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the verdict of `run`, verdict.json, into `out`; checkpoints: not needed."""
    _derived_here[run.folder] = found = derived(run)
    write_json(out / VERDICT.name, found.as_json())


def derived(run: Run) -> "VerdictDocument":
    """The verdict that the raw samples of a run give, as JSON reads it again. Raises RunFolderError where they are of another shape."""
    from edgecomp.gate.document import canonical

    try:
        return canonical(_judged(run))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(f"{run.folder}: what was measured cannot be judged ({type(error).__name__}: {error}): measure again with "
                             f"`edgecomp bench {run.folder}`") from error  # fmt: skip


def _judged(run: Run) -> "VerdictDocument":
    from edgecomp.gate.stage import judged

    return judged(
        rows=run.job.rows,
        policy=run.job.policy,
        budgets={target.name: target.budget_rows() for target in run.job.targets},
        bench_folders={target.name: run.folder / "bench" / target.name for target in run.job.targets},
        beside={target.name: run.folder / "bench" / target.name for target in run.job.ungated_targets},
        portable={
            target.name: run.folder / "portable" / target.name
            for target in run.job.targets
            if is_for_cpus(run.job, target)
        },
        emulated={
            target.name: (
                run.folder / "emulation" / target.name,
                run.folder / "parity" / target.name / "reference.npy",
            )
            for target in run.job.targets
            if target.isa != "host"
        },
        health={
            target.name: run.folder / "health" / target.name
            for target in run.job.targets
            if run.job.recipe.health is not None
        },
        today=run.today,
        own_teacher=run.job.recipe.quantises_its_teacher,
    )


def checked(run: Run) -> "tuple[VerdictDocument, str]":
    """The verdict of `run` to show, derived from the raw samples, and what is to be said of the one that was
    kept, if anything.

    Raises AlteredError where that is of the same versions and policy, and says something else. A waiver that has expired since takes
    nothing from a verdict that was given while it held.
    """
    from edgecomp.gate.document import upgraded
    from edgecomp.gate.rederived import differences, is_comparable

    file = run.folder / VERDICT
    try:
        kept = read_json(file)
    except FileError as error:
        raise AlteredError(_altered(run.folder, str(error))) from error
    if (here := _derived_here.get(run.folder)) is not None and kept == here.as_json():
        return here, ""
    found = derived(run)
    kept, again = upgraded(kept), found.as_json()
    if not isinstance(kept, dict) or not is_comparable(kept, again):
        by = kept.get("made_with") if isinstance(kept, dict) else None
        version = (
            f"edgecomp {by['edgecomp']}"
            if isinstance(by, dict) and "edgecomp" in by
            else "an earlier edgecomp"
        )
        return (
            found,
            f"{file} was made by {version}, or of another policy: it is judged again here, from its samples",
        )
    difference = next(differences(kept, again), None)
    if difference is not None and (day := judged_on(run)) != run.today:
        of_that_day = derived(replace(run, today=day))
        if next(differences(kept, of_that_day.as_json()), None) is None:
            return (
                of_that_day,
                f"{file} is of {day}, and a waiver has expired since: judged today it ends with exit {found.exit_code}",
            )
    if difference is not None:
        raise AlteredError(
            _altered(run.folder, f"{file} does not follow from the samples beside it: {difference}")
        )
    return found, ""


def judged_on(run: Run) -> datetime.date:
    """The day that waivers were held against when `run` was judged; today, where that is not known."""
    try:
        manifest = RunFolder(run.folder).manifest()
        return (
            run.today
            if manifest is None
            else datetime.date.fromisoformat(manifest.steps["gate"].finished[:10])
        )
    except (KeyError, ValueError, RunFolderError):
        return run.today


def check_evidence(folder: RunFolder, steps: Iterable[str]) -> None:
    """Raises AlteredError where a file of these steps of the run `folder` that a verdict rests on, or the
    test split, is not what was written.

    What is not there any more proves nothing.
    """
    for name in ("data", *steps):
        for path in folder.altered(name) if name.partition("/")[0] in EVIDENCE else ():
            if name != "data" or path == TEST.as_posix():
                raise AlteredError(
                    _altered(
                        folder.path, f"{folder.path / path} is not what was written (its sha256 differs)"
                    )
                )


def check_labels(run: Run) -> None:
    """Raises AlteredError where the labels that a verdict of `run` was judged by are not those of the test
    split, where that is there."""
    import numpy as np

    from edgecomp.metrics.measurements import Measurements

    if not (run.folder / TEST).is_file():
        return
    try:
        labels = read_npz(run.folder / TEST, ["labels"]).get("labels")
    except FileError:
        labels = None
    if labels is None:
        raise AlteredError(_altered(run.folder, f"{run.folder / TEST} is no test split"))
    for target in run.job.targets:
        bench = run.folder / "bench" / target.name
        judged_by = Measurements.load(bench).labels
        if len(judged_by) and not np.array_equal(judged_by, labels):
            raise AlteredError(
                _altered(run.folder, f"the labels in {bench} are not those of {run.folder / TEST}")
            )


def _altered(folder: Path, what: str) -> str:
    return f"INVALID, altered: {what}; `edgecomp run` makes again what was changed, `edgecomp run {folder} --only gate` judges it again"


def report(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the report of `run` into `out`: HTML, Markdown, JSON and JUnit; checkpoints: not needed. Raises
    AlteredError."""
    from edgecomp.pipeline.stages.originals import originals
    from edgecomp.report.stage import write_report

    verdict, _ = checked(run)
    shown = originals(run, verdict)
    write_report(
        run_folder=run.folder, job=run.job, verdict=verdict, folder=out, originals=shown, past=run.past()
    )
