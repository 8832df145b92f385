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
from edgecomp.bench import generated
from edgecomp.bench.examples import Evaluation
from edgecomp.bench.noise import CONTENDED, wall_over_cpu
from edgecomp.bench.process import Place, Worker
from edgecomp.bench.side_by_side import Crashed, Side, SideBySide
from edgecomp.bench.stage import described, quality
from edgecomp.compare.sides import contract_differences
from edgecomp.comparison import AGAIN, BASELINE, CANDIDATE, Comparison
from edgecomp.errors import (
    BudgetExceededError,
    DataError,
    EdgecompError,
    InferenceError,
    UsageError,
    WorkerError,
)
from edgecomp.gate.judge import Row
from edgecomp.gate.paired import Setting, is_clear, judge_pair, least_restarts, takes_restarts, times_starts
from edgecomp.gate.sequential import LOOKS
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.gate.waivers import deciding, with_waivers
from edgecomp.measurements import Arm, Measurements
from edgecomp.policies import Policy, Threshold
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE, Port
from edgecomp.targets import Shapes, Target

EXAMPLES = 16  # that are timed
BATCH = 32  # of the answers to an evaluation

Signature = dict[str, list[Port]]


@dataclass(frozen=True)
class Outcome:
    """What was measured, as far as it was, and the rows; waivers are not laid over them."""

    comparison: Comparison | None
    measured: Measurements | None
    rows: list[Row]
    elapsed_s: float


def place_of(target: Target, timeout_s: float = 120.0) -> Place:
    """Where both sides run: with more than one thread, threads that wait do not spin, for spinning is CPU time as well."""
    place = Place.of(target, timeout_s)
    if target.threads == 1:
        return place
    return replace(place, options=place.options | dict(TABLE[target.runtime].idle))


def signature(arm: str, side: Side) -> Signature:
    """What a side's file takes and gives, as its runtime sees it. Raises Crashed."""
    try:
        with Worker(replace(side.place, memory_bytes=None), model=side.model, inputs=None) as worker:
            told = worker.ready["signature"]
    except EdgecompError as error:
        raise Crashed(arm, error) from error
    inputs, outputs = (
        [Port(port["name"], port["shape"] and tuple(port["shape"]), port["dtype"]) for port in ports]
        for ports in told
    )
    return {"inputs": inputs, "outputs": outputs}


def timed_inputs(
    ports: Sequence[Port], target: Target, evaluation: Evaluation | None
) -> tuple[named.Inputs, int]:
    """Examples that the sides are timed on, and how many the file takes at once. Raises UsageError where they are fewer."""
    shapes = target.shapes or Shapes()
    rows = generated.rows_of(ports) or shapes.batch
    if evaluation is None:
        return generated.generate(ports, shapes, count=EXAMPLES * rows, seed=0), rows
    if (there := named.count(evaluation.inputs)) < rows:
        raise UsageError(f"there are {there} examples, and target {target.name} takes {rows} at once: give {rows} at least, or lower "
                         "its shapes.batch")  # fmt: skip
    return named.some(evaluation.inputs, slice(min(EXAMPLES, there // rows) * rows)), rows


def check_labels(evaluation: Evaluation | None, answer: tuple[int | None, ...] | None) -> None:
    """Raises DataError where a label is no class of an answer of that shape, as far as it is known."""
    if evaluation is None or evaluation.labels is None or answer is None or len(answer) != 1:
        return
    (classes,) = answer
    if classes is not None and (largest := int(evaluation.labels.max())) >= classes:
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
) -> Outcome:
    """Measures until the policy's rows are clear, the time is over, or no look is left. scratch: an empty folder.

    A side that cannot be read raises; one that dies is a verdict.
    """
    began = time.monotonic()
    of = Comparison(facts={"machine": machine.facts(), "load_before": os.getloadavg()[0], "seed": seed})
    of.facts |= {"threads": candidate.place.threads, "options": candidate.place.options}
    try:
        old, new = (signature(arm, side) for arm, side in ((BASELINE, baseline), (CANDIDATE, candidate)))
    except Crashed as crash:
        return Outcome(of, None, _of_crash(crash, policy, target), time.monotonic() - began)
    if differences := contract_differences(old, new):
        rows = [
            incompatible(target.name, differences),
            *not_run(policy, target.name, "the models are incompatible"),
        ]
        return Outcome(of, None, rows, time.monotonic() - began)
    (first, *_) = old["outputs"]
    check_labels(evaluation, None if first.shape is None else first.shape[1:])
    examples, rows_at_once = timed_inputs(old["inputs"], target, evaluation)
    named.save(examples, scratch / "timed")
    random = np.random.default_rng(seed)
    pair = SideBySide(
        baseline,
        candidate,
        inputs=scratch / "timed",
        rows=rows_at_once,
        random=random,
        one_by_one=times_starts(policy),
    )
    of.facts = pair.facts = pair.facts | of.facts
    measured = None
    try:
        if evaluation is not None and evaluation.labels is not None:
            named.save(evaluation.inputs, scratch / "evaluation")
            batch = 1 if generated.rows_of(old["inputs"]) else BATCH
            of.logits = pair.answers(scratch / "evaluation", scratch / "answers.npy", batch)
            check_labels(evaluation, of.logits[BASELINE].shape[1:])
        if not takes_restarts(policy):
            measured = as_measured(of, pair, evaluation, target)
            rows = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended=False))
            return Outcome(of, measured, rows, time.monotonic() - began)
        rows, measured = _until_clear(
            pair, rows_at_once, of, evaluation, policy, target, today, time.monotonic() + max_time_s, track
        )
    except Crashed as crash:
        rows = _of_crash(crash, policy, target)
    of.facts["load_after"] = os.getloadavg()[0]
    return Outcome(of, measured, rows, time.monotonic() - began)


