"""A run in an MLflow store (extra `mlflow`): its verdict, figures and recipe as a run there, and the report as artefacts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgecomp.config.job import Job
from edgecomp.errors import RuntimeUnavailableError, UsageError
from edgecomp.gate.document import VerdictDocument

LONGEST = 500
"""Characters of a setting that is kept: MLflow takes 6,000, and nobody reads so many."""


def log_run(job: Job, verdict: VerdictDocument, report: Path, store: str, *, register: bool = False) -> str:
    """Adds a run to the MLflow `store`, in the experiment of the recipe's name. Returns its id there.

    job: what was asked for, whose settings are parameters; verdict: whose figures are metrics, `TARGET/ARM/METRIC`, with their bounds as
    `….low` and `….high`; report: the folder, which is kept as artefacts; store: a tracking URI, or a folder, in which a database is
    made; register: what is deployed for each target becomes a version of the model `RECIPE.TARGET` in the store's registry, with the alias
    `candidate`, and where the release may ship (exit code 0) `champion` as well. Nothing is sent anywhere but there. Raises RuntimeUnavailableError where MLflow is not installed, UsageError where the store
    cannot be used.
    """
    try:
        from mlflow import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"MLflow cannot be imported ({error}): pip install 'edgecomp[mlflow]'"
        ) from error
    deployed = {target.name: report.parent / "deploy" / target.name for target in job.targets if register}
    if missing := [folder for folder in deployed.values() if not folder.is_dir()]:
        raise UsageError(f"{missing[0]} is not there, and there is nothing to register: run it again")
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
        for target, folder in deployed.items():
            _register(client, run, job.recipe.name, target, folder, verdict)
        client.set_terminated(run)
    except (MlflowException, OSError) as error:
        raise UsageError(f"the MLflow store {store} cannot be used: {error}") from error
    return str(run)


def _register(
    client: Any, run: str, recipe: str, target: str, deployed: Path, verdict: VerdictDocument
) -> None:
    """What is deployed for a target as a version of its model. client: of MLflow's registry."""
    name, place = f"{recipe}.{target}", f"deploy/{target}"
    client.log_artifacts(run, str(deployed), place)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=f"{recipe} for {target}, as edgecomp deployed it")
    source = f"{client.get_run(run).info.artifact_uri}/{place}"
    version = client.create_model_version(name, source, run, tags=_tags(verdict)).version
    client.set_registered_model_alias(name, "candidate", version)
    if verdict.exit_code == 0:
        client.set_registered_model_alias(name, "champion", version)


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
