"""`edgecomp compare`: what is given → a comparison → a folder with its verdict, which a CI job reads."""

import datetime
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import machine
from edgecomp.artifacts.places import check_apart, check_duration, check_outputs
from edgecomp.benchmark.inputs import examples as evaluations
from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.scenarios.side_by_side import Crashed, Side
from edgecomp.benchmark.stage import parts_of
from edgecomp.benchmark.standalone import check_file, check_trust, is_trusted, name_of
from edgecomp.comparison.certificate import read_certificate
from edgecomp.comparison.sides import Given, check_labels, check_recorded, given, preprocessing_differences
from edgecomp.comparison.trial import Outcome, compare, incompatible, not_run, place_of, signature
from edgecomp.config.job import waiving_nothing
from edgecomp.config.policy import Policy, Threshold, load_policy
from edgecomp.config.target import Target, check_cores, load_target
from edgecomp.data import preprocessing
from edgecomp.data.splits import Split
from edgecomp.errors import ModelFileError, RecipeError, UsageError
from edgecomp.files.scratch import new_folder, replacing
from edgecomp.files.writing import digest_of, sha256, write_json
from edgecomp.gate.document import (
    Changes,
    Compared,
    ModelRecord,
    TargetRecord,
    VerdictDocument,
    document,
    whole,
)
from edgecomp.gate.groups import differences
from edgecomp.gate.next_step import ComparisonRemedies, next_step
from edgecomp.gate.paired import is_sequential, log_ratios, not_measured
from edgecomp.gate.stage import figures
from edgecomp.gate.waivers import deciding, unbounded, with_waivers
from edgecomp.history.record import drifted, of_comparison, remember
from edgecomp.history.store import STORE, identity
from edgecomp.machine import installed
from edgecomp.metrics.comparison import AGAIN, BASELINE, CANDIDATE, Comparison
from edgecomp.metrics.missing import NotMeasured
from edgecomp.progress import Listener
from edgecomp.report.comparison_page import write_page
from edgecomp.report.in_ci import openmetrics
from edgecomp.report.junit import junit
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.files import integer_weights

SEEN_PCT = 5.0  # difference of an output that is not judged, over its deviation, from which on it is told

BY_SLICE = Threshold.model_validate({"metric": "worst_slice_pct", "against": "baseline", "margin": "5 pt"})


@dataclass(frozen=True)
class Asked:
    baseline: Path
    candidate: Path
    target: str
    policy: str | None = None
    data: Path | None = None
    max_time_s: float = 120.0
    seed: int = 0
    certificate: Path | None = None
    junit: Path | None = None
    metrics: Path | None = None
    out: Path | None = None
    store: Path | None = STORE
    trust: tuple[Path, ...] = ()  # files that may run code
    output: str | None = None
    shape: Sequence[str] = ()
    range: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_duration(self.max_time_s, "--max-time")


