"""Which of a policy's checks can be judged of a task, and of each of several outputs."""

from collections.abc import Mapping

from edgecomp.config.policy import Threshold
from edgecomp.errors import nearest
from edgecomp.metrics.registry import METRICS
from edgecomp.tasks import TASKS, Meant


def for_task(rows: Mapping[str, Threshold], task: str) -> dict[str, Threshold]:
    """The checks among `rows`, by name, that the answers of `task` can be judged by. Where one of a
    classifier's score is left out, the task's own score is held to the same limit: R² of a regression to
    the margin of macro F1."""
    headline, found = TASKS[task].headline, {}
    for name, row in rows.items():
        metric = METRICS[row.metric]
        if metric.is_of(task):
            found[name] = row
        elif (
            metric.source == "answers" and metric.relative and metric.dimension == METRICS[headline].dimension
        ):
            found.setdefault(headline, row.model_copy(update={"metric": headline}))
    return found


def for_meant(rows: Mapping[str, Threshold], meant: Meant) -> dict[str, Threshold]:
    """The checks among `rows`, by name, that the answers can be judged by which are so `meant`. Of several outputs each has those of its
    task, `CHECK[OUTPUT]`, but where a check names its output and says as much of it; what is of all that a file computes stays as it is, and so
    does what a comparison asks of outputs as numbers, whatever they mean."""
    if isinstance(meant, str):
        return for_task(rows, meant)
    own = {_way(row, row.output) for row in rows.values() if row.output is not None}
    found = {
        name: row
        for name, row in rows.items()
        if row.output is not None or row.what.source == "outputs" or not row.what.is_of_an_output
    }
    shared = {name: row for name, row in rows.items() if name not in found}
    for output in sorted(meant):
        for name, row in for_task(shared, meant[output]["task"]).items():
            if _way(row, output) not in own:
                found[f"{name}[{output}]"] = row.model_copy(update={"output": output})
    return found


def _way(row: Threshold, output: str | None) -> tuple[object, ...]:
    return row.metric, row.against, row.kind, output


def unlike_outputs(rows: Mapping[str, Threshold], meant: Meant) -> list[str]:
    """What is wrong with checks among `rows`, by name, that name an output, where outputs are so `meant`."""
    known = {} if isinstance(meant, str) else meant
    problems = []
    for name, row in rows.items():
        tasks = row.what.tasks
        if row.output is None or row.needs_baseline:
            continue
        if row.output not in known:
            there = (
                f"{nearest(row.output, known)}; there are {', '.join(sorted(known))}"
                if known
                else ": there is one"
            )
            problems.append(f"thresholds.{name}: no output is called {row.output!r}{there}")
        elif tasks and known[row.output]["task"] not in tasks:
            problems.append(f"thresholds.{name}: {row.metric} is of {' and '.join(tasks)}, and output {row.output!r} is of task "
                            f"{known[row.output]['task']}")  # fmt: skip
    return problems
