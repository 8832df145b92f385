"""What `edgecomp compare` is given: model files, what a run deploys, or a folder that was deployed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from edgecomp.artifacts.run_folder import MANIFEST, RunFolder
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
from edgecomp.runtimes import Port, formats
from edgecomp.runtimes.formats import CONTRACT
from edgecomp.tasks import Meant, SeveralOutputs

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
        """What the model's inputs are made of, and the classes it answers with. Raises RunFolderError."""
        return None if self.deployed is None else _content(self.deployed / "preprocessing.json")

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
        return Given(str(what), what)
    if not what.exists():
        raise ModelFileError(f"no such model file or run folder: {what}{nearest_there(what)}")
    if (what / CONTRACT).is_file():
        return _deployed(what, None, target)
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
                f"{file}: {key} is {_short(found.get(key))}, not a {kind.__name__}: {COPY_AGAIN}"
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


def contract_differences(
    baseline: Mapping[str, Sequence[Port]], candidate: Mapping[str, Sequence[Port]]
) -> list[str]:
    """What whoever calls the baseline would have to change for the candidate, in words. Keys: inputs and outputs.

    An input axis that is free in the candidate takes what the baseline's takes; what a file does not tell is no difference.
    """
    found = []
    for kind in ("inputs", "outputs"):
        old, new = ({port.name: port for port in side[kind]} for side in (baseline, candidate))
        singular = kind.removesuffix("s")
        found += [f"{singular} {name} is missing" for name in old if name not in new]
        found += [f"{singular} {name} is new" for name in new if name not in old]
        for name in [name for name in old if name in new]:
            before, now = old[name], new[name]
            if before.dtype and now.dtype and before.dtype != now.dtype:
                found.append(f"{singular} {name} is of {now.dtype} instead of {before.dtype}")
            if not _fits(before.shape, now.shape, kind == "inputs"):
                found.append(f"{singular} {name} is of {_shown(now.shape)} instead of {_shown(before.shape)}")
        if (
            kind == "outputs" and list(old) != list(new) and set(old) == set(new)
        ):  # the first is what is judged
            found.append(f"outputs are in another order: {', '.join(new)} instead of {', '.join(old)}")
    return found


def preprocessing_differences(baseline: Given, candidate: Given) -> list[str]:
    """What differs, in words, of a baseline and a candidate that were both deployed: what is done to an input
    before the model, and the classes it answers with. Empty where one is a model file."""
    old, new = baseline.preprocessing(), candidate.preprocessing()
    if old is None or new is None:
        return []
    told = {**old, **new}.keys() - {key for key in ("columns",) if None in (old.get(key), new.get(key))}
    keys = [key for key in {**old, **new} if key in told and old.get(key) != new.get(key)]
    found = [
        f"preprocessing: {key} is {_short(new.get(key))} instead of {_short(old.get(key))}" for key in keys
    ]
    tokenizers = [side.deployed / "tokenizer.json" for side in (baseline, candidate) if side.deployed]
    if all(file.is_file() for file in tokenizers) and len({sha256(file) for file in tokenizers}) > 1:
        found.append("preprocessing: the tokenizer is another")
    return found


def _fits(before: tuple[int | None, ...] | None, now: tuple[int | None, ...] | None, is_input: bool) -> bool:
    if before is None or now is None:
        return True
    if len(before) != len(now):
        return False
    # An axis that becomes fixed refuses inputs that were good; one that becomes free refuses none.
    return all(
        old == new
        or (new is None and is_input)
        or (old is None and not is_input)
        or (new is None and not is_input)
        for old, new in zip(before, now, strict=True)
    )


def _shown(shape: tuple[int | None, ...] | None) -> str:
    return (
        "any shape"
        if shape is None
        else f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