def compare_and_record(asked: Asked, screen: Listener) -> tuple[VerdictDocument, Path]:
    """The verdict, and the folder that holds it as verdict.json (edgecomp.gate.document).

    Raises UsageError, DataError, ModelFileError before anything is measured.
    """
    began = datetime.datetime.now(datetime.UTC)
    target = load_target(asked.target)
    baseline, candidate = given(asked.baseline, target), given(asked.candidate, target)
    for side in (baseline, candidate):
        check_file(side.model, target)
    check_trust(asked.trust, [baseline.model, candidate.model])
    check_cores(target)
    now = began.strftime("%Y%m%dT%H%M%S%f")
    folder = asked.out or Path("runs") / "compare" / f"{name_of(asked.candidate)}-{target.name}" / now
    if asked.data is not None and (asked.shape or asked.range):
        raise UsageError(
            "--shape and --range are of inputs that are made up, and --data gives real ones: leave out one or the other"
        )
    if folder.exists():
        raise UsageError(f"{folder} is there already, and verdicts are not changed: name another with --out")
    read = [*_files(baseline), *_files(candidate), *_named(asked)]
    check_outputs(
        {"--out": folder, "--junit": asked.junit, "--metrics": asked.metrics},
        [*read, *filter(None, [asked.store])],
    )
    if asked.store is not None:
        check_apart(asked.store, "--store", read)
    named = None if asked.policy is None else _policy(asked.policy, target)
    certificate = None if asked.certificate is None else read_certificate(asked.certificate, target)
    files = {arm: _described(side) for arm, side in ((BASELINE, baseline), (CANDIDATE, candidate))}
    with tempfile.TemporaryDirectory() as name:
        evaluation, why_not = _evaluation(asked, baseline, candidate, target)
        if evaluation is not None:
            evaluation = replace(evaluation, classes=class_names(baseline))
        judged_on = None if evaluation is None else _source(asked, evaluation)
        labelled = evaluation is not None and evaluation.labels is not None
        policy, added = named or _policy("release" if labelled else "no-slower", target), []
        if named is None and labelled and evaluation is not None and evaluation.slices is not None:
            policy = policy.model_copy(update={"rows": policy.rows | {"worst_slice_pct": BY_SLICE}})
            added = [f"worst_slice_pct {BY_SLICE.text} added, for the examples have slices"]
        if differences := preprocessing_differences(baseline, candidate):
            checks = [
                incompatible(target.name, differences),
                *not_run(policy, target.name, "the models are incompatible"),
            ]
            outcome = Outcome(None, None, checks, 0.0)
        else:
            outcome = compare(
                _side(baseline, target, asked),
                _side(candidate, target, asked),
                target=target,
                policy=policy,
                today=began.date(),
                evaluation=evaluation,
                max_time_s=asked.max_time_s,
                seed=asked.seed,
                scratch=Path(name),
                track=screen.track,
                output=asked.output,
                shape=asked.shape,
                ranges=asked.range,
            )
    for side, known in ((baseline, files[BASELINE]), (candidate, files[CANDIDATE])):
        _check_unchanged(side, known)
    compared = Compared(
        baseline=files[BASELINE],
        candidate=files[CANDIDATE],
        target=TargetRecord.model_validate(target.model_dump(mode="json")),
        runtime_version=installed(TABLE[target.runtime].distribution),
        began=began.isoformat(timespec="seconds"),
        elapsed_s=outcome.elapsed_s,
        restarts=0 if outcome.comparison is None else len(outcome.comparison.restarts),
        examples=0 if evaluation is None or evaluation.labels is None else len(evaluation.labels),
        data=judged_on,
        not_compared=why_not,
        warnings=(
            *_warnings(target, certificate, (baseline.model, candidate.model), asked.trust),
            *_of_outputs({} if outcome.comparison is None else outcome.comparison.facts),
        ),
        facts={} if outcome.comparison is None else outcome.comparison.facts,
        certificate=certificate,
        log_ratios=ratios_of(outcome, policy),
    )
    verdict = verdict_of(outcome, target, policy, added, began.date(), compared)
    save(folder, verdict, outcome, evaluation)  # before anything is made of it that could fail
    result = of_comparison(verdict, folder)
    more = [] if asked.store is None else drifted(result, asked.store)
    verdict = verdict.but(compared=compared.model_copy(update={"warnings": (*compared.warnings, *more)}))
    if asked.store is not None:
        remember(result, asked.store, screen.note)
    with _costing_a_note(screen, folder):
        if more:
            write_json(folder / "verdict.json", verdict.as_json())
        write_page(folder, verdict)
    _write_beside(asked.junit, junit(verdict, name_of(asked.candidate)), screen)
    _write_beside(asked.metrics, openmetrics(verdict, dict.fromkeys(verdict.figures, CANDIDATE)), screen)
    return verdict, folder


def _side(side: Given, target: Target, asked: Asked) -> Side:
    return Side(side.model, replace(place_of(target), trusted=is_trusted(side.model, asked.trust)))


def _write_beside(file: Path | None, text: str, screen: Listener) -> None:
    """What else was asked for."""
    if file is not None:
        with _costing_a_note(screen, file), replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")


@contextmanager
def _costing_a_note(screen: Listener, place: Path) -> Iterator[None]:
    """What cannot be written beside a verdict that is kept costs a note, never the verdict."""
    try:
        yield
    except OSError as error:
        screen.note(f"{error.filename or place} was not written: {error.strerror or error}")


