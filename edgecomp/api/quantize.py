"""`edgecomp quantize`: a model and inputs that nobody labelled, to the int8 file that is the same function.

The cheapest thing first: the best of all post-training quantisations, chosen on inputs that it was not calibrated on. Where that is not the
same function within the margin, the model is trained through its integers with itself as its teacher; as a last resort its costliest layers
stay in float. Each is a run of one recipe, which is written down, and shares what it can with the one before.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgecomp import __version__
from edgecomp.api.results import RunResult
from edgecomp.api.run import job_of, run
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.errors import FileError, ModelFileError, TimeIsUp, UsageError, nearest, nearest_there
from edgecomp.files.array_files import names_in, read_npz
from edgecomp.files.json_files import read_mapping
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import digest_of, write_json
from edgecomp.gate.verdict import Verdict
from edgecomp.history.store import STORE
from edgecomp.metrics.registry import ACCURACY, TEACHER_ERROR, TOP_AGREEMENT
from edgecomp.metrics.units import parse_quantity
from edgecomp.pipeline.epoch_time import measure
from edgecomp.pipeline.loaders import Run, fingerprinted
from edgecomp.progress import Listener, Silent, Until
from edgecomp.report.evidence import TRIED

AGREEMENT, ERROR = TOP_AGREEMENT, TEACHER_ERROR
FEWEST = 100  # inputs, in all
SHOWN = 20_000  # inputs that are trained on, over all epochs
JUDGED_ON = 700  # inputs, where there are enough: 598 without a change show 99.5 %
MOST_EPOCHS = 10_000
MADE_AGAIN = (
    "export",
    "parity",
    "deploy",
    "bench",
    "portable",
    "emulation",
    "gate",
    "report",
)  # steps, after each training
TARGETS = ("onnxruntime-cpu", "openvino-cpu")


@dataclass(frozen=True)
class Attempt:
    """One way: what it is called, the recipe's keys that make it, how long it took, and by target the figure that decides and its verdict."""

    name: str
    overrides: tuple[str, ...]
    seconds: float
    found: dict[str, str]
    verdict: str

    @property
    def is_the_same(self) -> bool:
        """Whether every target's check of the answers passed."""
        return all(said.endswith(Verdict.PASS) for said in self.found.values())


def quantize(
    model: Path | str,
    data: Path | str,
    *,
    targets: Sequence[str] = TARGETS,
    label: str | None = None,
    max_drop: str | None = None,
    min_agreement: str | None = None,
    max_error: str | None = None,
    minutes: float | None = None,
    out: Path | str | None = None,
    history: Path | str | None = STORE,
    listener: Listener | None = None,
) -> RunResult:
    """Quantises a model to int8 for some targets, and judges whether it is still the same function.

    model: an ONNX file, in float. data: an .npz file with its inputs by name, [N, ...] each. targets: device profiles, by name or file. label:
    the array of `data` with the class of each input, for a margin of accuracy, `max_drop` (`0.5 pt`); without it nothing is labelled, and the
    outputs decide: `min_agreement` (`99.5 %`) of the largest of a row of numbers with the model's own, else `max_error` (`1 %`), the mean error over
    the outputs' deviation. minutes: how long it may take: training
    goes on for as long as that leaves, and ends with it; without it, training is as long whatever the machine. out: the run folder, `runs/quantize/NAME` where it is not given;
    its recipe is the file of that name with .yaml. history, listener: as `run` takes them.

    The result is the last way's; what was tried is in `quantize.json` of the run folder. Raises UsageError, ModelFileError and DataError before
    anything is trained.
    """
    listener, began = listener or Silent(), time.monotonic()
    file, inputs = _model(Path(model)), Path(data)
    names, outputs = _interface(file, inputs)
    folder = Path(out) if out is not None else Path("runs") / "quantize" / file.stem
    count = _count(inputs, names)
    check, limit = _decides(outputs, label, max_drop, min_agreement, max_error)
    recipe = folder.with_name(f"{folder.name}.yaml")
    content = _recipe(file, inputs, names, count, list(targets), label, check, limit)
    recipe.parent.mkdir(parents=True, exist_ok=True)
    with replacing(recipe) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, width=120), encoding="utf-8")
    record = _Record.of(recipe, folder, check, limit)
    record.take(minutes)
    result: RunResult | None = None
    ways = _ways(content)
    for place, (name, asked) in enumerate(ways):
        if (
            place < len(record.tried) or record.is_the_same
        ):  # by a call before, that was ended or asks for less
            continue
        overrides, heard = asked, listener
        if place and minutes is not None:
            if not (epochs := _epochs(record, recipe, asked, folder, minutes, began, listener)):
                break
            overrides = (*asked, f"quantize.epochs={epochs}")
            heard = Until(listener, began + 60 * minutes)
        started = time.monotonic()
        listener.say(f"{name}: {' '.join(overrides)}")
        try:
            result = run(recipe, overrides, out=folder, history=None, listener=heard)
        except TimeIsUp as over:
            listener.note(f"{name}: {over}; what is trained is kept, and the same command goes on from it")
            result = None
            break
        record.tried.append(_attempt(name, overrides, time.monotonic() - started, result, check))
        record.save()
    if result is None:
        result = run(recipe, record.tried[-1].overrides, out=folder, history=None, listener=listener)
    record.save()
    run(folder, only="report", listener=Silent())  # which shows what was tried
    for one in record.tried:
        listener.say(
            f"tried {one.name}, {one.seconds:.0f} s: "
            + "; ".join(f"{target}, {said}" for target, said in one.found.items())
        )
    if history is not None:
        _remember(result, Path(history), listener)
    return result


