"""The command line: arguments → one call → exit code. No logic, and no heavy import before it is needed."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from edgecomp import __version__
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.leaving import TERMINATED, Terminated, end, end_when_terminated, ended, leave
from edgecomp.machine import is_idle
from edgecomp.safe_text import lines
from edgecomp.scratch import take_a_folder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil and quantise a model for a device, measure it there, and decide whether it may ship.",
    epilog="Exit codes: 0 PASS, 1 FAIL, 2 bad request, 3 INCONCLUSIVE, 4 INVALID, 70 internal error, 130 interrupted, "
    "143 terminated.",
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on standard output.")]
STORE = Path("runs") / "history.sqlite"
Store = Annotated[
    Path,
    typer.Option(metavar="FILE", envvar="EDGECOMP_HISTORY", help="The history that results are appended to."),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/RECIPE]")] = None,
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
    from edgecomp import pipeline
    from edgecomp.artifacts import RunFolder
    from edgecomp.console import Screen
    from edgecomp.job import load_job, on_this_machine
    from edgecomp.made import Run, fingerprinted
    from edgecomp.shown import show_plan, show_run

    screen = Screen(json=as_json)
    job = on_this_machine(load_job(recipe, [*(overrides or []), *(["quick=true"] if quick else [])]))
    pipeline.check_machine(job)
    for note in pipeline.notes(job):
        screen.note(note)
    job = fingerprinted(job)
    folder = RunFolder(out or Path("runs") / (job.recipe.name + ("-quick" if job.recipe.quick else "")))
    folder.admit(job.recipe.name)
    steps = pipeline.steps(Run(job, folder.path, screen.track))
    if plan:
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
    _stage("distill", folder)


@app.command()
def export(folder: Folder, debug: Debug = False) -> None:
    """Export a run folder's models again, and what is deployed of them."""
    _stage("export", folder)


@app.command()
def bench(
    context: typer.Context,
    what: Annotated[Path, typer.Argument(metavar="DIR|MODEL", help="A run folder, or a model file.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="A device profile; may be given again.")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Examples by input name, .npz or .parquet, instead of made-up ones."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario", "-s", help="multi-stream, server, dynamic-batching, sustained or stress, as well."
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time by layer and by stack, in a run apart.")
    ] = False,
    restarts: Annotated[
        int, typer.Option(min=1, help="Processes, one after another; six and more bound a figure at 95 %.")
    ] = 7,
    max_time: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="For single stream and offline.")
    ] = 60.0,
    minutes: Annotated[float, typer.Option(min=0.01, help="Of a sustained or a stress run.")] = 10.0,
    clients: Annotated[int, typer.Option(min=1, help="Of a stress run, at most.")] = 4,
    out: Annotated[
        Path | None, typer.Option(help="A new folder.  [default: runs/bench/MODEL-TARGET/TIME]")
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model file, whoever made it, on a target; or a run folder's models again."""
    if what.is_dir() and not (target or inputs or scenario or profile):
        of_files = ("restarts", "max_time", "minutes", "clients", "out", "store")
        sources = {name: context.get_parameter_source(name) for name in of_files}
        given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
        if given:
            raise UsageError(f"--{', --'.join(given).replace('_', '-')}: without -t, --inputs, -s or --profile the bench of {what} is made "
                             "again as its recipe says: leave that out, change the recipe's `bench`, or name a --target to measure "
                             "what was deployed, apart")  # fmt: skip
        _stage("bench", what, as_json)
        return
    from edgecomp.bench.standalone import Asked
    from edgecomp.benching import bench_files

    asked = Asked(
        tuple(scenario or ()),
        restarts=restarts,
        max_time_s=max_time,
        minutes=minutes,
        clients=clients,
        profile=profile,
    )
    raise typer.Exit(bench_files(what, target or [], asked, inputs, out, as_json, store))


@app.command()
def compare(
    baseline: Annotated[
        Path,
        typer.Argument(
            metavar="BASE", help="What is in use: a model file, a run folder, or a deployed folder."
        ),
    ],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="What would replace it.")],
    target: Annotated[str, typer.Option("--target", "-t", help="The device profile that both run under.")],
    policy: Annotated[
        str | None,
        typer.Option(help="Its limits.  [default: release with labelled examples, no-slower without]"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FILE",
            help="Examples, .npz or .parquet: the inputs by name, `label`, `slice`.",
        ),
    ] = None,
    max_time: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="It ends sooner where the answer is clear.")
    ] = 120.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order in which the two take turns.")] = 0,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A record of `edgecomp selftest`, to stand beside the verdict."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML as well.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write OpenMetrics text as well.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder.  [default: runs/compare/CANDIDATE-TARGET/TIME]")
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decide whether a candidate may replace a baseline: both are run again, side by side; the exit code is the verdict's."""
    from edgecomp.compare.command import Asked, compare_and_record
    from edgecomp.console import Screen
    from edgecomp.shown import show_comparison

    asked = Asked(
        baseline, candidate, target, policy, data, max_time, seed, certificate, junit, metrics, out, store
    )
    screen = Screen(json=as_json)
    raise typer.Exit(show_comparison(*compare_and_record(asked, screen), screen, as_json))