def _policy(name: str, target: Target) -> Policy:
    """Raises RecipeError where a check cannot be measured, or a waiver is of none."""
    policy = load_policy(name)
    if problems := not_measured(policy) + waiving_nothing(policy, [target]):
        raise RecipeError(name, problems)
    return policy


def _warnings(
    target: Target, certificate: Mapping[str, Any] | None, models: tuple[Path, ...], trust: tuple[Path, ...]
) -> list[str]:
    found = [f"{file} was trusted (--trust): what it holds ran as code" for file in trust]
    if not TABLE[target.runtime].gpu:
        said = (integer_weights.warning(model, machine.host_isa()) for model in models)
        found += filter(None, dict.fromkeys(said))
    if target.isa != "host":
        found.append(
            f"{target.name} is {target.isa}, and both models ran on this machine's CPU: neither times nor answers are the device's"
        )
    if certificate is not None and certificate["elsewhere"]:
        there = certificate["machine"]
        found.append(f"the certificate {certificate['file']} is of another machine ({there['cpu']}, {there['cores']} core(s)), of "
                     f"{certificate['began']}: `edgecomp selftest --target {target.name}` makes one of this")  # fmt: skip
    return found


def _of_outputs(facts: Mapping[str, Any]) -> list[str]:
    """What is to be said of inputs that were made up, and of outputs that are not judged and are others than the baseline's."""
    found = []
    if made := facts.get("made_up"):
        shown = "; ".join(f"{name}, {what}" for name, what in made.items())
        found.append(f"the inputs were made up ({shown}): --data gives real ones")
    if "batch_failed" in facts:
        found.append(f"answers were asked one at a time: {facts['batch_failed']}")
    beside = {
        name: error
        for name, error in facts.get("outputs", {}).items()
        if facts.get("judged")
        and name != facts["judged"]["output"]
        and error is not None
        and error > SEEN_PCT
    }
    found += [
        f"output {name}, which is not judged, differs from the baseline's by {error:.1f} %: --output {name} judges it"
        for name, error in beside.items()
    ]
    return found


def verdict_of(
    outcome: Outcome,
    target: Target,
    policy: Policy,
    changes: list[str],
    today: datetime.date,
    compared: Compared | None = None,
) -> VerdictDocument:
    """The document of a comparison. changes: what was made of the policy, in words; today: by which waivers hold."""
    checks = with_waivers(outcome.checks, policy.waivers, {target.name: policy.rows}, today)
    return document(
        checks,
        policy,
        next_step=next_step(whole(deciding(checks)), checks, ComparisonRemedies()),
        changes=changes,
        warnings=unbounded(checks),
        sha256=digest_of(policy.model_dump(mode="json")),
        figures={} if outcome.measured is None else {outcome.measured.target: figures(outcome.measured)},
        answers=changed_answers(outcome),
        compared=compared,
    )


def changed_answers(outcome: Outcome) -> dict[str, Changes]:
    """By target, what differs between both models' answers (edgecomp.gate.groups); nothing where there are none."""
    if outcome.measured is None:
        return {}
    found = differences(outcome.measured, CANDIDATE, BASELINE)
    return {} if found is None else {outcome.measured.target: found}


def ratios_of(outcome: Outcome, policy: Policy) -> dict[str, dict[str, list[float]]]:
    """By check of restarts, each one's log ratio to the baseline, of the candidate and of the baseline again."""
    of, found = outcome.comparison, {}
    for name, threshold in policy.rows.items():
        if of is None or not of.restarts or not is_sequential(threshold):
            continue
        try:
            found[name] = {
                arm: log_ratios(of, threshold.metric, len(of.restarts), over=arm).tolist()
                for arm in (CANDIDATE, AGAIN)
            }
        except NotMeasured:
            continue  # the check says why
    return found


