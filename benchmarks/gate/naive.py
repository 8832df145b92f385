"""How others call a candidate slower, on the same times: what the gate is compared with. times: ns of each iteration."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

Times = npt.NDArray[np.floating]
Rule = Callable[[Times, Times], bool]


def two_medians(baseline: Times, candidate: Times) -> bool:
    """One run each: the median is over 5 % higher."""
    return bool(np.median(candidate[0]) > 1.05 * np.median(baseline[0]))


def students_t(baseline: Times, candidate: Times) -> bool:
    """Welch's t on the iterations of one run each, p < .01."""
    found = stats.ttest_ind(candidate[0], baseline[0], equal_var=False, alternative="greater")
    return bool(found.pvalue < 0.01)


def mann_whitney(baseline: Times, candidate: Times) -> bool:
    """On the iterations of one run each, p < .01."""
    return bool(stats.mannwhitneyu(candidate[0], baseline[0], alternative="greater").pvalue < 0.01)


def pyperf(baseline: Times, candidate: Times) -> bool:
    """`pyperf compare_to`: Student's t on the values of all runs at 95 %, two-sided, and the mean is higher. A value is a mean of
    a tenth of a run's iterations, as pyperf's values are means of its inner loops."""
    ours, theirs = (
        np.concatenate([np.array_split(run, 10) for run in runs]).reshape(len(runs) * 10, -1).mean(axis=1)
        for runs in (_even(candidate), _even(baseline))
    )
    return bool(ours.mean() > theirs.mean() and stats.ttest_ind(ours, theirs).pvalue < 0.05)


def pytest_benchmark(baseline: Times, candidate: Times) -> bool:
    """`--benchmark-compare-fail=mean:5%`: the mean of one run each."""
    return bool(candidate[0].mean() > 1.05 * baseline[0].mean())


def _even(times: Times) -> Times:
    return times[:, : times.shape[1] // 10 * 10]


RULES: Mapping[str, Rule] = {
    "two medians, 5 %": two_medians,
    "t on iterations, p < .01": students_t,
    "Mann-Whitney, p < .01": mann_whitney,
    "pyperf compare_to": pyperf,
    "pytest-benchmark, mean 5 %": pytest_benchmark,
}
"""baseline, candidate: [runs, iterations]."""
