"""Of a further scenario that could not be measured, which kind of failure it is."""

from types import SimpleNamespace
from typing import Any

from edgecomp.api.bench import failures
from edgecomp.errors import BudgetExceededError, WorkerError


def test_what_goes_over_a_targets_budget_fails_and_is_no_fault_of_ours() -> None:
    content = {"failed": {"stream": "a stream takes 84 MiB", "server": "it died"}, "over_budget": ["stream"]}
    done: Any = [SimpleNamespace(target="edge", content=content)]
    found = failures(done)
    assert isinstance(found["edge, stream"], BudgetExceededError)
    assert isinstance(found["edge, server"], WorkerError)
    assert [one.exit_code for one in found.values()] == [1, 70]
