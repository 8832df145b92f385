"""The commands that take a model: `bench`, `compare`, `encrypt`; and `history`, what they found before."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from edgecomp.cli.options import STORE, Debug, Json, Ranges, Shapes, Store, Trust, policy_names, target_names
from edgecomp.cli.runs import again
from edgecomp.cli.served import LatencyMargin, Log, LowerIsBetter, Margin, VersionShares, judge_log
from edgecomp.errors import EdgecompError, UsageError


def bench(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="DIR|MODEL|URL",
            help="A run folder, a deployed one, a model file, or a model behind a server, http:// or grpc://HOST/v2/models/NAME.",
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", help="A device profile; may be given again.", autocompletion=target_names
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Examples by input name, .npz or .parquet, instead of made-up ones; lines of text, .txt.",
        ),
    ] = None,
    shape: Shapes = None,
    range_: Ranges = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            "-s",
            help="multi-stream, server, dynamic-batching, stream, sustained or stress, as well.",
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
    clients: Annotated[int, typer.Option(min=1, max=1024, help="Of a stress run, at most.")] = 4,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1, help="Lines a second that arrive in a stream.", show_default="half of what it can"
        ),
    ] = None,
    trust: Trust = None,
    out: Annotated[Path | None, typer.Option(help="A new folder.", show_default="under runs/bench")] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model file, whoever made it, on a target; or a run folder's models again."""
    from edgecomp.runtimes.endpoints import is_url
    from edgecomp.runtimes.formats import CONTRACT

    what = Path(model)
    if (
        not is_url(model)
        and what.is_dir()
        and not ((what / CONTRACT).is_file() or target or inputs or scenario or profile or shape or range_)
    ):
        of_files = ("restarts", "max_time", "minutes", "clients", "rate", "trust", "out", "store")
        sources = {name: context.get_parameter_source(name) for name in of_files}
        given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
        if given:
            raise UsageError(f"--{', --'.join(given).replace('_', '-')}: without -t, --inputs, -s or --profile the bench of {what} is made "
                             "again as its recipe says: leave that out, change the recipe's `bench`, or name a --target to measure "
                             "what was deployed, apart")  # fmt: skip
        from edgecomp.config.job import read_job

        if (score := read_job(what).recipe.score) is not None:
            raise UsageError(f"{what}: its recipe names a score function, {score}, and `bench` imports nothing that a folder names: "
                             f"`edgecomp run {what} --only bench` measures again with it")  # fmt: skip
        again("bench", what, as_json)
        return
    from edgecomp.api import bench as api
    from edgecomp.api.results import Benched
    from edgecomp.benchmark.scenarios.further import Options
    from edgecomp.cli.results import show_bench, show_benched
    from edgecomp.cli.terminal import Screen

    options = Options(
        tuple(scenario or ()),
        restarts=restarts,
        max_time_s=max_time,
        minutes=minutes,
        clients=clients,
        profile=profile,
        trust=tuple(map(str, trust or ())),
        shape=tuple(shape or ()),
        range=tuple(range_ or ()),
        rate=rate,
    )
    screen = Screen(json=as_json)
    done: list[Benched] = []
    errors: dict[str, EdgecompError] = {}
    with TemporaryDirectory(prefix="edgecomp-bench-") as scratch:
        what = api.path_of(model, Path(scratch))
        jobs = api.jobs_of(what, target or [])
        for one in api.each(what, jobs, options, inputs, out, store, screen):
            if isinstance(one, dict):
                errors |= one
            else:
                done.append(one)
                show_benched(one, screen)
    raise typer.Exit(show_bench(api.in_order(done, jobs), errors | api.failures(done), screen, as_json))


def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            metavar="BASE",
            help="What is in use: a model file, a run folder, a deployed folder, the URL of a model behind a server; with --log a version's name.",
        ),
    ],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="What would replace it.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="The device profile that both run under, of `edgecomp list targets`, or a file.",
            autocompletion=target_names,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="A policy file, or a shipped one.",
            autocompletion=policy_names,
            show_default="release with labelled examples, same-outputs with others, no-slower without",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FILE",
            help="Examples, .npz or .parquet: the inputs by name, `label`, `slice`; of language models a table of texts.",
        ),
    ] = None,
    key_samples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Inputs whose answers must hold: each `label`, or without that column the baseline's.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The output that is judged.",
            show_default="the first with a value a class for each example",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What labels and outputs mean: regression, multilabel, …; OUTPUT=TASK,… of several outputs.",
            show_default="as the run says, else classification",
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Your own `(outputs, labels) -> [N]`, of a module or FILE.py, the higher the better.",
        ),
    ] = None,
    shape: Shapes = None,
    range_: Ranges = None,
    max_time: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="It ends sooner where the answer is clear.")
    ] = 120.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order in which the two take turns.")] = 0,
    trust: Trust = None,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A record of `edgecomp selftest`, to stand beside the verdict."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML as well.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write OpenMetrics text as well.")
    ] = None,
    log: Log = None,
    margin: Margin = "1 pt",
    latency_margin: LatencyMargin = "10 %",
    lower_is_better: LowerIsBetter = False,
    share: VersionShares = None,
    out: Annotated[Path | None, typer.Option(help="A new folder.", show_default="under runs/compare")] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decide whether a candidate may replace a baseline: both are run again, side by side; the exit code is the verdict's."""
    from edgecomp.api.compare import compare
    from edgecomp.cli.results import show_comparison
    from edgecomp.cli.terminal import Screen
    from edgecomp.runtimes import endpoints

    screen = Screen(json=as_json)
    if log is not None:
        raise typer.Exit(
            judge_log(
                log,
                baseline,
                candidate,
                margin,
                latency_margin,
                lower_is_better,
                share,
                out,
                screen,
                as_json,
            )
        )
    if target is None and endpoints.is_url(baseline) and endpoints.is_url(candidate):
        target = "kserve"
    if target is None:
        raise typer.BadParameter(
            "name the device profile that both run under: --target, of `edgecomp list targets`"
        )
    result = compare(
        baseline, candidate, target,
        policy=policy, data=data, key_samples=key_samples, output=output, task=task, score=score, shape=shape or (), range=range_ or (), max_time_s=max_time, seed=seed,
        trust=trust or (), certificate=certificate, junit=junit, metrics=metrics, out=out, history=store, listener=screen,
    )  # fmt: skip
    raise typer.Exit(show_comparison(result, screen, as_json))


def encrypted(
    deployed: Annotated[
        Path,
        typer.Argument(metavar="DEPLOYED", help="A folder that a run deployed: runs/NAME/deploy/TARGET."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Encrypt the model of a deployed folder at rest, with the key in EDGECOMP_KEY or in the file that EDGECOMP_KEY_FILE names."""
    from edgecomp.cli.terminal import Screen, say
    from edgecomp.package.encryption import encrypt

    folder = encrypt(deployed, out)
    Screen(json=as_json).out.print(
        f"{folder}: the model is encrypted; infer.py, bench and compare open it with the same key.",
        soft_wrap=True,
    )
    if as_json:
        say({"exit_code": 0, "folder": str(folder)})


def history(
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="Of one target only.", autocompletion=target_names),
    ] = None,
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
    from edgecomp.cli.shown import show_history
    from edgecomp.cli.terminal import Screen

    show_history(store, target, last, metric, plot, Screen(json=as_json), as_json)
