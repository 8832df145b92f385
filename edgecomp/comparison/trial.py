"""A comparison from two sides to a verdict: restarts one after another, and a look now and then, until the answer is clear."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import inputs as named
from edgecomp import machine
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs import generated
from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.inputs.generated import Made
from edgecomp.benchmark.inputs.signatures import rows_of, signature_of, unlike_first
from edgecomp.benchmark.quality import CONTENDED, wall_over_cpu
from edgecomp.benchmark.scenarios.side_by_side import Crashed, Side, SideBySide
from edgecomp.benchmark.stage import described, quality
from edgecomp.benchmark.worker import answers
from edgecomp.comparison.judged import check_output, classes_told, judged, output_errors
from edgecomp.comparison.sides import contract_differences
from edgecomp.config.policy import Policy, Threshold
from edgecomp.config.target import Shapes, Target
from edgecomp.errors import (
    BudgetExceededError,
    DataError,
    EdgecompError,
    InferenceError,
    UsageError,
    WorkerError,
)
from edgecomp.gate.document import Check
from edgecomp.gate.paired import (
    Setting,
    is_clear,
    judge_pair,
    judges_outputs,
    least_restarts,
    takes_restarts,
    times_starts,
)
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, with_waivers
from edgecomp.metrics.comparison import AGAIN, BASELINE, CANDIDATE, Comparison
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.samples import (
    COLD_START,
    CPU,
    IMPORTS_PEAK,
    LOAD,
    PEAK_MEMORY,
    SINGLE_STREAM_CPU,
    SINGLE_STREAM_WALL,
    WALL,
)
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE, Port, Signature
from edgecomp.stats.sequential import LOOKS

EXAMPLES = 16  # that are timed
BATCH = 32  # of the answers to an evaluation
GIVE = "--data FILE"  # by which real inputs are given


@dataclass(frozen=True)
class Outcome:
    """What was measured, as far as it was, and the checks; waivers are not laid over them."""

    comparison: Comparison | None
    measured: Measurements | None
    checks: list[Check]
    elapsed_s: float


def place_of(target: Target, timeout_s: float = 120.0) -> Place:
    """Where both sides run: with more than one thread, threads that wait do not spin, for spinning is CPU time as well."""
    place = Place.of(target, timeout_s)
    if target.threads == 1:
        return place
    return replace(place, options=place.options | dict(TABLE[target.runtime].idle))


def signature(arm: str, side: Side) -> Signature:
    """What a side's file takes and gives. Raises Crashed."""
    try:
        return signature_of(replace(side.place, memory_bytes=None), side.model)
    except EdgecompError as error:
        raise Crashed(arm, error) from error


@dataclass(frozen=True)
class Timed:
    """Examples that the sides are timed on, `rows` at once; made: where they were made up."""

    inputs: named.Inputs
    rows: int
    axes: named.Axes
    made: Made | None = None


