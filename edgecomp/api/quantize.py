"""`edgecomp quantize`: a model and inputs that nobody labelled, to the int8 file that is the same function.

The cheapest thing first: the best of all post-training quantisations, chosen on inputs that it was not calibrated on. Where that is not the
same function within the margin, the model is trained through its integers with itself as its teacher; as a last resort its costliest layers
stay in float, without training and, where there is time for as much again, with it. Each is a run of one recipe, which is written down, and shares what it can with the one before.
"""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from edgecomp.api.quantizing.answers import made_and_asked
from edgecomp.api.quantizing.data import Asked, section, told
from edgecomp.api.quantizing.model import Model, recognised
from edgecomp.api.quantizing.ranges import best_ranges
from edgecomp.api.quantizing.record import Attempt, Record
from edgecomp.api.results import RunResult
from edgecomp.api.run import job_of, run
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.data import sources
from edgecomp.errors import RecipeError, TimeIsUp, UsageError
from edgecomp.files.scratch import replacing
from edgecomp.gate.document import Check, whole
from edgecomp.history.store import STORE
from edgecomp.inputs import some
from edgecomp.metrics.registry import ACCURACY, TEACHER_ERROR, TOP_AGREEMENT
from edgecomp.metrics.units import parse_quantity
from edgecomp.pipeline.epoch_time import measure
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run, check_ready_made, fresh_network, probes, wanted
from edgecomp.pipeline.stages import learning
from edgecomp.progress import Listener, Silent, Until, silent
from edgecomp.tasks.outputs import are_probabilities

AGREEMENT, ERROR = TOP_AGREEMENT, TEACHER_ERROR
FEWEST = 100  # inputs, in all
ASKED = 16  # inputs that the model is tried on
SHOWN = 20_000  # inputs that are trained on, over all epochs
JUDGED_ON = 700  # inputs, or half where there are fewer: 598 without a change show 99.5 %
JUDGED_SHARE = (
    1 / 3
)  # of the inputs, where that is more: the more there are, the more changes the bound allows
MOST_EPOCHS = 10_000
PTQ_SHARE = 1 / 4
"""Of `--time`, that post-training candidates may take, and once more those with layers in float: what is left is for training, and for what follows it."""
MADE_AGAIN = ("export", "parity", "deploy")  # steps, after each training
PTQ_MINUTES = "quantize.ptq_minutes="
TARGETS = ("onnxruntime-cpu", "openvino-cpu")
PTQ = "post-training quantisation, the best of all"
TRAINED = "trained through its integers, where that is better"
PTQ_IN_FLOAT = "post-training quantisation with the costliest layers in float"
TRAINED_IN_FLOAT = "trained with the costliest layers in float, where that is better"
TRAINS = (TRAINED, TRAINED_IN_FLOAT)