def _of_crash(crash: Crashed, policy: Policy, target: Target) -> list[Row]:
    """Raises the error itself where it is not of the model, but of the request or the machine."""
    if not isinstance(crash.error, WorkerError | InferenceError | BudgetExceededError):
        raise crash.error from crash
    return [
        crashed(target.name, crash),
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
) -> tuple[list[Row], Measurements]:
    rows: list[Row] = []
    for restart in track(range(LOOKS[-1]), "restarts, at most", LOOKS[-1]):
        began = time.monotonic()
        of.restarts.append(pair.restart())
        of.facts |= audit(pair, of, rows_at_once)
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
        rows = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended), rows)
        waived = with_waivers(rows, policy.waivers, {target.name: policy.rows}, today)
        if over or is_clear(deciding(waived), policy, restart + 1):
            return rows, measured
    raise AssertionError("the last look ends it")


def audit(pair: SideBySide, of: Comparison, rows: int) -> dict[str, Any]:
    """Whether both models are right while they are timed: `not_finite` arms, and, where there are answers to the same inputs, the
    largest mean difference from them over their deviation (`timed_error`)."""
    told = {arm: np.asarray(list(answers.values())) for arm, answers in pair.timed_answers.items()}
    found: dict[str, Any] = {
        "not_finite": [arm for arm, values in told.items() if not np.isfinite(values).all()]
    }
    if of.logits:
        found["not_finite"] += [arm for arm in told if not np.isfinite(of.logits[arm]).all()]
    if of.logits and not found["not_finite"]:
        found["timed_error"] = {}
        for arm, answers in pair.timed_answers.items():
            queries = len(of.logits[arm]) // rows  # of what is left over none is timed
            whole = of.logits[arm][: queries * rows].reshape(queries, -1)
            spread = max(float(whole.std()), 1e-12)
            found["timed_error"][arm] = max(
                float(np.abs(np.asarray(answer) - whole[place, : len(answer)]).mean()) / spread
                for place, answer in answers.items()
            )
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
        f"single_stream_{clock}_ns": of.samples(arm, f"{clock}_ns").reshape(len(of.restarts), -1)
        for clock in ("wall", "cpu")
    }
    once = ("cold_start_ns", "load_ns", "peak_memory_bytes", "imports_peak_bytes")
    return found | {name: of.samples(arm, name) for name in once}


def incompatible(target: str, differences: Sequence[str]) -> Row:
    return _said(target, "io_contract", "inputs and outputs", "the baseline's", Verdict.FAIL, Reason.INCOMPATIBLE,
                 f"whoever calls the baseline cannot call the candidate: {'; '.join(differences)}")  # fmt: skip


def crashed(target: str, crash: Crashed) -> Row:
    """A candidate that dies fails; where the baseline dies there is nothing to compare with."""
    certain = not isinstance(crash.error, BudgetExceededError) or crash.error.certain
    verdict, reason = Verdict.FAIL if certain else Verdict.INCONCLUSIVE, Reason.CRASHED
    if isinstance(crash.error, BudgetExceededError):
        reason = Reason.BUDGET_EXCEEDED
    if crash.arm != CANDIDATE:
        verdict = Verdict.INVALID
    return _said(
        target, "runs", "runs to the end", "both do", verdict, reason, f"the {_called(crash.arm)}: {crash}"
    )


def not_run(policy: Policy, target: str, why: str) -> list[Row]:
    return [_not_run(target, name, row, why) for name, row in policy.rows.items()]


def _not_run(target: str, name: str, threshold: Threshold, why: str) -> Row:
    row = _said(
        target,
        name,
        threshold.what.title,
        threshold.text,
        Verdict.INCONCLUSIVE,
        Reason.NOT_RUN,
        f"not measured: {why}",
    )
    return replace(row, metric=threshold.metric, severity=threshold.severity)


def _said(target: str, name: str, title: str, limit: str, verdict: Verdict, reason: Reason, why: str) -> Row:
    return Row(
        target,
        name,
        name,
        title,
        limit,
        0.0,
        "below",
        None,
        verdict,
        reason,
        f"{target}: {title}: {why.rstrip('.')}.",
    )


def _called(arm: str) -> str:
    return "baseline" if arm == AGAIN else arm
