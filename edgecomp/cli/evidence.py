"""The commands of evidence: `pack` and `verify`."""

from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.options import Debug, Folder, Json


def pack(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The pack, a .zip file.")],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY",
            help="Your private key, which signs it: PEM, an elliptic curve; its password in $EDGECOMP_KEY_PASSWORD.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a run's evidence into one file that others can verify."""
    from edgecomp import api
    from edgecomp.cli.results import show_packed
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    show_packed(api.pack(folder, out, key=key), key, screen, as_json)


def verify(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="What `edgecomp pack` has written.")],
    key: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="The signer's public key, which you did not get with the pack."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a pack: form, digests, signature, and the verdict, derived again from its raw samples."""
    from edgecomp import api
    from edgecomp.cli.results import show_verified
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    raise typer.Exit(show_verified(api.verify(file, key=key), key, screen, as_json))
