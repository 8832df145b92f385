"""What there is to choose from: `list`; and what is written for others to go on with: `init`, a recipe for data of one's own, and `workflow`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.options import Debug, Json, examples, recipe_names

listing = typer.Typer(no_args_is_help=True, help="List what a recipe may name, with arguments and defaults.")


workflow = typer.Typer(no_args_is_help=True, help="Hand a release to what runs it: a server, a scheduler.")


@workflow.callback()
def of_workflows() -> None:
    """What others run."""


@listing.command()
def targets(as_json: Json = False, debug: Debug = False) -> None:
    """List the device profiles and their budgets."""
    from edgecomp.cli.shown import show_targets
    from edgecomp.cli.terminal import Screen

    show_targets(Screen(json=as_json), as_json)


@listing.command()
def recipes(as_json: Json = False, debug: Debug = False) -> None:
    """List the shipped recipes."""
    from edgecomp.cli.shown import show_recipes
    from edgecomp.cli.terminal import Screen

    show_recipes(Screen(json=as_json), as_json)


@listing.command()
def metrics(as_json: Json = False, debug: Debug = False) -> None:
    """List the metrics that a policy may hold to a threshold, with their units."""
    from edgecomp.cli.shown import show_metrics
    from edgecomp.cli.terminal import Screen

    show_metrics(Screen(json=as_json), as_json)


@listing.command()
def networks(as_json: Json = False, debug: Debug = False) -> None:
    """List the networks by name, with their arguments and defaults."""
    from edgecomp.cli.shown import show_networks
    from edgecomp.cli.terminal import Screen

    show_networks(Screen(json=as_json), as_json)


def init(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A folder of images, a table, or an .npz file.")
    ],
    inputs: Annotated[
        str | None, typer.Option(help="The column or array of inputs.", show_default="what can be meant")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The column or array of labels.", show_default="what can be meant")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="The recipe.", show_default="NAME.yaml here")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Look at data of your own, and write a recipe of ten lines for them."""
    from edgecomp import api
    from edgecomp.cli.terminal import Screen, say

    recipe, found = api.init(data, inputs=inputs, label=label, out=out)
    screen = Screen(json=as_json)
    screen.out.print(f"{data}: {found}.")
    for line in recipe.read_text(encoding="utf-8").splitlines():
        screen.out.print(line, soft_wrap=True)
    screen.out.print(f"Written to {recipe}. Next: edgecomp run {recipe} --quick", soft_wrap=True)
    if as_json:
        say({"exit_code": 0, "recipe": str(recipe), "found": found})


def deprecated_targets(as_json: Json = False, debug: Debug = False) -> None:
    """`edgecomp list targets`, by its old name."""
    from edgecomp.config.renamed import Deprecated

    warnings.warn(
        "`edgecomp targets` is deprecated: write `edgecomp list targets`; it is gone from 0.3.0 on",
        Deprecated,
        stacklevel=2,
    )
    targets(as_json, debug)


@workflow.command()
def airflow(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or a shipped recipe.", autocompletion=recipe_names)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.py", help="The DAG.")] = Path(
        "edgecomp_dag.py"
    ),
    run_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run folder.", show_default="runs/RECIPE")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of a rehearsal.")] = False,
    schedule: Annotated[
        str | None, typer.Option(help="@weekly, or as cron has it.", show_default="by hand")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write an Airflow DAG of a recipe: one task a step, and retries that resume."""
    from edgecomp.api.operations import airflow_dag
    from edgecomp.cli.terminal import Screen, say

    steps = airflow_dag(recipe, overrides or [], out=run_folder, quick=quick, schedule=schedule, to=out)
    Screen(json=as_json).out.print(
        f"{out}: {len(steps)} steps, a task each, and the verdict.", soft_wrap=True
    )
    if as_json:
        say({"exit_code": 0, "file": str(out), "steps": steps})


@workflow.command()
def dvc(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or a shipped recipe.", autocompletion=recipe_names)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="dvc.yaml", help="DVC's file of stages.")
    ] = Path("dvc.yaml"),
    run_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run folder.", show_default="runs/RECIPE")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of a rehearsal.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a recipe as a stage of DVC's pipeline, with its data, parameters, metrics and plots."""
    from edgecomp.api.operations import dvc_stage
    from edgecomp.cli.terminal import Screen, say

    name = dvc_stage(recipe, overrides or [], out=run_folder, quick=quick, to=out)
    Screen(json=as_json).out.print(f"{out}: stage {name}. dvc repro {name}", soft_wrap=True)
    if as_json:
        say({"exit_code": 0, "file": str(out), "stage": name})


@workflow.command(
    epilog=examples(
        "edgecomp workflow flower public.yaml --clients 3",
        "edgecomp workflow flower public.yaml --clients 200 --epsilon 8 --out federation",
        "flwr run federation here",
    )
)
def flower(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe, whose data are the public examples.", autocompletion=recipe_names),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="How many answer.")] = 2,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="What all answers together may tell of one client: votes under noise.",
            show_default="none: their mean, nothing promised",
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="The probability with which epsilon may fail.")] = 1e-5,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="For the clients.")] = 600.0,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.")] = Path(
        "federation"
    ),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a Flower app: clients answer public examples, their data stay with them, and what they answer teaches a student."""
    from edgecomp.api.operations import flower_app
    from edgecomp.cli.terminal import Screen, say

    made = flower_app(
        recipe, overrides or [], clients=clients, epsilon=epsilon, delta=delta, wait_s=wait, to=out
    )
    screen = Screen(json=as_json)
    kept = "their probabilities are averaged, and nothing is promised of what that tells of a client"
    if made.epsilon is not None:
        kept = (
            f"ε {made.epsilon:.3g} at δ {delta:g}, where one client is replaced by another: noise of {made.sigma:.4g} votes on each count, which keeps what "
            f"all {clients} choose in {100 * (made.kept or 0):.3g} %"
        )
    screen.out.print(
        f"{out}: {made.examples:,} examples, {clients} clients; {kept}. Where Flower's SuperLink runs: flwr run {out} CONNECTION",
        markup=False,
        soft_wrap=True,
    )
    if as_json:
        say({"exit_code": 0, **vars(made), "folder": str(out)})
