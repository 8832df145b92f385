"""`edgecomp compare`: what is given → a comparison → a folder with its verdict, which a CI job reads."""

import datetime
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgecomp import machine
from edgecomp.artifacts.places import check_apart, check_duration, check_outputs
from edgecomp.benchmark.given_files import check_file, check_trust, is_trusted, name_of
from edgecomp.benchmark.hosts.device import at
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs import examples
from edgecomp.benchmark.inputs.examples import LABEL, Evaluation
from edgecomp.benchmark.scenarios.served import NOT_OURS
from edgecomp.benchmark.scenarios.side_by_side import Crashed, Side
from edgecomp.comparison.checks import not_run
from edgecomp.comparison.compatibility import not_told, of_folders
from edgecomp.comparison.data import class_names, given_examples, of_runs, told_task
from edgecomp.comparison.evidence import ratios_of, save, verdict_of
from edgecomp.comparison.language.texts import evaluation as texts_of
from edgecomp.comparison.language.texts import misuse, timed
from edgecomp.comparison.selftest import read_certificate
from edgecomp.comparison.sides import Given, given
from edgecomp.comparison.trial import Judging, Outcome, compare, place_of, signature
from edgecomp.config.job import waiving_nothing
from edgecomp.config.policy import Policy, Threshold, load_policy
from edgecomp.config.target import Target, check_cores, load_target
from edgecomp.config.task_checks import for_meant
from edgecomp.errors import ModelFileError, RecipeError, UsageError
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import sha256, write_json
from edgecomp.gate.document import Compared, ModelRecord, TargetRecord, VerdictDocument
from edgecomp.gate.paired import not_measured
from edgecomp.gate.stage import changes
from edgecomp.gate.verdict import Verdict
from edgecomp.history.record import drifted, of_comparison, remember
from edgecomp.history.store import STORE, identity
from edgecomp.inputs import count
from edgecomp.machine import installed
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.metrics.registry import WORST_SLICE
from edgecomp.models.own_code import load_score
from edgecomp.progress import Listener
from edgecomp.report.comparison_page import write_page
from edgecomp.report.in_ci import openmetrics
from edgecomp.report.junit import junit
from edgecomp.runtimes import TABLE, Port, Signature
from edgecomp.runtimes.files import integer_weights
from edgecomp.runtimes.formats import all_parts
from edgecomp.tasks import SeveralOutputs, task
from edgecomp.tasks.language.causal_lm import CausalLm

SEEN_PCT = 5.0  # difference of an output that is not judged, over its deviation, from which on it is told

BY_SCORE = Threshold.model_validate({"metric": "score", "against": "baseline", "margin": "0.01 score"})
BY_SLICE = Threshold.model_validate({"metric": WORST_SLICE, "against": "baseline", "margin": "5 pt"})


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
    task: str | None = None
    score: str | None = None  # package.module:function or path/to/file.py:function, from here
    shape: Sequence[str] = ()
    range: Sequence[str] = ()
    key_samples: Path | None = None  # whose answers must hold

    def __post_init__(self) -> None:
        check_duration(self.max_time_s, "--max-time")


def compare_and_record(asked: Asked, screen: Listener) -> tuple[VerdictDocument, Path]:
    """The verdict on what is `asked`, and the folder that holds it as verdict.json (edgecomp.gate.document).
    screen: told of progress and notes.

    Raises UsageError, DataError, ModelFileError before anything is measured.
    """
    target = load_target(asked.target)
    check_cores(target)
    if TABLE[target.runtime].generates and (wrong := misuse(vars(asked), target)):
        raise UsageError("; ".join(wrong))
    with at(target) as host:
        return _recorded(asked, screen, target, place_of(target, host=host))


