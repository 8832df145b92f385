"""A recipe as an Airflow DAG: one task a step, one after another, for one process at a time writes into a run folder."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from edgecomp.errors import UsageError

RETRIES = 3
TEXT = '''"""{recipe}, one task a step. Written by `edgecomp workflow airflow`; write it again where the recipe changes.

A task makes what must be made up to its step and takes up where a killed one stopped: retries resume. The last one gives the verdict, and is not tried
again: FAIL, INCONCLUSIVE and INVALID fail it.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

RUN = {run!r}
STEPS = {steps!r}
HERE = {here!r}

with DAG(
    dag_id={name!r},
    schedule={schedule!r},
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={{"retries": {retries}, "retry_delay": datetime.timedelta(minutes=1)}},
) as dag:
    tasks = [
        BashOperator(task_id=step.replace("/", "."), bash_command=f"{{RUN}} --until {{step}}", cwd=HERE, append_env=True)
        for step in STEPS
    ]
    tasks.append(BashOperator(task_id="verdict", bash_command=RUN, cwd=HERE, append_env=True, retries=0))
    for before, after in zip(tasks, tasks[1:]):
        before >> after
'''


def dag(name: str, words: Sequence[str], steps: Sequence[str], here: Path, schedule: str | None) -> str:
    """The text of a DAG.

    name: its own, of letters, digits, `.`, `_` and `-`; words: the command that makes a run; steps: of it, in order; here: the folder that it is run in;
    schedule: when, None for by hand. Raises UsageError for a name that Airflow does not take, or a word that it would read as a template.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name):
        raise UsageError(f"{name} is no name of a DAG: name the file with letters, digits, '.', '_' and '-'")
    if templates := [word for word in words if "{{" in word or "{%" in word]:
        raise UsageError(
            f"{templates[0]!r} is a template to Airflow, which would put something else there: write it into the recipe"
        )
    return TEXT.format(recipe=words[4].replace(chr(34), ""), run=shlex.join(words), steps=list(steps), here=str(here), name=name, schedule=schedule, retries=RETRIES)  # fmt: skip
