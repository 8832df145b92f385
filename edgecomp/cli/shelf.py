"""What there is to choose from: `list`, and `init`, which writes a recipe for data of one's own."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.options import Debug, Json

listing = typer.Typer(no_args_is_help=True, help="List what a recipe may name, with arguments and defaults.")


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
