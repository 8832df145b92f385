"""What others run, from Python: Airflow, DVC, Flower; and a release in use: a hot update, an A/B test judged from its log, and drift of data."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edgecomp.api.results import Judged
from edgecomp.errors import DataError, UsageError
from edgecomp.files.scratch import replacing
from edgecomp.operations import airflow, dvc
from edgecomp.operations.ab import Asked
from edgecomp.operations.ab import judge_log as _judged
from edgecomp.operations.update import Asked as AskedOfUpdate
from edgecomp.operations.update import update as _updated
from edgecomp.progress import Silent

if TYPE_CHECKING:
    from edgecomp.operations.drift import Drift


@dataclass(frozen=True)
class ServedResult(Judged):
    """The verdict on an A/B test, or on an update."""

    @property
    def report(self) -> Path:
        return self.folder / "verdict.json"


def judge_log(
    log: Path | str,
    baseline: str,
    candidates: Sequence[str] = (),
    *,
    margin: str = "1 pt",
    latency_margin: str = "10 %",
    lower_is_better: bool = False,
    shares: Mapping[str, float] | None = None,
    out: Path | str | None = None,
) -> ServedResult:
    """Judges an A/B test from the log of what was served; it may be asked at any time, as often as you like.

    log: a .parquet or .csv table, a row a request, with the columns `key`, `version`, `metric` and, where its guard is wanted, `latency_ms`. baseline,
    candidates: versions; all others where no candidate is named. margin: what a candidate may be worse by, `0.01 score` in the metric's unit, or `1
    pt` of one between 0 and 1. latency_margin: likewise, over the baseline's. lower_is_better: of the metric. shares: of the keys by version, equal
    where none are given. out: a new folder. Raises DataError, UsageError.
    """
    asked = Asked(
        Path(log),
        baseline,
        tuple(candidates),
        margin,
        latency_margin,
        lower_is_better,
        dict(shares or {}),
        None if out is None else Path(out),
    )
    document, folder = _judged(asked)
    return ServedResult(folder, document)


def airflow_dag(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | str | None = None,
    quick: bool = False,
    schedule: str | None = None,
    to: Path | str,
) -> list[str]:
    """Writes an Airflow DAG of a recipe, a task a step, each of which takes up where a killed one stopped; returns the tasks' steps.

    recipe, overrides, out, quick: as `edgecomp.run` takes them, and as every task does, from the current folder. schedule: `@weekly`, or as cron has it;
    None for by hand. to: the file, a .py, in Airflow's folder of DAGs. Raises RecipeError, UsageError.
    """
    from edgecomp.api.run import step_names

    file = Path(to)
    if file.suffix != ".py":
        raise UsageError(f"--out {file}: a DAG is a file of Python's: name a .py")
    folder, steps = step_names(recipe, overrides, out=out, quick=quick)
    words = [sys.executable, "-m", *_run(recipe, overrides, folder, quick)]
    with replacing(file) as temporary:
        temporary.write_text(airflow.dag(file.stem, words, steps, Path.cwd(), schedule), encoding="utf-8")
    return steps


def dvc_stage(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | str | None = None,
    quick: bool = False,
    to: Path | str = "dvc.yaml",
) -> str:
    """Writes a recipe as a stage of DVC's pipeline into a dvc.yaml, beside the stages that are there; returns its name.

    `dvc repro` runs it where the recipe, its data, or what its networks are made of has changed; `dvc metrics diff` and `dvc params diff` compare it with
    another commit's. recipe, overrides, out, quick: as `edgecomp.run` takes them, from the folder of the dvc.yaml. to: the file. Raises DataError,
    RecipeError, UsageError.
    """
    from edgecomp.api.run import prepared
    from edgecomp.data.sources.paths import find
    from edgecomp.files.packages import PACKAGE
    from edgecomp.files.yaml_files import read_yaml
    from edgecomp.pipeline.fingerprints import files_outside
    from edgecomp.pipeline.loaders import wanted

    file = Path(to)
    if file.name != "dvc.yaml":
        raise UsageError(
            f"--out {file}: DVC reads stages from a file that is called dvc.yaml: name a folder's"
        )
    job, folder, _ = prepared(recipe, overrides, out, quick, Silent())
    own, here, beside, data = Path(recipe), file.absolute().parent, Path(job.folder), wanted(job.recipe)
    place = find(data, beside) if data.path and not data.path.startswith(PACKAGE) else None  # nor is a hub's
    needed = [] if place is None else [place]
    for files in files_outside(job.recipe, beside).values():
        needed += [
            one for one in files if one.absolute().is_relative_to(here)
        ]  # what is installed is not DVC's
    content = read_yaml(file) if file.is_file() else {}
    content = dvc.with_stage(
        content,
        job.recipe.name,
        _run(recipe, overrides, folder.path, quick),
        recipe=own if own.is_file() else None,
        needed=needed,
        run=folder.path,
        here=here,
    )
    with replacing(file) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return job.recipe.name


@dataclass(frozen=True)
class Federation:
    """folder: the Flower app; examples: that are answered; sigma: the noise on each count, in votes, and kept: how probable it is that it leaves a class
    that all clients chose the first; both None where probabilities are averaged."""

    folder: Path
    examples: int
    epsilon: float | None = None
    sigma: float | None = None
    kept: float | None = None


def flower_app(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    clients: int,
    epsilon: float | None = None,
    delta: float = 1e-5,
    wait_s: float = 600.0,
    to: Path | str = "federation",
) -> Federation:
    """Writes a Flower app in which clients, who keep their data to themselves, answer the examples of a recipe; those answers can teach its student.

    recipe, overrides: as `edgecomp.run` takes them; its data are the public examples, all of the training split and of a validation split of their own.
    clients: how many answer. epsilon, delta: what the answers of all examples together may tell of any client, then votes are counted under noise; without
    epsilon their probabilities are averaged, and nothing is promised. wait_s: for the clients to be there. to: a new folder, which gets
    `answers.npz` when Flower has run it: a recipe's `teachers.others.NAME.soft_labels`. Raises DataError, UsageError, RuntimeUnavailableError.
    """
    from edgecomp.config.job import load_job
    from edgecomp.data import sources
    from edgecomp.operations.federation import privacy, writing
    from edgecomp.pipeline.loaders import wanted
    from edgecomp.tasks import DEFAULT

    folder, job = Path(to), load_job(str(recipe), list(overrides))
    if folder.exists():
        raise UsageError(
            f"{folder} is there already, and nothing is written over: name another folder with --out"
        )
    if clients < 2:
        raise UsageError(f"--clients {clients}: two at least, or the one's own answers are what is handed on")
    if job.recipe.meant != DEFAULT:
        raise UsageError(f"{recipe} is of task {job.recipe.meant}: clients vote on classes, task {DEFAULT}")
    source = sources.read(wanted(job.recipe), Path(job.folder))
    asked = {split: source.splits[split] for split in ("train", "validation") if split in source.splits}
    public = {
        name: array for split, one in asked.items() for name, array in _public(split, one.values).items()
    }
    splits: dict[str, int] = {split: len(one.labels) for split, one in asked.items()}
    total, classes = sum(splits.values()), source.classes
    kept = None if epsilon is None else privacy.calibrated(epsilon, delta, total)
    writing.write(
        folder,
        public,
        name=job.recipe.name,
        classes=classes,
        splits=splits,
        clients=clients,
        privacy=kept,
        wait_s=wait_s,
    )
    if kept is None:
        return Federation(folder, total)
    sure = privacy.kept_when_unanimous(clients, len(classes), kept.sigma)
    return Federation(folder, total, kept.epsilon, kept.sigma, sure)


def _public(split: str, values: Any) -> dict[str, Any]:
    """Examples of a split as the app keeps them, by name. Raises DataError where texts have personal data."""
    import numpy as np

    from edgecomp.data.personal.pseudonyms import count, told

    if isinstance(values, dict):
        return {f"{split}/input/{name}": array for name, array in values.items()}
    if not isinstance(values, list):
        return {f"{split}/values": values}
    if found := count(values):
        raise DataError(
            f"what looks like personal data is among the public examples ({told(found)}), and would be sent to every client: replace it first, "
            "edgecomp data clean DATA --personal-data replace"
        )
    return {f"{split}/texts": np.asarray(values, str)}


def _run(recipe: str | Path, overrides: Sequence[str], folder: Path, quick: bool) -> list[str]:
    """The words of a command that makes a run in `folder`."""
    return ["edgecomp", "run", str(recipe), *overrides, "--out", str(folder), *(["--quick"] if quick else [])]


def update(
    deployed: Path | str,
    url: str,
    repository: Path | str,
    key_samples: Path | str,
    *,
    within_s: float = 120.0,
    out: Path | str | None = None,
) -> ServedResult:
    """Has a running server serve a new version of a model once key samples hold, and leaves the old one in use where they do not.

    deployed: the folder of the new version. url: of the model, `http://HOST/v2/models/NAME` or `grpc://…`. repository: the server's model repository, as
    this machine sees it. key_samples: a .npz or .parquet file of inputs whose answers must hold: each `label`, or without that the answers of the version
    in use. within_s: for the server to load a version. out: a new folder for the verdict, PASS where the new version serves. Raises UsageError,
    DataError, and DeviceError where there is no such server.
    """
    asked = AskedOfUpdate(
        Path(deployed), Path(repository), url, Path(key_samples), None if out is None else Path(out), within_s
    )
    document, folder = _updated(asked)
    return ServedResult(folder, document)


def drift(
    reference: Path | str,
    current: Path | str,
    *,
    columns: Sequence[str] = (),
    limit: float = 0.2,
    metrics: Path | str | None = None,
) -> "Drift":
    """Holds the columns of two tables against each other: the population stability index of each with its bounds, and the verdict.

    reference, current: .parquet or .csv tables. columns: all that both have where none is named. limit: of the index. metrics: a file that gets the
    same as Prometheus text. Raises DataError, UsageError.
    """
    from edgecomp.operations.drift import drift

    found = drift(Path(reference), Path(current), columns=columns, limit=limit)
    if metrics is not None:
        with replacing(Path(metrics)) as temporary:
            temporary.write_text(found.as_prometheus(), encoding="utf-8")
    return found
