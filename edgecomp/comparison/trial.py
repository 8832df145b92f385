"""A comparison from two sides to a verdict: restarts one after another, and a look now and then, until the answer is clear."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp import inputs as named
from edgecomp.benchmark.hosts.host import Host
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs import generated
from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.inputs.generated import Made
from edgecomp.benchmark.inputs.signatures import rows_of, signature_of, unlike_first
from edgecomp.benchmark.quality import CONTENDED, wall_over_cpu
from edgecomp.benchmark.scenarios import generation
from edgecomp.benchmark.scenarios.side_by_side import Crashed, Side, SideBySide
from edgecomp.benchmark.worker import answers
from edgecomp.comparison import compatibility, numbers
from edgecomp.comparison.checks import GIVE, not_run, of_crash
from edgecomp.comparison.judged import check_output, classes_told, judged, judged_as
from edgecomp.comparison.measured import as_measured, audit
from edgecomp.config.policy import Policy
from edgecomp.config.target import Shapes, Target
from edgecomp.data.heads import in_own_unit, outputs_in_own_unit
from edgecomp.errors import DataError, DeviceError, EdgecompError, UsageError
from edgecomp.files.writing import sha256
from edgecomp.gate.document import Check
from edgecomp.gate.paired import (
    Setting,
    by_output,
    is_clear,
    judge_pair,
    judges_outputs,
    least_restarts,
    takes_restarts,
    times_starts,
)
from edgecomp.gate.verdict import Verdict
from edgecomp.gate.waivers import deciding, with_waivers
from edgecomp.metrics.comparison import BASELINE, CANDIDATE, Comparison
from edgecomp.metrics.measurements import Measurements
from edgecomp.models.own_code import OwnScore
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE, Port, Signature
from edgecomp.stats.sequential import LOOKS
from edgecomp.tasks import SeveralOutputs, Task
from edgecomp.tasks.language.causal_lm import CausalLm

EXAMPLES = 16  # that are timed
BATCH = 32  # of the answers to an evaluation
NEW_TOKENS = 16  # that a language model generates after a prompt


@dataclass(frozen=True)
class Outcome:
    """What was measured, as far as it was, and the checks; waivers are not laid over them. policy: with a check of each output, where
    that was asked for; taken_out: which could not be judged of these models, in words; compatible: whether the one can stand where the
    other stood (edgecomp.comparison.compatibility)."""

    comparison: Comparison | None
    measured: Measurements | None
    checks: list[Check]
    elapsed_s: float
    policy: Policy | None = None
    taken_out: Sequence[str] = ()
    compatible: Sequence[Check] = ()

    @property
    def all_checks(self) -> list[Check]:
        """Those of compatibility before the others where they say why these were not run, and else after them."""
        stands = [check for check in self.compatible if check.verdict is Verdict.PASS]
        return [*(check for check in self.compatible if check not in stands), *self.checks, *stands]


@dataclass(frozen=True)
class Judging:
    """How answers are judged. output: the one that labels are of, None for the first that can be; task: what it means, None for classes
    in whichever form; score: a function of the user's own."""

    output: str | None = None
    task: Task | None = None
    score: OwnScore | None = None


def place_of(target: Target, timeout_s: float = 120.0, host: Host | None = None) -> Place:
    """Where both sides run, under `target`: with more than one thread, threads that wait do not spin, for
    spinning is CPU time as well. timeout_s: for a reply, seconds; host: the machine, this one where it is None."""
    place = Place.of(target, timeout_s, host)
    if target.threads == 1:
        return place
    return replace(place, options=place.options | dict(TABLE[target.runtime].idle))