def save(folder: Path, verdict: VerdictDocument, outcome: Outcome, evaluation: Evaluation | None) -> None:
    """verdict.json, samples.npz, answers.npz: whole, or not at all. Raises EdgecompError, with the verdict."""
    lost = f"what was measured is not kept, and it came to {verdict.verdict}: {verdict.next_step}"
    with new_folder(folder, lost) as scratch:
        write_json(scratch / "verdict.json", verdict.as_json())
        if outcome.comparison is not None and outcome.comparison.restarts:
            samples: dict[str, Any] = dict(outcome.comparison.all_samples())
            np.savez(scratch / "samples.npz", **samples)
        if outcome.comparison is not None and outcome.comparison.logits and evaluation is not None:
            np.savez(scratch / "answers.npz", **answers_of(outcome.comparison, evaluation))


def answers_of(of: Comparison, evaluation: Evaluation) -> dict[str, Any]:
    """What the checks of answers are judged on, as answers.npz holds it (edgecomp.metrics.comparison)."""
    found: dict[str, Any] = {f"{arm}.logits": logits for arm, logits in of.logits.items()}
    beside = {"labels": evaluation.labels, "slices": evaluation.slices}
    return found | {name: values for name, values in beside.items() if values is not None}


def _evaluation(
    asked: Asked, baseline: Given, candidate: Given, target: Target
) -> tuple[Evaluation | None, str]:
    """The examples to compare answers on, or why there are none."""
    if asked.data is not None:
        try:
            ports = signature(BASELINE, _side(baseline, target, asked)).inputs
        except Crashed as crash:
            raise crash.error from crash
        found = evaluations.read(asked.data, ports)
        return (
            found,
            ""
            if found.labels is not None
            else f"{asked.data} has no `{evaluations.LABEL}`: no answers were judged",
        )
    if baseline.run is None or candidate.run is None:
        return None, "no labelled examples were given (--data): no answers were judged"
    tests = [run / "data" / "test.npz" for run in (baseline.run, candidate.run)]
    if not all(file.is_file() for file in tests):
        return (
            None,
            f"{next(file for file in tests if not file.is_file())} is not there: give examples with --data",
        )
    for run in (baseline.run, candidate.run):
        check_recorded(run, "data", ("test.npz", preprocessing.FILE))
    if len({sha256(file) for file in tests}) > 1:
        raise UsageError(f"the runs were judged on different test splits ({tests[0]}, {tests[1]}): one may have been trained on the "
                         "other's; give examples that neither has seen with --data")  # fmt: skip
    split = Split.load(candidate.run / "data", "test")
    for run in (baseline.run, candidate.run):
        check_labels(run, target, split.labels)
    arrays = preprocessing.load(candidate.run / "data").apply(split.arrays)
    return Evaluation(dict(arrays), split.labels, split.slices, file=tests[1]), ""


def class_names(side: Given) -> tuple[str, ...]:
    """Of a side that was deployed; a model file does not know them."""
    said = (side.preprocessing() or {}).get("classes")
    return tuple(map(str, said)) if isinstance(said, list) else ()


def _source(asked: Asked, evaluation: Evaluation) -> dict[str, str]:
    """What the examples are from, and its sha256."""
    what = "given with --data" if asked.data is not None else "the runs' own test split"
    return {"what": what, "file": str(evaluation.file), "sha256": sha256(evaluation.file)}


def _files(side: Given) -> list[Path]:
    """What is read of a side: its model, and the folder that was deployed."""
    return [*parts_of(side.model), *filter(None, [side.deployed])]


def _named(asked: Asked) -> list[Path]:
    """The other files that are read; a target or a policy may be a name."""
    words = [asked.target, asked.policy, asked.data, asked.certificate]
    return [file for file in (Path(word) for word in words if word is not None) if file.is_file()]


def _described(side: Given) -> ModelRecord:
    digests = {file.name: sha256(file) for file in parts_of(side.model)}
    return ModelRecord(given=side.name, model=str(side.model), files=digests, sha256=identity(digests))


def _check_unchanged(side: Given, known: ModelRecord) -> None:
    """Raises ModelFileError where the files are no longer those that were measured."""
    try:
        now = _described(side).files
    except OSError:
        now = {}
    if changed := [name for name, digest in known.files.items() if now.get(name) != digest]:
        raise ModelFileError(f"{side.model.parent / changed[0]} was written while it was measured (its sha256 differs, or it is gone): "
                             "compare again when nothing writes to it")  # fmt: skip