def quantize(
    model: Path | str,
    data: Path | str,
    *,
    targets: Sequence[str] = TARGETS,
    label: str | None = None,
    column: str | None = None,
    tokenizer: str | None = None,
    length: int | None = None,
    size: int | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    fixed: Mapping[str, int] | None = None,
    max_drop: str | None = None,
    min_agreement: str | None = None,
    max_error: str | None = None,
    minutes: float | None = None,
    out: Path | str | None = None,
    history: Path | str | None = STORE,
    listener: Listener | None = None,
) -> RunResult:
    """Quantises a model to int8 for some targets, and judges whether it is still the same function.

    model: an ONNX file in float, a .pt2, a Hugging Face folder or name, or a factory `module:function`. data: its inputs by name in an .npz,
    [N, ...] each, or as columns of a table; a folder of images, or a column of them; a text file of lines, or a column of texts. targets:
    device profiles, by name or file. label: the array or column of `data` with the class of each input (`folder` of a folder of images),
    for a margin of accuracy, `max_drop` (`0.5 pt`); without it nothing is labelled, and the
    outputs decide: `min_agreement` (`99.5 %`) of the largest of a row of numbers with the model's own, else `max_error` (`1 %`), the mean error over
    the outputs' deviation. column: of texts or images, or a pattern of those of numbers, where a table has several. tokenizer, length: of texts, a folder, and how many tokens at
    most. size, mean, std: of images, pixels a side, and by channel what is subtracted from pixels of 0 to 1 and what divides them, where
    the model does not say. fixed: by name of an axis or of an input of one number of an ONNX file, what it always is: of a file whose operators
    (If, for one) depend on it. minutes: how long the trying may take, without what
    is measured of what was found: training goes on for as long as that leaves, and ends with it; without it, training is as long whatever the machine. out: the run folder,
    `runs/quantize/NAME` where it is not given; its recipe is the file of that name with .yaml. history, listener: as `run` takes them.

    The result is that of the first way that is the same function; where none is, of the one whose figure comes nearest. What was tried is in `quantize.json` of the run folder. Raises UsageError, ModelFileError and DataError before
    anything is trained.
    """
    listener, began = listener or Silent(), time.monotonic()
    if (max_drop is None) != (label is None):
        raise UsageError(
            "--max-drop is a drop of accuracy, which takes labels: name their array with --labels, and say the drop, such as '0.5 pt'"
        )
    known = recognised(str(model), fixed)
    asked_of = Asked(label, column, tokenizer, length, size, mean, std)
    source = section(Path(data), known, asked_of)
    if made := told(source):
        listener.note(made)
    folder = Path(out) if out is not None else Path("runs") / "quantize" / known.called
    recipe = (
        Path(f"quantize-{folder.name}.yaml") if known.is_code else folder.with_name(f"{folder.name}.yaml")
    ).absolute()
    content = _recipe(known, source, list(targets), label, Path(model).name)
    tried = _tried_out(content, recipe.parent, known.is_code)
    check, limit = _decides(tried, label, max_drop, min_agreement, max_error)
    content = _decided(content, tried, check, limit)
    recipe.parent.mkdir(parents=True, exist_ok=True)
    with replacing(recipe) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, width=120), encoding="utf-8")
    record = Record.of(recipe, folder, check, limit)
    record.take(minutes)
    asking_s = 0.0  # of a way that was asked in this call
    for name, asked in _ways(content, _ptq_minutes(record, minutes, len(targets))).items():
        if record.of_name(name) or record.is_the_same:  # by a call before, that was ended or asks for less
            continue
        overrides, heard = asked, listener
        if name != PTQ:  # a post-training candidate corrects its biases or not, as it is called
            overrides = (*overrides, *best_ranges(folder)[: 2 if name in TRAINS else 1])
        if minutes is not None and name in TRAINS:
            if not (
                epochs := _epochs(name, record, recipe, overrides, folder, minutes, began, asking_s, listener)
            ):
                continue
            overrides = (*overrides, f"quantize.epochs={epochs}")
        if minutes is not None and name != PTQ:
            heard = Until(listener, began + 60 * minutes)
        started = time.monotonic()
        listener.say(f"{name}: {' '.join(overrides)}")
        try:
            checks, asking_s = made_and_asked(recipe, overrides, folder, check, heard)
        except TimeIsUp as over:
            listener.note(f"{name}: {over}; what is trained is kept, and the same command goes on from it")
            break
        record.tried.append(_attempt(name, overrides, time.monotonic() - started, checks))
        record.save()
    result = run(recipe, record.best.overrides, out=folder, history=None, listener=listener)
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


class _Tried(NamedTuple):
    """What the model answers to some of the inputs: outputs: the shape of an example's; inputs: how many there are; are_probabilities: whether its rows
    sum to 1."""

    outputs: tuple[int, ...]
    inputs: int
    are_probabilities: bool