def signature(arm: str, side: Side) -> Signature:
    """What a side's file takes and gives. arm: that the side is, as the error tells. Raises Crashed."""
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
    """The inputs that are timed: of the evaluation's examples the first, where they are given, else made up
    for these ports, the models' inputs. shapes: of what is made up, the target's where it is None. Raises
    UsageError where the examples are fewer than the file takes at once, or none can be made up."""
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
    """Raises DataError where a label of the evaluation is no class of so many, as far as that is known.
    classes: how many, None where the file does not tell."""
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
    judging: Judging = Judging(),
    key_samples: Evaluation | None = None,
    shape: Sequence[str] = (),
    ranges: Sequence[str] = (),
    prompts: Timed | None = None,
) -> Outcome:
    """Measures the baseline and the candidate, restart by restart, until the policy's checks are clear, the
    time is over, or no look is left.

    target: that both run under; today: by which waivers hold; evaluation: examples that both answer, None
    where none are given; max_time_s: of timing, in seconds; seed: of the order; scratch: an empty folder;
    track: shows the restarts; judging: how answers are judged; key_samples: whose answers must hold, None for none; shape, ranges: of
    inputs that are made up, as on the command line; prompts: of language models, those that are timed.

    A side that cannot be read raises; one that dies is a verdict.
    """
    began, host = time.monotonic(), candidate.place.host
    of = Comparison(facts={"machine": host.facts(), "load_before": host.load(), "seed": seed})
    of.facts |= {"threads": candidate.place.threads, "options": candidate.place.options}
    try:
        old, new = (signature(arm, side) for arm, side in ((BASELINE, baseline), (CANDIDATE, candidate)))
    except Crashed as crash:
        return Outcome(of, None, of_crash(crash, policy, target), time.monotonic() - began)
    compatible = compatibility.of_contract(target.name, old, new)
    if any(check.verdict is Verdict.FAIL for check in compatible):
        checks = not_run(policy, target.name, "the models are incompatible")
        return Outcome(of, None, checks, time.monotonic() - began, compatible=compatible)
    check_output(judging.output, old.outputs)
    for name, row in policy.rows.items():
        check_output(row.output, old.outputs, f"policy {policy.name}: checks.{name}: output")
    if judging.task is None and judging.score is None:
        check_labels(evaluation, classes_told(judging.output, old.outputs))
    generates = TABLE[target.runtime].generates
    if prompts is None:
        generated.check_names(old.inputs, shape, ranges)
        shapes = generated.shapes_of(target.shapes, shape, ranges)
    timed = prompts or timed_inputs(old.inputs, target, evaluation, shapes)
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
        tokens=NEW_TOKENS if generates else 0,
    )
    of.facts = pair.facts = pair.facts | of.facts
    measured: Measurements | None = None
    taken_out: list[str] = []
    batch = 1 if rows_of(old.inputs) else BATCH
    try:
        if key_samples is not None:
            named.save(
                key_samples.inputs, scratch / "keys", {**key_samples.axes, **unlike_first(old.outputs)}
            )
            pair.answers(scratch / "keys", batch, judging.output)
            by = judging.output, judging.task
            compatible.append(compatibility.key_samples(target.name, pair.outputs, key_samples, *by))
            pair.outputs = {}  # those that are judged and timed are of other examples
        if generates:
            of.facts |= {"task": CausalLm.name, "new_tokens": NEW_TOKENS}
            if evaluation is not None:
                named.save(evaluation.inputs, scratch / "evaluation")
                _read_texts(of, pair, evaluation, scratch)
        elif evaluation is not None:
            named.save(evaluation.inputs, scratch / "evaluation", axes)
            pair.answers(scratch / "evaluation", batch, judging.output)
            _judge_answers(of, pair, evaluation, judging)
            policy, taken_out = by_output(policy, of.facts)
        elif target.memory is not None or (not takes_restarts(policy) and judges_outputs(policy)):
            pair.answers(scratch / "timed", 1, None)  # what is kept of them is not the model's memory
        if not takes_restarts(policy):
            _audit(of, pair, timed.rows)
            measured = as_measured(of, pair, evaluation, target)
            checks = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended=False))
            return Outcome(of, measured, checks, time.monotonic() - began, policy, taken_out, compatible)
        deadline = time.monotonic() + max_time_s
        checks, measured = _until_clear(
            pair, timed.rows, of, evaluation, policy, target, today, deadline, track
        )
    except Crashed as crash:
        checks = of_crash(crash, policy, target, timed.made)
    except DeviceError as error:  # between two answers
        checks = of_crash(Crashed(CANDIDATE, error), policy, target, timed.made)
    with suppress(DeviceError):
        of.facts["load_after"] = host.load()
    return Outcome(of, measured, checks, time.monotonic() - began, policy, taken_out, compatible)


