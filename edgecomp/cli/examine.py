"""This machine: `doctor`, `selftest`, and `prepare`, which fetches what another machine's CPU takes to be executed here."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.options import Debug, Json, target_names

prepare = typer.Typer(
    no_args_is_help=True, help="Prepare what another machine takes: a device, a server, an encrypted model."
)

Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="aarch64 (Arm) or x86_64.")]
To = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where to, instead of $EDGECOMP_MACHINE or the user's cache folder."),
]
AptSources = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="apt sources of that machine, where this system's own hold none."),
]


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what this machine can run, measure and enforce."""
    from edgecomp.api.doctor import examine
    from edgecomp.cli.shown import show_findings
    from edgecomp.cli.terminal import Screen

    show_findings(examine(), Screen(json=as_json), as_json)


def selftest(
    target: Annotated[
        str,
        typer.Option("--target", "-t", help="The device profile to gate on.", autocompletion=target_names),
    ],
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="A model file.", show_default="a small network")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long; the last gate is finished.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of turns.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The record.", show_default="under runs/selftest"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find out what this machine can gate: the same model, and really slowed ones, compared over and over."""
    from edgecomp.cli.results import show_selftest
    from edgecomp.cli.terminal import Screen
    from edgecomp.comparison.selftest import selftest

    screen = Screen(json=as_json)
    record, file = selftest(target, model=model, minutes=minutes, seed=seed, out=out, listener=screen)
    show_selftest(record, file, screen, as_json)


@prepare.command()
def device(
    host: Annotated[str, typer.Argument(metavar="HOST", help="As ssh names it: pi@kitchen.")],
    target: Annotated[
        str,
        typer.Option("--target", "-t", help="Whose runtime is installed there.", autocompletion=target_names),
    ] = "onnxruntime-cpu",
    debug: Debug = False,
) -> None:
    """Install numpy and a runtime on a device, in an environment of their own, for targets with `host: HOST`."""
    from edgecomp.benchmark.hosts.provision import prepare
    from edgecomp.config.target import load_target

    prepare(host, load_target(target).runtime, typer.echo)


@prepare.command()
def emulator(machine: Machine, to: To = None, apt_sources: AptSources = None, debug: Debug = False) -> None:
    """Fetch the Python and the runtimes of another machine, so that targets with its CPU are executed here."""
    from edgecomp.benchmark.hosts.emulators import environment, variable
    from edgecomp.benchmark.hosts.userland import prepare

    folder = (to or environment(machine)).absolute()
    prepare(machine, folder, apt_sources=apt_sources, say=typer.echo)
    typer.echo(f"{folder} is ready.")
    if folder != environment(machine):
        typer.echo(f"For targets to find it: export {variable(machine)}={folder}")


def deprecated_prepare_emulator(
    machine: Machine, to: To = None, apt_sources: AptSources = None, debug: Debug = False
) -> None:
    """`edgecomp prepare emulator`, by its old name."""
    from edgecomp.config.renamed import Deprecated

    said = "`edgecomp prepare-emulator` is deprecated: write `edgecomp prepare emulator`; it is gone from 0.3.0 on"
    warnings.warn(said, Deprecated, stacklevel=2)
    emulator(machine, to, apt_sources, debug)