def _tried_out(content: Mapping[str, Any], beside: Path, own_code: bool) -> _Tried:
    """Reads the data and asks the model twice. beside: where the recipe will lie. Raises what a run would, before anything is trained."""
    import numpy as np

    from edgecomp.training.loop import Examples, logits_of

    with TemporaryDirectory(prefix="edgecomp-quantize-") as scratch:
        with NamedTemporaryFile(
            "w", dir=beside if own_code else scratch, suffix=".yaml", encoding="utf-8"
        ) as file:
            yaml.safe_dump(dict(content), file)
            file.flush()
            try:
                job = fingerprinted(job_of(file.name, ()))
            except RecipeError as error:  # of a file that nobody has seen
                raise UsageError(
                    "; ".join(re.sub(r"^line \d+, column \d+: ", "", one) for one in error.problems)
                ) from error
        settings = job.recipe.data
        count = len(sources.read(wanted(job.recipe), Path(job.folder)).splits["train"].labels)
        if count < FEWEST:
            raise UsageError(f"{settings.path}: has {count} inputs, and it takes {FEWEST} to calibrate, choose and judge on different "
                             "ones; some 1,500 are needed to show that 99.5 % of the answers are the same")  # fmt: skip
        run = Run(job, Path(scratch), silent)
        (made := run.folder / "data").mkdir()
        learning.data(run, made, made)
        network = fresh_network(run, job.recipe.teacher)
        check_ready_made(run, network, job.recipe.teacher)
        examples = Examples(some(probes(run), slice(ASKED)), np.zeros(ASKED, np.int64), lambda inputs: inputs)
        first, again = (logits_of(network, examples) for _ in range(2))
    if not np.array_equal(first, again, equal_nan=True):
        raise UsageError(f"{content['teacher']['network']} is no function of its inputs: asked twice, it gives other answers; it draws random "
                         "numbers, and takes to be exported without them")  # fmt: skip
    if not np.isfinite(first).all():
        raise UsageError(f"{content['teacher']['network']} gives {int((~np.isfinite(first)).sum())} of {first.size} numbers that are NaN or infinite, "
                         "on inputs of yours: are they made as the model takes them?")  # fmt: skip
    return _Tried(first.shape[1:], count, are_probabilities(first))


def _decides(
    tried: _Tried,
    label: str | None,
    max_drop: str | None,
    min_agreement: str | None,
    max_error: str | None,
) -> tuple[str, dict[str, Any]]:
    """The check that decides whether it is the same function, and its limit. Raises UsageError where the options do not go together."""
    if sum(one is not None for one in (max_drop, min_agreement, max_error)) > 1:
        raise UsageError("one margin decides: give --max-drop, --min-agreement or --max-error alone")
    if max_drop is not None:
        return ACCURACY, {"against": "teacher", "margin": max_drop}
    of_rows = (len(tried.outputs) == 1 and tried.outputs[0] > 1) or tried.are_probabilities
    if min_agreement is not None and not of_rows:
        raise UsageError(f"--min-agreement is of the largest of a row of numbers, and the model's first output is of shape {['N', *tried.outputs]}: "
                         "give --max-error")  # fmt: skip
    if max_error is None and of_rows:
        return AGREEMENT, {"min": min_agreement or "99.5 %"}
    return ERROR, {"max": max_error or "1 %"}


def _recipe(
    model: Model, data: Mapping[str, Any], targets: list[str], label: str | None, called: str
) -> dict[str, Any]:
    """What all ways share, but for what `_decided` adds."""
    arguments = ({"output": model.output} if label and model.output else {}) | (
        {"fixed": dict(model.fixed)} if model.fixed else {}
    )
    return {
        "name": "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in model.called).lstrip(
            "._-"
        )
        or "model",
        "description": f"{called}, quantised to int8 with itself as its teacher",
        "task": "outputs" if label is None else "classification",
        "data": dict(data) | {"test_fraction": 0.25, "validation_fraction": 0.1, "calibration_fraction": 0.1},
        "teacher": {"network": model.network, **({"arguments": arguments} if arguments else {}), "epochs": 0},
        "student": {"network": "teacher"},
        "distill": {
            "epochs": 0,
            "batch_size": 32,
            "hard_label_weight": 0,
            "loop": {"patience": MOST_EPOCHS},  # the best epoch is taken, and none ends it early
        },
        "targets": targets,
        "policy": "same-function",
    }


