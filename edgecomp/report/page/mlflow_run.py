"""A run in an MLflow store (extra `mlflow`): its verdict, figures and recipe as a run there, and the report as artefacts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgecomp.config.job import Job
from edgecomp.errors import RuntimeUnavailableError, UsageError
from edgecomp.gate.document import VerdictDocument

LONGEST = 500
"""Characters of a setting that is kept: MLflow takes 6,000, and nobody reads so many."""


def log_run(job: Job, verdict: VerdictDocument, report: Path, store: str) -> str:
    """Adds a run to the MLflow `store`, in the experiment of the recipe's name. Returns its id there.

    job: what was asked for, whose settings are parameters; verdict: whose figures are metrics, `TARGET/ARM/METRIC`, with their bounds as
    `….low` and `….high`; report: the folder, which is kept as artefacts; store: a tracking URI, or a folder, in which a database is
    made. Nothing is sent anywhere but there. Raises RuntimeUnavailableError where MLflow is not installed, UsageError where the store
    cannot be used.
    """
    try:
        from mlflow import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"MLflow cannot be imported ({error}): pip install 'edgecomp[mlflow]'"
        ) from error
    try:
        client = MlflowClient(tracking_uri=_uri(store))
        found = client.get_experiment_by_name(job.recipe.name)
        artefacts = (Path(store).resolve() / "artefacts").as_uri() if "://" not in store else None
        experiment = (
            found.experiment_id
            if found is not None
            else client.create_experiment(job.recipe.name, artifact_location=artefacts)
        )
        run = client.create_run(experiment, tags=_tags(verdict)).info.run_id
        for name, value in parameters(job.recipe.model_dump(mode="json")):
            client.log_param(run, _key(name), value[:LONGEST])
        for name, number in metrics(verdict):
            client.log_metric(run, _key(name), number)
        client.log_artifacts(run, str(report), "report")
        client.set_terminated(run)
    except (MlflowException, OSError) as error:
        raise UsageError(f"the MLflow store {store} cannot be used: {error}") from error
    return str(run)


def _uri(store: str) -> str:
    if "://" in store:
        return store
    folder = Path(store).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def _tags(verdict: VerdictDocument) -> dict[str, str]:
    return {
        "edgecomp.verdict": str(verdict.verdict),
        "edgecomp.exit_code": str(verdict.exit_code),
        "edgecomp.policy": verdict.policy.name,
        "edgecomp.policy_sha256": verdict.policy.sha256,
    }


def metrics(verdict: VerdictDocument) -> Iterator[tuple[str, float]]:
    """Every figure of `verdict` and its bounds, in the base unit of its dimension, and whether each check passes."""
    for target, arms in verdict.figures.items():
        for arm, figures in arms.items():
            for metric, figure in figures.items():
                for end, value in (("", figure.estimate), (".low", figure.low), (".high", figure.high)):
                    if value is not None:
                        yield f"{target}/{arm}/{metric}{end}", value
    for check in verdict.checks:
        yield f"{check.target}/check/{check.name}.passes", float(check.verdict == "PASS")


def parameters(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its place, `distill.epochs`, as text. settings: of a recipe; before: the place of what is looked into."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from parameters(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)


def _key(name: str) -> str:
    """A name that MLflow takes: letters, digits and a few signs, 250 at most."""
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "_" for letter in name)[:250]