def timed_inputs(
    ports: Sequence[Port], target: Target, evaluation: Evaluation | None, shapes: Shapes | None = None
) -> Timed:
    """shapes: of what is made up, the target's where it is None. Raises UsageError where the examples are fewer than the file takes at
    once, or none can be made up."""
    shapes = shapes or target.shapes or Shapes()
    rows = generated.at_once(ports, shapes)
    if evaluation is None:
        made = generated.generate(ports, shapes, rows=rows, queries=EXAMPLES, seed=0, give=GIVE)
        return Timed(made.inputs, rows, unlike_first(ports), made)
    if (there := named.count(evaluation.inputs)) < rows:
        raise UsageError(f"there are {there} examples, and target {target.name} takes {rows} at once: give {rows} at least, or lower "
                         "its shapes.batch")  # fmt: skip
    examples = named.some(evaluation.inputs, slice(min(EXAMPLES, there // rows) * rows))
    return Timed(examples, rows, evaluation.axes)


def check_labels(evaluation: Evaluation | None, classes: int | None) -> None:
    """Raises DataError where a label is no class of so many, as far as that is known."""
    if evaluation is None or evaluation.labels is None or classes is None:
        return
    if (largest := int(evaluation.labels.max())) >= classes:
        raise DataError(f"{evaluation.file}: a label is {largest}, and the model has {classes} classes, 0 to {classes - 1}: number them as the "
                        "model does, or leave out what is of another class")  # fmt: skip


def compare(
    baseline: Side,
    candidate: Side,
    *,
    target: Target,
    policy: Policy,
    today: Any,
    evaluation: Evaluation | None,
    max_time_s: float,
    seed: int,
    scratch: Path,
    track: Track,
    output: str | None = None,
    shape: Sequence[str] = (),
    ranges: Sequence[str] = (),
) -> Outcome:
    """Measures until the policy's checks are clear, the time is over, or no look is left. scratch: an empty folder; output: the one that
    is judged, None for the first that can be; shape, ranges: of inputs that are made up, as on the command line.

    A side that cannot be read raises; one that dies is a verdict.
    """
    began = time.monotonic()
    of = Comparison(facts={"machine": machine.facts(), "load_before": os.getloadavg()[0], "seed": seed})
    of.facts |= {"threads": candidate.place.threads, "options": candidate.place.options}
    try:
        old, new = (signature(arm, side) for arm, side in ((BASELINE, baseline), (CANDIDATE, candidate)))
    except Crashed as crash:
        return Outcome(of, None, _of_crash(crash, policy, target), time.monotonic() - began)
    if differences := contract_differences(old._asdict(), new._asdict()):
        checks = [
            incompatible(target.name, differences),
            *not_run(policy, target.name, "the models are incompatible"),
        ]
        return Outcome(of, None, checks, time.monotonic() - began)
    check_output(output, old.outputs)
    check_labels(evaluation, classes_told(output, old.outputs))
    generated.check_names(old.inputs, shape, ranges)
    shapes = generated.shapes_of(target.shapes, shape, ranges)
    timed = timed_inputs(old.inputs, target, evaluation, shapes)
    of.facts["made_up"] = timed.made.words if timed.made else {}
    axes = {**timed.axes, **unlike_first(old.outputs)}
    named.save(timed.inputs, scratch / "timed", axes)
    pair = SideBySide(
        baseline,
        candidate,
        inputs=scratch / "timed",
        rows=timed.rows,
        random=np.random.default_rng(seed),
        one_by_one=times_starts(policy),
    )
    of.facts = pair.facts = pair.facts | of.facts
    measured = None
    try:
        if evaluation is not None:
            named.save(evaluation.inputs, scratch / "evaluation", axes)
            pair.answers(scratch / "evaluation", 1 if rows_of(old.inputs) else BATCH, output)
            _judge_output(of, pair, evaluation, output)
        elif target.memory is not None or (not takes_restarts(policy) and judges_outputs(policy)):
            pair.answers(scratch / "timed", 1, None)  # what is kept of them is not the model's memory
        if not takes_restarts(policy):
            of.facts |= audit(pair, timed.rows)
            measured = as_measured(of, pair, evaluation, target)
            checks = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended=False))
            return Outcome(of, measured, checks, time.monotonic() - began)
        deadline = time.monotonic() + max_time_s
        checks, measured = _until_clear(
            pair, timed.rows, of, evaluation, policy, target, today, deadline, track
        )
    except Crashed as crash:
        checks = _of_crash(crash, policy, target, timed.made)
    of.facts["load_after"] = os.getloadavg()[0]
    return Outcome(of, measured, checks, time.monotonic() - began)


def _judge_output(of: Comparison, pair: SideBySide, evaluation: Evaluation, output: str | None) -> None:
    """Which output's answers are held against the labels, where there are any."""
    if evaluation.labels is None:
        return
    found = judged(pair.outputs, output, evaluation.labels)
    check_labels(evaluation, found.logits[BASELINE].shape[1])
    of.logits = found.logits
    of.facts["judged"] = {"output": found.name, "how": found.how}


def _of_crash(crash: Crashed, policy: Policy, target: Target, made: Made | None = None) -> list[Check]:
    """Raises the error itself where it is not of the model, but of the request or the machine; so is one of inputs that were made up,
    of which the baseline has no more to say than the candidate."""
    error = generated.blamed(crash.error, made, GIVE)
    if not isinstance(crash.error, WorkerError | InferenceError | BudgetExceededError):
        raise crash.error from crash
    if isinstance(error, UsageError) and crash.arm != CANDIDATE:
        raise error from crash
    return [
        crashed(target.name, Crashed(crash.arm, error)),
        *not_run(policy, target.name, f"the {_called(crash.arm)} did not run"),
    ]


def _until_clear(
    pair: SideBySide,
    rows_at_once: int,
    of: Comparison,
    evaluation: Evaluation | None,
    policy: Policy,
    target: Target,
    today: Any,
    deadline: float,
    track: Track,
) -> tuple[list[Check], Measurements]:
    checks: list[Check] = []
    for restart in track(range(LOOKS[-1]), "restarts, at most", LOOKS[-1]):
        began = time.monotonic()
        of.restarts.append(pair.restart())
        of.facts |= audit(pair, rows_at_once)
        ended = time.monotonic()
        over = ended + (ended - began) > deadline or restart + 1 == LOOKS[-1]
        if not over and (restart + 1 not in LOOKS or restart + 1 < least_restarts(policy)):
            continue
        measured = as_measured(of, pair, evaluation, target)
        of.facts |= {
            "quality": measured.facts["quality"],
            "wall_over_cpu": wall_over_cpu(measured.arms[BASELINE].samples),
        }
        contended = of.facts["wall_over_cpu"] > CONTENDED and not TABLE[target.runtime].gpu
        checks = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended), checks)
        waived = with_waivers(checks, policy.waivers, {target.name: policy.rows}, today)
        if over or is_clear(deciding(waived), policy, restart + 1):
            return checks, measured
    raise AssertionError("the last look ends it")