def _decided(content: dict[str, Any], tried: _Tried, check: str, limit: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with what its number of inputs and its outputs ask for. The other checks of answers than `check` are taken out of the policy."""
    judged_on = min(max(JUDGED_ON, JUDGED_SHARE * tried.inputs), 0.5 * tried.inputs)
    trained = 0.8 * tried.inputs - judged_on
    others: dict[str, Any] = {name: None for name in (AGREEMENT, ERROR) if name != check}
    of_classes = content["task"] == "classification" and tried.are_probabilities and len(tried.outputs) == 1
    return content | {
        "task": "probabilities" if of_classes else content["task"],
        "data": content["data"] | {"test_fraction": round(judged_on / tried.inputs, 4)},
        "quantize": {
            "epochs": max(2, min(30, round(SHOWN / max(1.0, trained)))),
            "learning_rate": 2.0e-5,  # five times as much undoes first what calibration found
            # Its batch statistics are of other inputs than these, and part of the function.
            "freeze_batchnorm_epochs": MOST_EPOCHS,
        },
        "thresholds": others | {check: dict(limit)},
    }


def _ptq_minutes(record: Record, minutes: float | None, targets: int) -> tuple[str, ...]:
    """The override that bounds each target's search among post-training candidates; as it was in a call before, whose candidates are there."""
    if record.tried:
        return tuple(one for one in record.tried[0].overrides if one.startswith(PTQ_MINUTES))
    return () if minutes is None else (f"{PTQ_MINUTES}{PTQ_SHARE * minutes / targets:.4g}",)


def _ways(recipe: Mapping[str, Any], bound: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """What is tried, the cheapest first, by name the overrides of the recipe. bound: that of post-training candidates."""
    limits = recipe["thresholds"]
    drop = limits[ACCURACY]["margin"] if ACCURACY in limits else "0.1 pt"
    if limits.get(ERROR):
        # Of normal errors the root mean square is 1.25 times the mean, and its square is what is not explained.
        drop = f"{(1.25 * parse_quantity(limits[ERROR]['max']).value) ** 2 / 100:.4f} pt"
    in_float = f"quantize.max_drop='{drop}'"
    return {
        PTQ: ("quantize.method=ptq-best", *bound),
        TRAINED: ("quantize.method=best", *bound),
        PTQ_IN_FLOAT: ("quantize.method=ptq-best", *bound, in_float),
        TRAINED_IN_FLOAT: ("quantize.method=best", *bound, in_float),
    }


def _attempt(name: str, overrides: tuple[str, ...], seconds: float, checks: Sequence[Check]) -> Attempt:
    """checks: of the answers, by target."""
    found = {
        one.target: f"{one.sentence.removeprefix(f'{one.target}: ').rstrip('.')}: {one.verdict}"
        for one in checks
    }
    scores = {one.target: one.estimate.estimate if one.estimate else None for one in checks}
    return Attempt(name, overrides, round(seconds, 1), found, str(whole(checks)), scores)


def _epochs(
    name: str, record: Record, recipe: Path, overrides: Sequence[str], folder: Path, minutes: float, began: float, asking_s: float, listener: Listener,
) -> int:  # fmt: skip
    """How long is trained: for the time that is left beside export, the `asking_s` that its answers take, and post-training quantisation once more, with
    layers in float. 0: not at all. A training that was begun before goes on as it was meant. name: of the way."""
    left, before = 60 * minutes - (time.monotonic() - began), record.of_name(TRAINED)
    if name == TRAINED_IN_FLOAT and (before is None or left < before.seconds):
        took = (
            ""
            if before is None
            else f", and training again with layers in float takes {before.seconds:.0f} s"
        )
        listener.note(f"--time {minutes:g}: {max(0.0, left):.0f} s are left{took}: it is not done")
        return 0
    if record.epochs:
        return record.epochs
    manifest = RunFolder(folder).manifest()
    known = manifest.steps if manifest else {}
    again = sum(one.seconds for name, one in known.items() if name.split("/")[0] in MADE_AGAIN)
    took_s = measure(Run(fingerprinted(job_of(recipe, overrides)), folder, listener.track, listener.note))
    in_float_s = took_s.afterwards_s + asking_s + min(60 * PTQ_SHARE * minutes, record.tried[0].seconds)
    again += took_s.afterwards_s + asking_s + in_float_s
    left = 60 * minutes - (time.monotonic() - began)
    epochs = min(MOST_EPOCHS, int((left - again) // took_s.seconds))
    if epochs < 1:
        listener.note(f"--time {minutes:g}: {max(0.0, left):.0f} s are left, an epoch of training takes {took_s.seconds:.0f} s, and what follows it "
                      f"{again:.0f} s: nothing is trained")  # fmt: skip
        return 0
    record.epochs = epochs
    record.save()
    return epochs


def _remember(result: RunResult, store: Path, listener: Listener) -> None:
    from edgecomp.history.record import of_run, remember

    for one in of_run(result.document, result.folder, result.job.recipe.name):
        remember(one, store, listener.note)
