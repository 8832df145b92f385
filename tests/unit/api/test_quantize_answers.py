"""A way to quantise, asked before anything is timed: where nobody can be asked, no training would tell more."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgecomp.api.quantizing import answers
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.gate.verdict import Reason
from edgecomp.progress import Silent


@pytest.mark.parametrize("reasons", [[Reason.NOT_RUN] * 2, [Reason.NOT_RUN, Reason.OVER_LIMIT]])
def test_only_where_no_target_can_be_asked_it_ends(
    reasons: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [SimpleNamespace(reason=reason, sentence="the board is away.") for reason in reasons]
    steps = [SimpleNamespace(stage=stage) for stage in ("export", "export", "bench", "report")]
    ran: list[Any] = []
    place = SimpleNamespace(locked=nullcontext, path=Path("run"))
    monkeypatch.setattr(
        answers, "prepared", lambda *_: (SimpleNamespace(targets=[0, 1], schemes=["x"]), place, steps)
    )
    monkeypatch.setattr(answers.execution, "save_job", lambda *_: None)
    monkeypatch.setattr(answers.execution, "execute", lambda _, __, some, ___: ran.extend(some))
    monkeypatch.setattr(answers, "_asked", lambda _, target, __: [found[target]])
    if reasons[1] is Reason.NOT_RUN:
        with pytest.raises(RuntimeUnavailableError, match="the board is away"):
            answers.made_and_asked(Path("r.yaml"), (), Path("run"), "top_agreement_pct", Silent())
    else:
        assert answers.made_and_asked(Path("r.yaml"), (), Path("run"), "m", Silent())[0] == found
    assert ran == steps[:2]  # and nothing that is measured
