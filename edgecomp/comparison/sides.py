"""What `edgecomp compare` is given: model files, what a run deploys, or a folder that was deployed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from edgecomp.artifacts.run_folder import MANIFEST, RunFolder
from edgecomp.benchmark.given_files import name_of
from edgecomp.config.job import read_job
from edgecomp.config.output_task import OutputTask
from edgecomp.config.target import Target
from edgecomp.data.preprocessing import TOKENIZER
from edgecomp.errors import (
    AlteredError,
    FileError,
    ModelFileError,
    RunFolderError,
    UsageError,
    nearest,
    nearest_there,
)
from edgecomp.files.array_files import read_npz
from edgecomp.files.json_files import read_json
from edgecomp.files.writing import sha256
from edgecomp.runtimes import TABLE, endpoints, formats
from edgecomp.runtimes.formats import CONTRACT
from edgecomp.tasks import Meant, SeveralOutputs
from edgecomp.tasks.language.causal_lm import CausalLm

COPY_AGAIN = "copy the folder again, or make it with `edgecomp run DIR --only export`"

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Given:
    """A model file; `deployed` is the folder with its contract, where it comes from one, and `run` the run folder around that."""

    name: str
    model: Path
    deployed: Path | None = None
    run: Path | None = None

    def preprocessing(self) -> dict[str, Any] | None:
        """What the model's inputs are made of, and the classes it answers with; nothing of a language model, whose tokenizer says it all. Raises
        RunFolderError."""
        if self.deployed is None:
            return None
        own = self.deployed / "preprocessing.json"
        if not own.is_file() and _content(self.deployed / CONTRACT).get("task") == CausalLm.name:
            return {}
        return _content(own)

    def task(self) -> Meant | None:
        """What its outputs mean, where its contract tells. Raises RunFolderError."""
        told = None if self.deployed is None else _content(self.deployed / CONTRACT).get("task")
        if told != SeveralOutputs.name:
            return told if isinstance(told, str) else None
        several = (self.preprocessing() or {}).get("task")
        try:
            return {
                str(name): OutputTask.model_validate(one).model_dump(exclude_none=True)
                for name, one in several.items()  # type: ignore[union-attr]  # of whatever a file holds
            }
        except (ValidationError, AttributeError) as error:
            raise RunFolderError(
                f"{self.deployed}: its preprocessing.json does not say what each output means: {COPY_AGAIN}"
            ) from error


def given(what: Path, target: Target) -> Given:
    """The side that `what` is: a model file, a run folder, of which what it deploys for the target, or a
    folder that was deployed. Raises UsageError, RunFolderError, ModelFileError where it is none, or is not
    what was recorded."""
    if what.is_file():
        return Given(endpoints.shown(what), what)
    if not what.exists():
        raise ModelFileError(f"no such model file or run folder: {what}{nearest_there(what)}")
    if (what / CONTRACT).is_file():
        return _deployed(what, None, target)
    if TABLE[target.runtime].generates and (graph := what / TABLE[target.runtime].model_file).is_file():
        return Given(name_of(what), graph)
    if not (what / MANIFEST).is_file():
        raise RunFolderError(f"{what} is no run folder, for it has no {MANIFEST}, and no {CONTRACT} either: name a model file, a run "
                             "folder, or a folder that was deployed")  # fmt: skip
    made = sorted(folder.name for folder in (what / "deploy").glob("*") if (folder / CONTRACT).is_file())
    if target.name not in made:
        raise UsageError(f"{what} has nothing for {target.name}{nearest(target.name, made)}; it was made for "
                         f"{', '.join(made) or 'no target'}: name that with --target")  # fmt: skip
    step = f"deploy/{target.name}"
    if target.name not in (asked := [one.name for one in read_job(what).targets]):
        raise RunFolderError(f"{what / step} is of an earlier run, and the last one was made for {', '.join(asked)}: name that with "
                             f"--target, or run it again with {target.name} among its targets")  # fmt: skip
    check_recorded(what, step)
    return _deployed(what / step, what, target)


def check_recorded(run: Path, step: str, files: Sequence[str] = ()) -> None:
    """Raises RunFolderError where the files of a `step` of the run folder `run` are not those the manifest
    knows, or not of what is there now.

    Those that are named in `files` are what a verdict will rest on: AlteredError where one is not what was
    written. Empty, all are looked at.
    """
    manifest = RunFolder(run).manifest()
    record = manifest.steps.get(step) if manifest else None
    if manifest is None or record is None:
        raise RunFolderError(f"{run}: its {MANIFEST} does not know {step}: run it again")
    for path, digest in record.outputs.items():
        file = run / path
        if files and file.name not in files:
            continue
        if not file.is_file():
            raise RunFolderError(f"{file} is missing: the run is not what it was; run it again")
        if sha256(file) != digest.sha256:
            what = f"{file} is not what was written (its sha256 differs): the run is not what it was; run it again"
            raise AlteredError(f"INVALID, altered: {what}") if files else RunFolderError(what)
    for name, made in record.made_from.items():
        if name in manifest.steps and manifest.steps[name].made != made:
            raise RunFolderError(f"{run / step} was made from another {name} than is there now: run it again")


def check_labels(run: Path, target: Target, labels: Labels) -> None:
    """Raises AlteredError where a run was judged by other labels than these of its test split. target: that
    it was judged for; where it was not, nothing is looked at."""
    judged_by = run / "bench" / target.name / "outputs.npz"
    if not judged_by.is_file():
        return
    judged = read_npz(judged_by, ["labels"]).get("labels")
    if judged is None or (len(judged) and not np.array_equal(judged, labels)):
        raise AlteredError(f"INVALID, altered: the labels of {run / 'data' / 'test.npz'} are not those that {judged_by} was judged by: "
                           "the run is not what it was; run it again")  # fmt: skip


def _content(file: Path, **wanted: type) -> dict[str, Any]:
    """What a JSON file of a deployed folder holds, these keys of these types at least. Raises RunFolderError."""
    try:
        found = read_json(file)
    except FileError as error:
        raise RunFolderError(
            f"{file} cannot be read: {str(error).removeprefix(f'{file}: ')}; {COPY_AGAIN}"
        ) from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{file} holds {type(found).__name__}, not a mapping: {COPY_AGAIN}")
    for key, kind in wanted.items():
        if not isinstance(found.get(key), kind):
            raise RunFolderError(
                f"{file}: {key} is {short(found.get(key))}, not a {kind.__name__}: {COPY_AGAIN}"
            )
    return found


def _deployed(folder: Path, run: Path | None, target: Target) -> Given:
    contract = _content(folder / CONTRACT, runtime=str, files=dict)
    if contract["runtime"] != target.runtime:
        raise UsageError(f"{folder} is for {contract['runtime']}, and target {target.name} runs {target.runtime}: name another with "
                         "--target")  # fmt: skip
    model = formats.deployed_in(folder, target.runtime)
    wanted = [model.name, *(part.name for part in formats.parts_of(model))]
    wanted += [TOKENIZER] if (folder / TOKENIZER).is_file() else []
    if missing := [name for name in wanted if name not in contract["files"]]:
        raise RunFolderError(f"{folder / CONTRACT}: files does not list {', '.join(missing)}, so nothing says what it should be: "
                             f"{COPY_AGAIN}")  # fmt: skip
    for name, digest in contract["files"].items():
        file = folder / name
        if name != Path(name).name or not file.is_file() or sha256(file) != digest:
            raise RunFolderError(
                f"{file} is not the file that {CONTRACT} names (missing, elsewhere, or its sha256 differs)"
            )
    return Given(str(run or folder), model, deployed=folder, run=run)


def short(value: Any) -> str:
    """A `value` as JSON has it, in 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
