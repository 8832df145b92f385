"""The command line: arguments → one call → exit code. No logic, and no heavy import before it is needed."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from edgecomp import __version__
from edgecomp.cli.exit import TERMINATED, end, end_when_terminated, ended, leave, why
from edgecomp.cli.models import bench, compare
from edgecomp.cli.options import STORE, Debug, Folder, Json, Store, examples, run_stage
from edgecomp.errors import Terminated
from edgecomp.files.scratch import take_a_folder
from edgecomp.machine import is_idle
from edgecomp.text import lines

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil and quantise a model for a device, measure it there, and decide whether it may ship.",
    epilog="Exit codes: 0 PASS, 1 FAIL, 2 bad request, 3 INCONCLUSIVE, 4 INVALID, 70 internal error, 130 interrupted, "
    "143 terminated.",
)


RECIPES = "cifar10, digits, sst2"


@app.command(
    epilog=examples(
        "edgecomp run digits",
        "edgecomp run my.yaml --plan student.arguments.width=8",
        "edgecomp run my.yaml --quick",
        "edgecomp run my.yaml targets=\\[openvino-cpu] thresholds.latency_p50_ms.max='5 ms'",
    )
)
def run(
    recipe: Annotated[str, typer.Argument(help=f"A recipe file, or a shipped recipe: {RECIPES}.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/RECIPE")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say which stages would run, and why.")] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Rehearse: fewer examples, epochs and restarts, in runs/RECIPE-quick."),
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a recipe from data to verdict; stages that are up to date are not run again."""
    from edgecomp.artifacts.run_folder import RunFolder
    from edgecomp.cli.results import show_plan, show_run
    from edgecomp.cli.terminal import Screen
    from edgecomp.config.job import load_job, on_this_machine
    from edgecomp.pipeline import steps as pipeline
    from edgecomp.pipeline.loaders import Run, fingerprinted

    screen = Screen(json=as_json)
    job = on_this_machine(load_job(recipe, [*(overrides or []), *(["quick=true"] if quick else [])]))
    pipeline.check_machine(job, screen.note)
    job = fingerprinted(job)
    folder = RunFolder(out or Path("runs") / (job.recipe.name + ("-quick" if job.recipe.quick else "")))
    folder.admit(job.recipe.name)
    asked = Run(job, folder.path, screen.track, screen.note)
    steps = pipeline.steps(asked)
    if plan:
        pipeline.try_out(asked, folder, steps)
        show_plan(list(pipeline.plan(folder, steps)), len(steps), folder.path, screen, as_json)
        return
    with folder.locked():
        pipeline.save_job(job, folder)
        ran = pipeline.execute(job, folder, steps, screen.started)
        if not ran:
            screen.say(f"nothing to do: all {len(steps)} steps are up to date")
        raise typer.Exit(show_run(job, folder, screen, as_json, store if ran else None))


@app.command()
def distill(folder: Folder, debug: Debug = False) -> None:
    """Train the student of a run folder again."""
    run_stage("distill", folder)


@app.command()
def export(folder: Folder, debug: Debug = False) -> None:
    """Export a run folder's models again, and what is deployed of them."""
    run_stage("export", folder)


app.command(
    epilog=examples(
        "edgecomp bench model.onnx -t onnxruntime-cpu",
        "edgecomp bench model.onnx -t onnxruntime-cpu --inputs examples.npz -s server --json",
        "edgecomp bench runs/digits",
    )
)(bench)
app.command(
    epilog=examples(
        "edgecomp compare in-use.onnx new.onnx -t onnxruntime-cpu",
        "edgecomp compare in-use.onnx new.onnx -t onnxruntime-cpu -d examples.parquet --junit junit.xml",
        "edgecomp compare runs/last-release runs/digits -t openvino-cpu",
    )
)(compare)


@app.command(epilog=examples("edgecomp selftest -t onnxruntime-cpu --minutes 10"))
def selftest(
    target: Annotated[str, typer.Option("--target", "-t", help="The device profile to gate on.")],
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
    from edgecomp.compare.selftest import selftest

    screen = Screen(json=as_json)
    record, file = selftest(target, model=model, minutes=minutes, seed=seed, out=out, screen=screen)
    show_selftest(record, file, screen, as_json)


@app.command(
    epilog=examples(
        "edgecomp history -t onnxruntime-cpu --last 20",
        "edgecomp history --metric cpu_p50_ms --plot trend.svg",
    )
)
def history(
    target: Annotated[str | None, typer.Option("--target", "-t", help="Of one target only.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="What to show; may be given again.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="The newest so many.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the trend as well.")] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List what runs, benches and comparisons found before, and what has drifted since."""
    from edgecomp.cli.results import show_history
    from edgecomp.cli.terminal import Screen

    show_history(store, target, last, metric, plot, Screen(json=as_json), as_json)


@app.command()
def gate(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Judge a run folder's measurements again, and write its report; the exit code is the verdict's."""
    run_stage("gate", folder, as_json)


@app.command()
def report(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Write a run folder's report again; the exit code is the verdict's."""
    run_stage("report", folder, as_json)


@app.command()
def targets(as_json: Json = False, debug: Debug = False) -> None:
    """List the device profiles and their budgets."""
    from edgecomp.cli.results import show_targets
    from edgecomp.cli.terminal import Screen

    show_targets(Screen(json=as_json), as_json)


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what this machine can run, measure and enforce."""
    from edgecomp.api.doctor import examine
    from edgecomp.cli.results import show_findings
    from edgecomp.cli.terminal import Screen

    show_findings(examine(), Screen(json=as_json), as_json)


@app.command()
def prepare_emulator(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="aarch64 (Arm) or x86_64.")],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where to, instead of $EDGECOMP_MACHINE or the user's cache folder."
        ),
    ] = None,
    apt_sources: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="apt sources of that machine, where this system's own hold none."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Fetch the Python and the runtimes of another machine, so that targets with its CPU are executed here."""
    from edgecomp.bench.hosts.emulators import environment, variable
    from edgecomp.bench.hosts.userland import prepare

    folder = (to or environment(machine)).absolute()
    prepare(machine, folder, apt_sources=apt_sources, say=typer.echo)
    typer.echo(f"{folder} is ready.")
    if folder != environment(machine):
        typer.echo(f"For targets to find it: export {variable(machine)}={folder}")


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"edgecomp {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point: our errors in one message, anyone else's as an internal error; a traceback before it if asked for."""
    debug = "--debug" in sys.argv
    # A thread that spins while it waits takes the time that the thread it waits for needs, beside a busy neighbour or a second
    # training. Alone, spinning is faster (benchmarks/waiting_threads.py). GNU OpenMP reads this when PyTorch is imported.
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ |= {"GOMP_SPINCOUNT": "5000"} if is_idle() else {"OMP_WAIT_POLICY": "PASSIVE"}
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # notes about itself; what matters raises
    end_when_terminated()
    take_a_folder()
    try:
        code = app(standalone_mode=False)
    except Terminated:
        leave(ended("terminated"), TERMINATED)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except typer.TyperException as error:
        from typer.rich_utils import rich_format_error

        error.message = lines(error.message)
        rich_format_error(error)  # type: ignore[arg-type]  # its own copy of click
        leave("", 2)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is said in one sentence
        if debug:
            traceback.print_exc()
        leave(*why(error))
    if code == 130:
        leave(ended("interrupted"), 130)
    end(code if isinstance(code, int) else 0)
