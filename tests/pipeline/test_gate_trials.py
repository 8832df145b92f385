"""Real gates on this machine, fifteen of them: what so few can show, and no more. `benchmarks/gate` makes hundreds."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from edgecomp.benchmark.scenarios.side_by_side import Side
from edgecomp.comparison.selftest import reference_model
from edgecomp.comparison.trial import compare, place_of
from edgecomp.config.policy import load_policy
from edgecomp.config.target import load_target
from edgecomp.gate.verdict import Verdict, combine
from edgecomp.gate.waivers import deciding
from edgecomp.stats.power import Rate

SAME, SLOWED = 9, 6
MOST_S = 40.0


@pytest.mark.slow
def test_the_same_model_is_not_called_slower_and_a_slowed_one_is(tmp_path: Path) -> None:
    target = load_target("onnxruntime-cpu")
    model, place = reference_model(target, tmp_path), place_of(target)
    found: dict[float, list[Verdict]] = {0.0: [], 0.25: []}
    for trial in range(SAME + SLOWED):
        slowdown = 0.25 if trial % 5 in (1, 3) else 0.0
        (tmp_path / str(trial)).mkdir()
        outcome = compare(
            Side(model, place),
            Side(model, replace(place, slowdown=slowdown)),
            target=target,
            policy=load_policy("no-slower"),
            today=datetime.datetime.now(datetime.UTC).date(),
            evaluation=None,
            max_time_s=MOST_S,
            seed=trial,
            scratch=tmp_path / str(trial),
            track=lambda items, *_: iter(items),
        )
        found[slowdown].append(combine(row.verdict for row in deciding(outcome.checks)))
    assert len(found[0.0]) == SAME
    alarms = Rate.of(found[0.0].count(Verdict.FAIL), SAME)
    assert alarms.lower <= 0.01, found  # fifteen gates cannot show less
    caught = Rate.of(found[0.25].count(Verdict.FAIL), SLOWED)
    assert caught.upper >= 0.95, found
    assert Verdict.PASS not in found[0.25]
