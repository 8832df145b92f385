"""Checks that a comparison makes without measuring: of a side that dies, and of what was not run."""

from edgecomp.benchmark.inputs import generated
from edgecomp.benchmark.inputs.generated import Made
from edgecomp.benchmark.scenarios.side_by_side import Crashed
from edgecomp.config.policy import Policy, Threshold
from edgecomp.config.target import Target
from edgecomp.errors import BudgetExceededError, DeviceError, InferenceError, UsageError, WorkerError
from edgecomp.gate.document import Check
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.comparison import AGAIN, CANDIDATE

GIVE = "--data FILE"  # by which real inputs are given


def of_crash(crash: Crashed, policy: Policy, target: Target, made: Made | None = None) -> list[Check]:
    """The checks of a side that died, the `crash`, and all those of the policy, which were not run. made: the
    inputs, where they were made up, else None.

    Raises the error itself where it is not of the model, but of the request or the machine; so is one of
    inputs that were made up, of which the baseline has no more to say than the candidate. target: of the
    comparison.
    """
    is_way = isinstance(crash.error, DeviceError)  # whatever the inputs were
    error = crash.error if is_way else generated.blamed(crash.error, made, GIVE)
    if not isinstance(crash.error, WorkerError | InferenceError | BudgetExceededError):
        raise crash.error from crash
    if isinstance(error, UsageError) and crash.arm != CANDIDATE:
        raise error from crash
    return [
        crashed(target.name, Crashed(crash.arm, error)),
        *not_run(policy, target.name, f"the {_called(crash.arm)} did not run"),
    ]


def crashed(target: str, crash: Crashed) -> Check:
    """A candidate that dies fails; where the baseline dies there is nothing to compare with; inputs that were
    made up blame nobody. target: its name; crash: the side that died, and of what."""
    certain = not isinstance(crash.error, BudgetExceededError) or crash.error.certain
    verdict, reason = Verdict.FAIL if certain else Verdict.INCONCLUSIVE, Reason.CRASHED
    if isinstance(crash.error, BudgetExceededError):
        reason = Reason.BUDGET_EXCEEDED
    if crash.arm != CANDIDATE:
        verdict = Verdict.INVALID
    elif isinstance(crash.error, UsageError):
        verdict, reason = Verdict.INCONCLUSIVE, Reason.MADE_UP
    if isinstance(crash.error, DeviceError):  # of the way there, whoever was asked
        verdict, reason = Verdict.INCONCLUSIVE, Reason.NOT_RUN
    return said(
        target, "runs", "runs to the end", "both do", verdict, reason, f"the {_called(crash.arm)}: {crash}"
    )


def not_run(policy: Policy, target: str, why: str) -> list[Check]:
    """Every check of the policy, as not run, and why, in words. target: its name."""
    return [_not_run(target, name, row, why) for name, row in policy.rows.items()]


def _not_run(target: str, name: str, threshold: Threshold, why: str) -> Check:
    check = said(
        target,
        name,
        threshold.what.title,
        threshold.text,
        Verdict.INCONCLUSIVE,
        Reason.NOT_RUN,
        f"not measured: {why}",
    )
    return check.but(metric=threshold.metric, severity=threshold.severity)


def said(target: str, name: str, title: str, limit: str, verdict: Verdict, reason: Reason, why: str) -> Check:
    """A check that is no figure's. target: its name; name, title, limit, verdict, reason: of the check; why: in words, which end its sentence."""
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
