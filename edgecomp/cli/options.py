"""What several commands share: their options, and a stage of a run folder alone."""

from pathlib import Path
from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on standard output.")]
STORE = Path("runs") / "history.sqlite"
Store = Annotated[
    Path,
    typer.Option(metavar="FILE", envvar="EDGECOMP_HISTORY", help="The history that results are appended to."),
]
Trust = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust", metavar="FILE", help="A .pt2 or .ts model that may run code; may be given again."
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="AXIS=N",
        help="Length of an axis that the file leaves free (INPUT.PLACE where it has no name), where inputs are made up.",
    ),
]
Ranges = Annotated[
    list[str] | None,
    typer.Option("--range", metavar="INPUT=LOW:HIGH", help="Of its values, where inputs are made up."),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]


def examples(*lines: str) -> str:
    """A command's epilog: what to type, a line each."""
    return "\n\n".join(("Examples:", *lines))


def run_stage(stage: str, path: Path, as_json: bool = False) -> None:
    """Runs one stage of a run folder again."""
    from edgecomp.artifacts.run_folder import RunFolder
    from edgecomp.cli.results import show_run
    from edgecomp.cli.terminal import Screen, say
    from edgecomp.config.job import read_job
    from edgecomp.pipeline import steps as pipeline
    from edgecomp.pipeline.loaders import Run

    screen = Screen(json=as_json)
    job = read_job(path)
    folder = RunFolder(path)
    folder.admit(job.recipe.name)
    steps = pipeline.steps(Run(job, folder.path, screen.track, screen.note))
    with folder.locked():
        pipeline.execute_stage(job, folder, steps, stage, screen.started)
        if stage in ("gate", "report"):
            raise typer.Exit(show_run(job, folder, screen, as_json))
    screen.err.print(f"Done. `edgecomp run` or the next stage continues in {path}.")
    if as_json:
        made = [step.name for step in steps if step.stage == stage]
        say({"verdict": None, "exit_code": 0, "artifacts": {name: str(path / name) for name in made}})
