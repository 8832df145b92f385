"""Where a run's model files are: by arm and target, as they were made and as they are deployed."""

from pathlib import Path
from typing import NamedTuple

from edgecomp import arms
from edgecomp.arms import Arm
from edgecomp.config.target import Target
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.files.json_files import read_mapping
from edgecomp.pipeline.loaders import Run
from edgecomp.runtimes.base import Options


def model_files(run: Run, target: Target) -> dict[str, Path]:
    """Every arm of `run` that is measured under a target's runtime → its file; the student's is the very one
    that is deployed."""
    from edgecomp.runtimes import TABLE

    gated, name = target in run.job.targets, TABLE[target.runtime].model_file
    quantize = run.job.recipe.quantize.of(target.scheme if gated else "", target.runtime)

    def file_of(arm: Arm) -> Path:
        if arm is arms.judged(quantize) and gated:
            return run.folder / "deploy" / target.name / name
        return made_file(run, arm, target)

    run = run.of(target.scheme) if gated else run
    return {arm.name: file_of(arm) for arm in arms.measured(quantize, gated=gated)}


def made_file(run: Run, arm: Arm, target: Target, runtime: str = "") -> Path:
    """The file of an arm of `run` for a target, where it was made. runtime: that it is for, where that is not
    the target's."""
    from edgecomp.runtimes import TABLE

    runtime = runtime or target.runtime
    if arm.per_target:
        return run.folder / arm.steps[0] / target.name / TABLE[runtime].model_file
    return exported(run.of(target.scheme), arm.name, runtime)


def exported(run: Run, name: str, runtime: str) -> Path:
    """The exported file, for a runtime, of `name`, an arm or what else an export writes; of the run's scheme
    where it is made for each."""
    from edgecomp.export.stage import model_file

    arm = arms.ARMS.get(name)
    shared = arm is not None and not arm.per_scheme
    step, *place = model_file(name, runtime).parts
    return (run.folder / step if shared else run.made(step)).joinpath(*place)


def parameter_bytes(run: Run, target: Target) -> dict[str, int]:
    """What the parameters take, in bytes, by arm of `run`, of the target's scheme."""
    found: dict[str, int] = {}
    for place in dict.fromkeys((run.folder / "export", run.of(target.scheme).made("export"))):
        if (file := place / "parameters.json").is_file():
            found |= read_mapping(file)
    for arm in arms.ARMS.values():
        if (
            arm.per_target
            and (file := run.folder / (step := arm.steps[0]) / target.name / f"{step}.json").is_file()
        ):
            found[arm.name] = read_mapping(file, "parameter_bytes")["parameter_bytes"]
    return found


class Executed(NamedTuple):
    """What executes a target's files: its runtime, or, where that is not here, another that gives the same answers, and `why`."""

    runtime: str
    options: Options
    said: str = ""
    why: str = ""


def executed_by(run: Run, target: Target) -> Executed:
    """What executes a target's files here, asked of the smallest file of `run` that there is. target: of the run."""
    from edgecomp import runtimes

    own, stand_in = Executed(target.runtime, target.options), runtimes.TABLE[target.runtime].stand_in
    if stand_in is None:
        return own
    file = exported(run, arms.STUDENT_FP32.name, target.runtime)
    try:
        runtimes.adapter(target.runtime).load(file, threads=1, options=target.options).close()
    except RuntimeUnavailableError as error:
        return Executed(stand_in.runtime, stand_in.options_under(target.options), stand_in.said, str(error))
    return own
