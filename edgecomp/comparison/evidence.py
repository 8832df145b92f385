"""What a comparison leaves: its verdict's document, and the raw samples that it rests on."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.comparison import numbers
from edgecomp.comparison.trial import Outcome
from edgecomp.config.policy import Policy
from edgecomp.config.target import Target
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import digest_of, write_json
from edgecomp.gate.document import Changes, Compared, VerdictDocument, document, whole
from edgecomp.gate.groups import differences
from edgecomp.gate.next_step import ComparisonRemedies, next_step
from edgecomp.gate.paired import is_sequential, log_ratios
from edgecomp.gate.stage import figures
from edgecomp.gate.waivers import deciding, unbounded, with_waivers
from edgecomp.metrics.comparison import AGAIN, BASELINE, CANDIDATE, Comparison
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.samples import SCORE


def verdict_of(
    outcome: Outcome,
    target: Target,
    policy: Policy,
    changes: list[str],
    today: datetime.date,
    compared: Compared | None = None,
) -> VerdictDocument:
    """The document of a comparison, of its `outcome`. policy: whose waivers hold, and whose checks where the
    outcome has no policy of its own; changes: what was made of the policy, in words; today: by which waivers
    hold; compared: the sides and circumstances, as in VerdictDocument. target: of the comparison."""
    rows = (outcome.policy or policy).rows
    checks = with_waivers(outcome.all_checks, policy.waivers, {target.name: rows}, today)
    return document(
        checks,
        policy,
        next_step=next_step(whole(deciding(checks)), checks, ComparisonRemedies()),
        changes=(*changes, *outcome.taken_out),
        warnings=unbounded(checks),
        sha256=digest_of(policy.model_dump(mode="json")),
        figures={} if outcome.measured is None else {outcome.measured.target: figures(outcome.measured)},
        answers=changed_answers(outcome),
        compared=compared,
    )


def changed_answers(outcome: Outcome) -> dict[str, Changes]:
    """By target, what differs between both models' answers, of the `outcome` (edgecomp.gate.groups); nothing
    where there are none."""
    if outcome.measured is None:
        return {}
    found = differences(outcome.measured, CANDIDATE, BASELINE)
    return {} if found is None else {outcome.measured.target: found}


def ratios_of(outcome: Outcome, policy: Policy) -> dict[str, dict[str, list[float]]]:
    """By check of restarts, each one's log ratio to the baseline, of the candidate and of the baseline again.
    outcome: with the restarts; policy: whose checks they are."""
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
    """verdict.json, samples.npz, answers.npz in `folder`, which is new: whole, or not at all. outcome: whose
    samples and answers; evaluation: the examples that were answered, None where none were given. Raises
    EdgecompError, with the verdict."""
    lost = f"what was measured is not kept, and it came to {verdict.verdict}: {verdict.next_step}"
    with new_folder(folder, lost) as scratch:
        write_json(scratch / "verdict.json", verdict.as_json())
        if outcome.comparison is not None and outcome.comparison.restarts:
            samples: dict[str, Any] = dict(outcome.comparison.all_samples())
            np.savez(scratch / "samples.npz", **samples)
        of = outcome.comparison
        if of is not None and (of.outputs or of.logits) and evaluation is not None:
            np.savez(scratch / "answers.npz", **answers_of(of, evaluation))


def answers_of(of: Comparison, evaluation: Evaluation) -> dict[str, Any]:
    """What the checks of answers are judged on, as answers.npz holds it (edgecomp.metrics.comparison). of:
    what was answered; evaluation: with the slices of its examples."""
    found: dict[str, Any] = {f"{arm}.logits": logits for arm, logits in of.logits.items()}
    found |= {f"{arm}.{SCORE}": scores for arm, scores in of.scores.items()}
    beside = {"labels": of.labels, "slices": evaluation.slices}
    found |= {name: values for name, values in beside.items() if values is not None}
    return found | numbers.kept(of.outputs)