def _judge_answers(of: Comparison, pair: SideBySide, evaluation: Evaluation, by: Judging) -> None:
    """What is held against the labels, where there are any; every example's score, where they have one; and all outputs as numbers."""
    if by.task is not None:
        of.facts["task"] = by.task.meant if isinstance(by.task, SeveralOutputs) else by.task.name
    if evaluation.labels is not None and (by.task is not None or by.score is None):
        if by.task is not None:
            found = judged_as(by.task, pair.outputs, by.output, evaluation.labels)
        else:
            found = judged(pair.outputs, by.output, evaluation.labels)
            check_labels(evaluation, found.logits[BASELINE].shape[1])
        of.logits, of.labels = found.logits, found.labels
        of.facts["judged"] = {"output": found.name, "how": found.how}
    if by.score is not None:
        _score(of, pair, evaluation, by.score, by.task)
    _beside(of, pair, by.task)


def _read_texts(of: Comparison, pair: SideBySide, evaluation: Evaluation, scratch: Path) -> None:
    """What both language models say of the tokens of the evaluation's texts. Raises Crashed."""
    for arm in (BASELINE, CANDIDATE):
        side = pair.sides[arm]
        place = replace(side.place, memory_bytes=None)
        try:
            of.logits[arm] = generation.read(
                side.model, place=place, texts=scratch / "evaluation", scratch=scratch
            )
        except EdgecompError as error:
            raise Crashed(arm, error) from error
        if not np.isfinite(of.logits[arm]).all():
            of.facts.setdefault("not_finite", {})[arm] = {"logits": "NaN or infinity"}
    of.labels = evaluation.labels
    of.facts["judged"] = {"output": "logits", "how": "the token that comes"}


def _score(
    of: Comparison, pair: SideBySide, evaluation: Evaluation, score: OwnScore, task: Task | None
) -> None:
    """Outputs that are no numbers are not scored: that is said of the model."""
    count = named.count(evaluation.inputs)
    of.facts["score"] = {"function": score.name, "files": {file.name: sha256(file) for file in score.files}}
    if any(map(answers.broken_in, pair.outputs.values())):
        return
    labels = None if evaluation.labels is None else in_own_unit(evaluation.labels, evaluation)
    for arm, outputs in pair.outputs.items():
        if short := [name for name, answer in outputs.items() if len(answer) < count]:
            raise DataError(f"output {short[0]} has {len(outputs[short[0]])} values for {count} examples: it is not one for each, or too much of the "
                            "memory: give fewer examples (--data)")  # fmt: skip
        if isinstance(task, SeveralOutputs):
            of.scores[arm] = score(*outputs_in_own_unit(task, outputs, evaluation.labels, evaluation), count)
            continue
        one = in_own_unit(next(iter(outputs.values())), evaluation) if len(outputs) == 1 else outputs
        of.scores[arm] = score(one, labels, count)


def _beside(of: Comparison, pair: SideBySide, task: Task | None = None) -> None:
    """All outputs of both as numbers, once."""
    if CANDIDATE in pair.outputs and not of.outputs:
        found = numbers.by_output(pair.outputs, task)
        of.outputs = found
        of.facts |= numbers.told(found)


def _audit(of: Comparison, pair: SideBySide, rows: int) -> None:
    found = audit(pair, rows)
    of.facts |= found | {"not_finite": {**of.facts.get("not_finite", {}), **found["not_finite"]}}
    if not pair.tokens:  # of a language model it is a token's number, which is no number
        _beside(of, pair)


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
        _audit(of, pair, rows_at_once)
        ended = time.monotonic()
        over = ended + (ended - began) > deadline or restart + 1 == LOOKS[-1]
        if not over and (restart + 1 not in LOOKS or restart + 1 < least_restarts(policy)):
            continue
        measured = as_measured(of, pair, evaluation, target)
        of.facts |= {
            "quality": measured.facts["quality"],
            "wall_over_cpu": wall_over_cpu(measured.arms[BASELINE].samples),
        }
        contended = of.facts["wall_over_cpu"] > CONTENDED and not TABLE[target.runtime].computes_elsewhere
        checks = judge_pair(of, measured, Setting(target.name, policy, target.threads, contended), checks)
        waived = with_waivers(checks, policy.waivers, {target.name: policy.rows}, today)
        if over or is_clear(deciding(waived), policy, restart + 1):
            return checks, measured
    raise AssertionError("the last look ends it")