@dataclass
class _Record:
    """`quantize.json` of a run folder: what was asked for, by its digest, and what was tried of it.

    minutes, epochs: the time that the last training was chosen for, and how long it is.
    """

    file: Path
    asked: str
    check: str
    limit: Mapping[str, Any]
    tried: list[Attempt]
    minutes: float | None = None
    epochs: int = 0

    @classmethod
    def of(cls, recipe: Path, folder: Path, check: str, limit: Mapping[str, Any]) -> "_Record":
        """That of a call for the same before, or a new one."""
        job = fingerprinted(job_of(recipe, ()))
        asked = digest_of([job.model_dump(mode="json", exclude={"folder"}), __version__])
        new = cls(folder / TRIED, asked, check, limit, [])
        try:
            known = read_mapping(new.file, "asked", "tried", "minutes", "epochs")
        except FileError:  # none, or an earlier version's
            return new
        if known["asked"] == asked:
            new.tried = [Attempt(**one | {"overrides": tuple(one["overrides"])}) for one in known["tried"]]
            new.minutes, new.epochs = known["minutes"], known["epochs"]
        return new

    def take(self, minutes: float | None) -> None:
        """Another time makes another training, but where one was ended before, which has time again now, and where none is needed."""
        begun = self.epochs > 0 and len(self.tried) == 1
        if minutes != self.minutes and (minutes is None or not (begun or self.is_the_same)):
            self.epochs = 0
            del self.tried[1:]
        self.minutes = minutes

    @property
    def is_the_same(self) -> bool:
        return bool(self.tried) and self.tried[-1].is_the_same

    def save(self) -> None:
        told = {name: value for name, value in vars(self).items() if name not in ("file", "tried")}
        write_json(self.file, told | {"tried": [vars(one) for one in self.tried]})


def _model(file: Path) -> Path:
    """Raises ModelFileError."""
    if file.suffix.lower() != ".onnx":
        raise ModelFileError(f"{file}: what is quantised is an ONNX file; a network of a recipe is quantised by `edgecomp run` with distill.epochs: 0 "
                             "and `student: { network: teacher }`")  # fmt: skip
    if not file.is_file():
        raise ModelFileError(f"no such model file: {file}{nearest_there(file)}")
    return file.absolute()


def _interface(file: Path, data: Path) -> tuple[list[str], tuple[int, ...]]:
    """The model's inputs in order, and the shape of an example's first output. Raises UsageError, ModelFileError, FileError."""
    import torch

    from edgecomp.onnx_import import from_onnx, interface_of

    if not data.is_file() or data.suffix != ".npz":
        raise UsageError(
            f"{data}: the inputs are an .npz file with the model's inputs by name{nearest_there(data)}"
        )
    network = from_onnx(file)
    names = list(interface_of(network).inputs)
    there = names_in(data)
    if missing := [name for name in names if name not in there]:
        raise UsageError(f"{data}: has no array {missing[0]!r}{nearest(missing[0], there)}, which the model takes; it has {', '.join(there)}: save "
                         f"{', '.join(names)} in it, [N, ...] each")  # fmt: skip
    held = read_npz(data, names)
    with torch.no_grad():
        given = network.eval()(*(torch.from_numpy(held[name][:2].copy()) for name in names))
    first = given[0] if isinstance(given, tuple | list) else given
    return names, tuple(first.shape[1:])


def _count(data: Path, names: Sequence[str]) -> int:
    """Raises UsageError where the inputs are too few to split."""
    count = len(read_npz(data, names[:1])[names[0]])
    if count < FEWEST:
        raise UsageError(f"{data}: has {count} inputs, and it takes {FEWEST} to calibrate, choose and judge on different ones; some 1,500 are needed "
                         "to show that 99.5 % of the answers are the same")  # fmt: skip
    return count


