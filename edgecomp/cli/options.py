"""What several commands share: their options, and what a shell completes."""

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
    """A command's epilog: what to type, the `lines`, a line each."""
    return "\n\n".join(("Examples:", *lines))


def recipe_names(incomplete: str) -> list[str]:
    """Of shipped recipes, those that begin with what is `incomplete`, for the shell's completion."""
    return _names("recipes", incomplete)


def target_names(incomplete: str) -> list[str]:
    """Of shipped targets, those that begin with what is `incomplete`, for the shell's completion."""
    return _names("targets", incomplete)


def policy_names(incomplete: str) -> list[str]:
    """Of shipped policies, those that begin with what is `incomplete`, for the shell's completion."""
    return _names("targets", incomplete, "policies")


def _names(kind: str, incomplete: str, *folder: str) -> list[str]:
    from edgecomp.config.schema import names_in, shipped

    return [name for name in names_in(shipped(kind).joinpath(*folder)) if name.startswith(incomplete)]
