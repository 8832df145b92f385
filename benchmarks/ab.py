"""What an A/B test's sequence comes to when it is looked at after every key: false winners of versions that are the same, and how soon an effect is found.

    python benchmarks/ab.py                                  # reports/ops/ab.json, minutes
    python benchmarks/ab.py --trials 10000 --to reports/ops/ab.json

Metrics of a key are normal, 0 or 1 (rare and even), exponential and lognormal with a long tail; keys are divided in halves, and nine to one. A trial is a
test of 3,000 keys; it has a false winner where any of its 3,000 looks calls one version better.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecomp.operations.ab import ALPHA, PLANNED
from edgecomp.stats.always_valid import FEWEST, radius, variance_of

DRAWS: dict[str, Callable[[np.random.Generator, int], "np.ndarray"]] = {
    "normal": lambda random, count: random.normal(size=count),
    "0 or 1, rare (5 %)": lambda random, count: (random.random(count) < 0.05).astype(float),
    "0 or 1, even": lambda random, count: (random.random(count) < 0.5).astype(float),
    "exponential": lambda random, count: random.exponential(size=count),
    "lognormal, σ 1.5": lambda random, count: random.lognormal(0, 1.5, count),
}
KEYS = 3000


def looks(values: "np.ndarray", ours: "np.ndarray", planned: float) -> tuple["np.ndarray", "np.ndarray"]:
    """The difference and half a width after every key that there are enough for."""
    of = []
    for mine in (~ours, ours):
        count, total, squares = (np.cumsum(one) for one in (mine, values * mine, values**2 * mine))
        of.append(
            (count, total / np.maximum(count, 1), np.maximum(0, squares - total**2 / np.maximum(count, 1)))
        )
    seen = (of[0][0] >= FEWEST) & (of[1][0] >= FEWEST)
    (n, base, one), (m, candidate, other) = ((side[seen] for side in arm) for arm in of)
    return candidate - base, radius(variance_of(n, m, one, other), ALPHA, planned)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("reports/ops/ab.json"))
    asked = parser.parse_args()
    random = np.random.default_rng(asked.seed)
    rows = []
    for share in (0.5, 0.1):
        for name, draw in DRAWS.items():
            spread = float(draw(random, 200_000).std())
            margin = 0.2 * spread  # that the test is made for
            wrong = 0
            for _ in range(asked.trials):
                gap, half = looks(draw(random, KEYS), random.random(KEYS) < share, (margin / PLANNED) ** 2)
                wrong += bool((np.abs(gap) > half).any())
            found: list[int] = []
            powered = max(1, asked.trials // 20)
            for _ in range(powered):
                ours = random.random(KEYS) < share
                gap, half = looks(draw(random, KEYS) + margin * ours, ours, (margin / PLANNED) ** 2)
                if (gap > half).any():
                    found.append(KEYS - len(gap) + int(np.argmax(gap > half)) + 1)
            rows.append({"metric": name, "candidate_share": share, "trials": asked.trials, "false_winners": wrong, "effect": "0.2 standard deviations",
                         "effect_trials": powered, "found": len(found), "keys_median": float(np.median(found)) if found else None})  # fmt: skip
            print(rows[-1], flush=True)
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    asked.to.write_text(
        json.dumps(
            {"alpha": ALPHA, "keys": KEYS, "seed": asked.seed, "rows": rows}, indent=1, ensure_ascii=False
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