@app.command()
def selftest(
    target: Annotated[str, typer.Option("--target", "-t", help="The device profile to gate on.")],
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="A model file.  [default: a small network]")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long; the last gate is finished.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of turns.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The record.  [default: runs/selftest/TARGET-TIME.json]"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find out what this machine can gate: the same model, and really slowed ones, compared over and over."""
    from edgecomp.compare.selftest import selftest
    from edgecomp.console import Screen
    from edgecomp.shown import show_selftest

    screen = Screen(json=as_json)
    record, file = selftest(target, model=model, minutes=minutes, seed=seed, out=out, screen=screen)
    show_selftest(record, file, screen, as_json)


@app.command()
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
    from edgecomp.console import Screen
    from edgecomp.shown import show_history

    show_history(store, target, last, metric, plot, Screen(json=as_json), as_json)


@app.command()
def gate(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Judge a run folder's measurements again, and write its report; the exit code is the verdict's."""
    _stage("gate", folder, as_json)


@app.command()
def report(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Write a run folder's report again; the exit code is the verdict's."""
    _stage("report", folder, as_json)


@app.command()
def targets(as_json: Json = False, debug: Debug = False) -> None:
    """List the device profiles and their budgets."""
    from edgecomp.console import Screen
    from edgecomp.shown import show_targets

    show_targets(Screen(json=as_json), as_json)


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what this machine can run, measure and enforce."""
    from edgecomp.console import Screen
    from edgecomp.doctor import examine
    from edgecomp.shown import show_findings

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


def _stage(stage: str, path: Path, as_json: bool = False) -> None:
    from edgecomp import pipeline
    from edgecomp.artifacts import RunFolder
    from edgecomp.console import Screen, say
    from edgecomp.job import read_job
    from edgecomp.made import Run
    from edgecomp.shown import show_run

    screen = Screen(json=as_json)
    job = read_job(path)
    folder = RunFolder(path)
    folder.admit(job.recipe.name)
    steps = pipeline.steps(Run(job, folder.path, screen.track))
    with folder.locked():
        pipeline.execute_stage(job, folder, steps, stage, screen.started)
        if stage in ("gate", "report"):
            raise typer.Exit(show_run(job, folder, screen, as_json))
    screen.err.print(f"Done. `edgecomp run` or the next stage continues in {path}.")
    if as_json:
        made = [step.name for step in steps if step.stage == stage]
        say({"verdict": None, "exit_code": 0, "artifacts": {name: str(path / name) for name in made}})


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
    except EdgecompError as error:
        if debug:
            traceback.print_exc()
        leave(str(error), error.exit_code)
    except OSError as error:  # of no step and no file that knows what it is for
        if debug:
            traceback.print_exc()
        leave(
            ended(
                f"{error.filename or 'a file, or standard output'}: {error.strerror or error} (--debug shows where)"
            ),
            70,
        )
    except Exception as error:  # noqa: BLE001 - anyone else's is an internal error, and said as one
        if isinstance(error, typer.TyperException):
            from typer.rich_utils import rich_format_error

            error.message = lines(error.message)
            rich_format_error(error)  # type: ignore[arg-type]
            leave("", 2)
        if debug:
            traceback.print_exc()
        leave(ended(f"internal error: {type(error).__name__}: {error} (--debug shows where)"), 70)
    if code == 130:
        leave(ended("interrupted"), 130)
    end(code if isinstance(code, int) else 0)