def _recorded(asked: Asked, screen: Listener, target: Target, place: Place) -> tuple[VerdictDocument, Path]:
    began = datetime.datetime.now(datetime.UTC)
    baseline, candidate = given(asked.baseline, target), given(asked.candidate, target)
    for side in (baseline, candidate):
        check_file(side.model, target)
    check_trust(asked.trust, [baseline.model, candidate.model])
    now = began.strftime("%Y%m%dT%H%M%S%f")
    folder = asked.out or Path("runs") / "compare" / f"{name_of(asked.candidate)}-{target.name}" / now
    if asked.data is not None and (asked.shape or asked.range):
        raise UsageError(
            "--shape and --range are of inputs that are made up, and --data gives real ones: leave out one or the other"
        )
    judging = _judging(asked, baseline, candidate, place)
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
    certificate = (
        None if asked.certificate is None else read_certificate(asked.certificate, target, place.host)
    )
    generates = TABLE[target.runtime].generates
    files = {arm: _described(side) for arm, side in ((BASELINE, baseline), (CANDIDATE, candidate))}
    with tempfile.TemporaryDirectory() as name:
        evaluation, why_not = _evaluation(asked, baseline, candidate, target, place, judging)
        key_samples = _key_samples(asked, baseline, place, judging)
        if evaluation is not None:
            evaluation = replace(evaluation, classes=_class_names(baseline, judging))
        judged_on = None if evaluation is None else _source(asked, evaluation)
        policy, added = _judged_by(named, evaluation, judging, target)
        compatible = of_folders(target.name, baseline, candidate)
        if any(check.verdict is Verdict.FAIL for check in compatible):
            outcome = Outcome(None, None, not_run(policy, target.name, "the models are incompatible"), 0.0)
        else:
            outcome = compare(
                _side(baseline, place, asked),
                _side(candidate, place, asked),
                target=target,
                policy=policy,
                today=began.date(),
                evaluation=evaluation,
                max_time_s=asked.max_time_s,
                seed=asked.seed,
                scratch=Path(name),
                track=screen.track,
                judging=judging,
                key_samples=key_samples,
                shape=asked.shape,
                ranges=asked.range,
                prompts=timed(baseline.model.parent, evaluation) if generates else None,
            )
        outcome = replace(outcome, compatible=[*compatible, *outcome.compatible])
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
        examples=0 if evaluation is None else count(evaluation.inputs),
        data=judged_on,
        not_compared=why_not,
        warnings=(
            *not_told(baseline, candidate),
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


def _side(side: Given, place: Place, asked: Asked) -> Side:
    return Side(side.model, replace(place, trusted=is_trusted(side.model, asked.trust)))


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
    of_servers = NOT_OURS if TABLE[target.runtime].remote and name.endswith((".yaml", ".yml")) else {}
    unseen = [
        f"{check}: {of_servers[row.metric]}: take it out"
        for check, row in policy.rows.items()
        if row.metric in of_servers
    ]
    if problems := not_measured(policy) + waiving_nothing(policy, [target]) + unseen:
        raise RecipeError(name, problems)
    return policy


def _judging(asked: Asked, baseline: Given, candidate: Given, place: Place) -> Judging:
    """Raises UsageError, UserCodeError. A score function is one that is named here, never one that a folder names."""
    if TABLE[place.runtime].generates:
        return Judging(task=task(CausalLm.name))
    score = None if asked.score is None else load_score(asked.score, Path.cwd())
    if score is not None and asked.data is None and None in (baseline.run, candidate.run):
        raise UsageError(f"--score {asked.score}: there are no examples to score: give some with --data")
    outputs = partial(_outputs, asked, baseline, place)
    of = told_task(asked.task, (baseline, candidate), outputs)
    if isinstance(of, SeveralOutputs) and asked.output is not None:
        raise UsageError(
            f"--output {asked.output}: all outputs are judged, {', '.join(of.widths)}: leave it out, or name its --task"
        )
    return Judging(asked.output, of, score)


def _outputs(asked: Asked, baseline: Given, place: Place) -> Sequence[Port]:
    return _signature(asked, baseline, place).outputs


def _signature(asked: Asked, baseline: Given, place: Place) -> Signature:
    try:
        return signature(BASELINE, _side(baseline, place, asked))
    except Crashed as crash:
        raise crash.error from crash


def _evaluation(
    asked: Asked, baseline: Given, candidate: Given, target: Target, place: Place, judging: Judging
) -> tuple[Evaluation | None, str]:
    """The examples to compare answers on, or why there are none, or no labels."""
    if TABLE[target.runtime].generates:
        return texts_of(asked.data, baseline, candidate, target)
    if asked.data is None:
        return of_runs(baseline, candidate, target)
    found = given_examples(asked.data, _signature(asked, baseline, place).inputs, baseline, judging)
    if found.labels is not None or judging.score is not None:
        return found, ""
    return found, f"{asked.data} has no `{LABEL}`: no answers were judged but as numbers, output by output"


def _key_samples(asked: Asked, baseline: Given, place: Place, judging: Judging) -> Evaluation | None:
    if asked.key_samples is None:
        return None
    ports = _signature(asked, baseline, place).inputs
    return examples.read(asked.key_samples, ports, "classes" if judging.task is None else "anything")


def _judged_by(
    named: Policy | None, evaluation: Evaluation | None, judging: Judging, target: Target
) -> tuple[Policy, list[str]]:
    """The policy that was named, or the one that is for such examples, and what was made of it, in words.

    Labels are judged by their task, or, where only a score was asked for, by that.
    """
    of_task = judging.task is not None or judging.score is None
    labelled = evaluation is not None and evaluation.labels is not None and of_task
    of_texts = "language-" * TABLE[target.runtime].generates
    unlabelled = "no-slower" if evaluation is None or judging.score is not None else "same-outputs"
    policy, added = named or _policy(of_texts + ("release" if labelled else unlabelled), target), []
    of = judging.task
    meant = None if of is None else of.meant if isinstance(of, SeveralOutputs) else of.name
    rows = policy.rows if meant is None else for_meant(policy.rows, meant)
    if TABLE[target.runtime].remote:  # a file that asks for such was refused
        rows = {name: row for name, row in rows.items() if row.metric not in NOT_OURS}
    added = changes(policy, {target.name: {}}, {target.name: rows})
    has_slices = labelled and evaluation is not None and evaluation.slices is not None
    if named is None and has_slices and (judging.task is None or judging.task.name in BY_SLICE.what.tasks):
        rows = rows | {WORST_SLICE: BY_SLICE}
        added.append(f"worst_slice_pct {BY_SLICE.text} added, for the examples have slices")
    has_one = any(row.what.dimension == "score" for row in rows.values())
    if judging.score is not None and not has_one:
        rows = rows | {BY_SCORE.metric: BY_SCORE}
        added.append(
            f"{BY_SCORE.metric} {BY_SCORE.text} added: a policy's `score` has a margin in the score's own unit"
        )
    if has_one and judging.score is None:
        raise UsageError(
            f"policy {policy.name} has a check of a score: name the function that gives it with --score"
        )
    return policy.model_copy(update={"rows": rows}), added


def _class_names(baseline: Given, judging: Judging) -> tuple[str, ...]:
    return judging.task.names if isinstance(judging.task, SeveralOutputs) else class_names(baseline)


def _warnings(
    target: Target, certificate: Mapping[str, Any] | None, models: tuple[Path, ...], trust: tuple[Path, ...]
) -> list[str]:
    found = [f"{file} was trusted (--trust): what it holds ran as code" for file in trust]
    if not TABLE[target.runtime].computes_elsewhere:
        said = (integer_weights.warning(model, machine.host_isa()) for model in models)
        found += filter(None, dict.fromkeys(said))
    if target.isa != "host" and target.host is None:
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
        and name not in facts["judged"]["output"].split(", ")
        and error is not None
        and error > SEEN_PCT
    }
    found += [
        f"output {name}, which is not judged, differs from the baseline's by {error:.1f} %: --output {name} judges it"
        for name, error in beside.items()
    ]
    return found


def _source(asked: Asked, evaluation: Evaluation) -> dict[str, str]:
    """What the examples are from, and its sha256."""
    what = "given with --data" if asked.data is not None else "the runs' own test split"
    return {"what": what, "file": str(evaluation.file), "sha256": sha256(evaluation.file)}


def _files(side: Given) -> list[Path]:
    """What is read of a side: its model, and the folder that was deployed."""
    return [*all_parts(side.model), *filter(None, [side.deployed])]


def _named(asked: Asked) -> list[Path]:
    """The other files that are read; a target or a policy may be a name."""
    words = [asked.target, asked.policy, asked.data, asked.key_samples, asked.certificate]
    return [file for file in (Path(word) for word in words if word is not None) if file.is_file()]


def _described(side: Given) -> ModelRecord:
    digests = {file.name: sha256(file) for file in all_parts(side.model)}
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