def _decides(
    outputs: tuple[int, ...],
    label: str | None,
    max_drop: str | None,
    min_agreement: str | None,
    max_error: str | None,
) -> tuple[str, dict[str, Any]]:
    """The check that decides whether it is the same function, and its limit. Raises UsageError where the options do not go together."""
    if (max_drop is None) != (label is None):
        raise UsageError(
            "--max-drop is a drop of accuracy, which takes labels: name their array with --label, and say the drop, such as '0.5 pt'"
        )
    if sum(one is not None for one in (max_drop, min_agreement, max_error)) > 1:
        raise UsageError("one margin decides: give --max-drop, --min-agreement or --max-error alone")
    if max_drop is not None:
        return ACCURACY, {"against": "teacher", "margin": max_drop}
    of_a_row = len(outputs) == 1 and outputs[0] > 1
    if min_agreement is not None and not of_a_row:
        raise UsageError(f"--min-agreement is of the largest of a row of numbers, and the model's first output is of shape {['N', *outputs]}: "
                         "give --max-error")  # fmt: skip
    if max_error is None and of_a_row:
        return AGREEMENT, {"min": min_agreement or "99.5 %"}
    return ERROR, {"max": max_error or "1 %"}


def _recipe(
    file: Path,
    data: Path,
    names: list[str],
    count: int,
    targets: list[str],
    label: str | None,
    check: str,
    limit: Mapping[str, Any],
) -> dict[str, Any]:
    """What all ways share. The other checks of answers than `check` are taken out of the policy."""
    trained = 0.8 * count - min(JUDGED_ON, 0.5 * count)
    others: dict[str, Any] = {name: None for name in (AGREEMENT, ERROR) if name != check}
    return {
        "name": "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in file.stem).lstrip("._-")
        or "model",
        "description": f"{file.name}, quantised to int8 with itself as its teacher",
        "task": "outputs" if label is None else "classification",
        "data": {"source": "numpy", "path": str(data.absolute()), "inputs": names}
        | ({} if label is None else {"label": label})
        | {
            "test_fraction": round(min(JUDGED_ON / count, 0.5), 4),
            "validation_fraction": 0.1,
            "calibration_fraction": 0.1,
        },
        "teacher": {"network": f"onnx:{file}", "epochs": 0},
        "student": {"network": "teacher"},
        "distill": {"epochs": 0, "batch_size": 32, "hard_label_weight": 0},
        "quantize": {"epochs": max(2, min(30, round(SHOWN / max(1.0, trained)))), "learning_rate": 1.0e-4},
        "targets": targets,
        "policy": "same-function",
        "thresholds": others | {check: dict(limit)},
    }


def _ways(recipe: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """What is tried, the cheapest first, as overrides of the recipe."""
    limits = recipe["thresholds"]
    drop = limits[ACCURACY]["margin"] if ACCURACY in limits else "0.1 pt"
    if limits.get(ERROR):
        # Of normal errors the root mean square is 1.25 times the mean, and its square is what is not explained.
        drop = f"{(1.25 * parse_quantity(limits[ERROR]['max']).value) ** 2 / 100:.4f} pt"
    return [
        ("post-training quantisation, the best of all", ("quantize.method=ptq-best",)),
        ("trained through its integers", ("quantize.baselines=[ptq-best]",)),
        (
            "trained, with the costliest layers in float",
            ("quantize.baselines=[ptq-best]", f"quantize.max_drop='{drop}'"),
        ),
    ]


def _attempt(name: str, overrides: tuple[str, ...], seconds: float, result: RunResult, check: str) -> Attempt:
    found = {
        one.target: f"{one.sentence.removeprefix(f'{one.target}: ').rstrip('.')}: {one.verdict}"
        for one in result.checks
        if one.metric == check
    }
    return Attempt(name, overrides, round(seconds, 1), found, str(result.verdict))


def _epochs(
    record: _Record, recipe: Path, overrides: Sequence[str], folder: Path, minutes: float, began: float, listener: Listener,
) -> int:  # fmt: skip
    """How long is trained, for half of the time that is left beside export and bench: the other half is for layers in float, which takes as
    long again. 0: not at all. A training that was begun before goes on as it was meant."""
    left = 60 * minutes - (time.monotonic() - began)
    if len(record.tried) > 1 and left < record.tried[1].seconds:
        listener.note(f"--time {minutes:g}: {max(0.0, left):.0f} s are left, and training again with layers in float takes "
                      f"{record.tried[1].seconds:.0f} s: it is not done")  # fmt: skip
        return 0
    if record.epochs:
        return record.epochs
    manifest = RunFolder(folder).manifest()
    known = manifest.steps if manifest else {}
    again = sum(one.seconds for name, one in known.items() if name.split("/")[0] in MADE_AGAIN)
    took = measure(Run(fingerprinted(job_of(recipe, overrides)), folder, listener.track, listener.note))
    again += took.afterwards_s
    left = 60 * minutes - (time.monotonic() - began)
    epochs = min(MOST_EPOCHS, int((left - again) / 2 // took.seconds))
    if epochs < 1:
        listener.note(f"--time {minutes:g}: {max(0.0, left):.0f} s are left, an epoch of training takes {took.seconds:.0f} s, and what follows it "
                      f"{again:.0f} s: nothing is trained")  # fmt: skip
        return 0
    record.epochs = epochs
    record.save()
    return epochs


def _remember(result: RunResult, store: Path, listener: Listener) -> None:
    from edgecomp.history.record import of_run, remember

    for one in of_run(result.document, result.folder, result.job.recipe.name):
        remember(one, store, listener.note)
