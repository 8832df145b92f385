"""A release in use: `prepare server`, `compare --log` of an A/B test; and what is asked of data: `data drift`, `clean`, `label`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecomp.cli.options import Debug, Json, examples, recipe_names
from edgecomp.cli.shelf import workflow

if TYPE_CHECKING:
    from edgecomp.cli.terminal import Screen

AB = "An A/B test's log"
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="TABLE",
        help="An A/B test's log, .parquet or .csv: `key`, `version`, `metric`, `latency_ms` a request. BASE and CANDIDATE are then versions.",
        rich_help_panel=AB,
    ),
]
Margin = Annotated[
    str, typer.Option(help="What a version may be worse by: '1 pt', '0.01 score'.", rich_help_panel=AB)
]
LatencyMargin = Annotated[
    str, typer.Option(help="What its latency may be over the baseline's.", rich_help_panel=AB)
]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="Of the metric.", rich_help_panel=AB)]
VersionShares = Annotated[
    list[str] | None,
    typer.Option(
        "--share",
        metavar="VERSION=N",
        help="Its share of the keys; may be given again.",
        show_default="equal",
        rich_help_panel=AB,
    ),
]

data = typer.Typer(no_args_is_help=True, help="Look at data.")


@data.callback()
def of_data() -> None:
    """What is asked of data alone."""


def judge_log(
    log: Path,
    baseline: str,
    candidates: str,
    margin: str,
    latency_margin: str,
    lower_is_better: bool,
    share: list[str] | None,
    out: Path | None,
    screen: "Screen",
    as_json: bool,
) -> int:
    """The verdict on an A/B test on `screen`, and where `as_json` as a line of JSON; returns the exit code. log, margin, latency_margin,
    lower_is_better, out: as in `edgecomp.judge_log`; baseline, candidates: versions, several candidates with commas between; share: VERSION=N."""
    from edgecomp.api.operations import judge_log
    from edgecomp.cli.results import show_judged
    from edgecomp.errors import UsageError

    shares = {}
    for one in share or ():
        name, _, number = one.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            raise UsageError(f"--share {one}: write VERSION=N, such as v2=0.1") from None
    result = judge_log(
        log, baseline, candidates.split(","), margin=margin, latency_margin=latency_margin, lower_is_better=lower_is_better,
        shares=shares, out=out,
    )  # fmt: skip
    return show_judged(result, f"{candidates} against {baseline}", screen, as_json)


@data.command()
def drift(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="What the model was made for: .parquet, .csv.")
    ],
    current: Annotated[Path, typer.Argument(metavar="CURRENT", help="What it is asked now.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column; may be given again.", show_default="all that both have"),
    ] = None,
    limit: Annotated[float, typer.Option(min=0, help="Of the population stability index (PSI).")] = 0.2,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Prometheus text as well.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold what a model is asked now against what it was made for, column by column; the exit code is the verdict's."""
    from edgecomp.api.operations import drift
    from edgecomp.cli.shown import show_drift
    from edgecomp.cli.terminal import Screen

    found = drift(reference, current, columns=column or (), limit=limit, metrics=metrics)
    raise typer.Exit(show_drift(found, Screen(json=as_json), as_json))