def audit(pair: SideBySide, rows: int) -> dict[str, Any]:
    """Whether both models are right while they are timed: by arm the outputs that are `not_finite`, and how far the others are from
    those of the same inputs otherwise, over their deviation, at most (`timed_error`); and what the candidate's `outputs` are from the
    baseline's, in per cent."""
    found: dict[str, Any] = {"not_finite": {}, "timed_error": {}}
    for arm, timed in pair.timed_answers.items():
        broken = answers.broken_in(pair.outputs.get(arm, {}))
        for outputs in timed.values():
            broken |= {name: one["broken"] for name, one in outputs.items() if one["broken"]}
        if broken:
            found["not_finite"][arm] = broken
        errors = answers.timed_errors(pair.outputs.get(arm, {}), timed, rows)
        found["timed_error"][arm] = max(errors.values(), default=0.0)
    found["outputs"] = output_errors(pair.outputs) if CANDIDATE in pair.outputs else {}
    return found


def as_measured(
    of: Comparison, pair: SideBySide, evaluation: Evaluation | None, target: Target
) -> Measurements:
    """The comparison as any gate reads it: both arms' samples by restart, their files, and their answers."""
    labels = (
        evaluation.labels
        if evaluation is not None and evaluation.labels is not None
        else np.empty(0, np.int64)
    )
    arms = {}
    for arm in (BASELINE, CANDIDATE):
        file = described(pair.sides[arm].model, 0)
        arms[arm] = Arm(
            samples=_samples(of, arm),
            logits=of.logits.get(arm, np.empty((0, 0), np.float32)),
            memory={},
            file_size_bytes=sum(size for size, _ in file.files.values()),
            file_sha256={name: digest for name, (_, digest) in file.files.items()},
            parameter_bytes=None,
        )
    blocks = [dict(block) for restart in of.restarts for block in restart.blocks]
    facts: dict[str, Any] = {"threads": target.threads}
    if evaluation is not None and evaluation.classes:
        facts["classes"] = evaluation.classes
    facts |= {name: of.facts[name] for name in ("not_finite", "outputs", "made_up") if name in of.facts}
    if of.restarts:
        facts["quality"] = quality(arms[BASELINE], blocks, target)._asdict()
    return Measurements(
        target=target.name,
        runtime=target.runtime,
        arms=arms,
        labels=labels,
        offline_batch=1,
        facts=facts,
        student=CANDIDATE,
        slices=evaluation.slices if evaluation is not None else None,
    )


def _samples(of: Comparison, arm: str) -> dict[str, npt.NDArray[np.int64]]:
    if not of.restarts:
        return {}
    found = {
        name: of.samples(arm, clock).reshape(len(of.restarts), -1)
        for name, clock in ((SINGLE_STREAM_WALL, WALL), (SINGLE_STREAM_CPU, CPU))
    }
    once = (COLD_START, LOAD, PEAK_MEMORY, IMPORTS_PEAK)
    return found | {name: of.samples(arm, name) for name in once}


def incompatible(target: str, differences: Sequence[str]) -> Check:
    return _said(target, "io_contract", "inputs and outputs", "the baseline's", Verdict.FAIL, Reason.INCOMPATIBLE,
                 f"whoever calls the baseline cannot call the candidate: {'; '.join(differences)}")  # fmt: skip


def crashed(target: str, crash: Crashed) -> Check:
    """A candidate that dies fails; where the baseline dies there is nothing to compare with; inputs that were made up blame nobody."""
    certain = not isinstance(crash.error, BudgetExceededError) or crash.error.certain
    verdict, reason = Verdict.FAIL if certain else Verdict.INCONCLUSIVE, Reason.CRASHED
    if isinstance(crash.error, BudgetExceededError):
        reason = Reason.BUDGET_EXCEEDED
    if crash.arm != CANDIDATE:
        verdict = Verdict.INVALID
    elif isinstance(crash.error, UsageError):
        verdict, reason = Verdict.INCONCLUSIVE, Reason.MADE_UP
    return _said(
        target, "runs", "runs to the end", "both do", verdict, reason, f"the {_called(crash.arm)}: {crash}"
    )


def not_run(policy: Policy, target: str, why: str) -> list[Check]:
    return [_not_run(target, name, row, why) for name, row in policy.rows.items()]


def _not_run(target: str, name: str, threshold: Threshold, why: str) -> Check:
    check = _said(
        target,
        name,
        threshold.what.title,
        threshold.text,
        Verdict.INCONCLUSIVE,
        Reason.NOT_RUN,
        f"not measured: {why}",
    )
    return check.but(metric=threshold.metric, severity=threshold.severity)


def _said(
    target: str, name: str, title: str, limit: str, verdict: Verdict, reason: Reason, why: str
) -> Check:
    return Check(
        target=target,
        name=name,
        metric=name,
        title=title,
        limit=limit,
        limit_value=0.0,
        passes="below",
        estimate=None,
        verdict=verdict,
        reason=reason,
        sentence=f"{target}: {title}: {why.rstrip('.')}.",
    )


def _called(arm: str) -> str:
    return "baseline" if arm == AGAIN else arm