@data.command(
    epilog=examples(
        "edgecomp data clean reviews.csv",
        "edgecomp data clean reviews.csv --rule label-error=remove --personal-data replace -o reviews-clean",
        "edgecomp data clean reviews.csv --findings looked-through.csv -o reviews-clean",
    )
)
def clean(
    of: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A folder of images, a table, an .npz file, or a recipe (.yaml)."
        ),
    ],
    inputs: Annotated[
        str | None, typer.Option(help="The column or array of inputs.", show_default="what can be meant")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The column or array of labels.", show_default="what can be meant")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE=ACTION",
            help="remove, report or off; may be given again.",
            show_default="each rule's own",
        ),
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.999, help="Likeness from which two are near.", show_default="0.8"),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="That texts should be in, such as en; may be given again.",
            show_default="not judged",
        ),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .npz of a teacher's answers to the training data.")
    ] = None,
    findings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table of findings that you have looked through: it decides."),
    ] = None,
    personal_data: Annotated[
        str | None,
        typer.Option(
            metavar="ACTION", help="In texts: ignore, report, replace or refuse.", show_default="ignore"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.", show_default="NAME-clean"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Look for what should not be learnt from; write a table of it, and a copy without it. The data stay as they are."""
    from edgecomp.api.data.clean import clean
    from edgecomp.cli.shown import show_clean
    from edgecomp.cli.terminal import Screen
    from edgecomp.errors import UsageError, nearest

    rules = {}
    for one in rule or ():
        name, sign, action = one.partition("=")
        if not sign:
            raise UsageError(f"--rule {one}: write RULE=ACTION, such as label-error=remove")
        rules[name] = action
    known = ("ignore", "report", "replace", "refuse")
    if personal_data not in (None, *known):
        raise UsageError(
            f"--personal-data {personal_data}: one of {', '.join(known)}{nearest(str(personal_data), known)}"
        )
    screen = Screen(json=as_json)
    found = clean(
        of, inputs=inputs, label=label, rules=rules, near=near, languages=language, answers=answers, findings=findings,
        personal_data=personal_data, out=out, listener=screen,  # type: ignore[arg-type]  # looked at above
    )  # fmt: skip
    show_clean(found, screen, as_json)


def server(
    deployed: Annotated[
        Path,
        typer.Argument(metavar="DEPLOYED", help="A folder that a run deployed: runs/NAME/deploy/TARGET."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="REPOSITORY", help="The model repository, new or there.")
    ],
    kind: Annotated[
        str, typer.Option("--server", help="triton, or openvino: OpenVINO Model Server.")
    ] = "triton",
    backend: Annotated[
        str | None,
        typer.Option(
            help="Triton's: onnxruntime, openvino, or python, which takes raw inputs.",
            show_default="the runtime's own",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model.", show_default="the run's")] = None,
    version: Annotated[int, typer.Option(min=1, help="Its number.")] = 1,
    bench: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A bench of DEPLOYED, from which instances, batching and warm-up follow.",
            show_default="one instance, no batching",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write what was deployed into the model repository of Triton, or of OpenVINO Model Server."""
    from edgecomp.cli.terminal import Screen, say
    from edgecomp.package.serving.folder import serving_folder

    made = serving_folder(
        deployed, out, server=kind, backend=backend, name=name, version=version, bench=bench
    )
    Screen(json=as_json).out.print(f"{made}: written for {kind}.", soft_wrap=True)
    if as_json:
        say({"exit_code": 0, "folder": str(made), "server": kind})


@workflow.command()
def update(
    deployed: Annotated[
        Path, typer.Argument(metavar="DEPLOYED", help="The new version, as a run deployed it.")
    ],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Of the model in use: http:// or grpc://HOST/v2/models/NAME.")
    ],
    repository: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The server's model repository, as this machine sees it.")
    ],
    key_samples: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Inputs whose answers must hold: each `label`, or without that the answers of the version in use.",
        ),
    ],
    within: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="For the server to load a version.")
    ] = 120.0,
    out: Annotated[Path | None, typer.Option(help="A new folder.", show_default="under runs/update")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Have a running server serve a new version once key samples hold; else the old one stays, and the exit code is 1."""
    from edgecomp.api.operations import update
    from edgecomp.cli.results import show_judged
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    result = update(deployed, url, repository, key_samples, within_s=within, out=out)
    raise typer.Exit(show_judged(result, url, screen, as_json))


@data.command(
    epilog=examples(
        "edgecomp data label digits --workers 4",
        "edgecomp data label my.yaml --workers 8 --top 32 --out runs/mine",
        "edgecomp data label my.yaml --ray 10.0.0.1:6379",
    )
)
def label(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe file, a shipped recipe, or a run folder.", autocompletion=recipe_names),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes, each with one thread.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A Ray cluster, whose machines make the shards."),
    ] = None,
    top: Annotated[
        int,
        typer.Option(
            min=0, help="Logits of an example that are kept, where classes are many.", show_default="all"
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/RECIPE")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Rehearse, as `edgecomp run --quick` does.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a teacher's soft labels in shards, by several processes; `edgecomp run` goes on from them."""
    from edgecomp.api.data.label import label
    from edgecomp.cli.terminal import Screen, say

    screen = Screen(json=as_json)
    found = label(
        recipe, overrides or [], workers=workers, top=top, ray=ray, out=out, quick=quick, listener=screen
    )
    if as_json:
        told = {"rows": found.rows, "views": found.views, "store": str(found.store), "made": list(found.made)}
        say({**told, "exit_code": 0})
        return
    where = f"{found.rows:,} rows, {found.views} views: {found.store}"
    screen.out.print(f"{where}. `edgecomp run` goes on from there.", markup=False)
