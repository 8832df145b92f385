"""The commands of a run: `run`, `search`, `quantize` and `report`, and `pack` and `verify`, of its evidence."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgecomp.cli.options import STORE, Debug, Folder, Json, Store, recipe_names, target_names
from edgecomp.errors import UsageError

RECIPES = (
    "cifar10, diabetes, digits, early-exit, fairness, lifelong, lines, log-stream, long-tail, multi-teacher, multilabel, recommend, segmentation, self-distillation, sst2, "
    "staged, tabular"
)


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help=f"A recipe file, a shipped recipe ({RECIPES}), or a run folder.", autocompletion=recipe_names
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/RECIPE")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say which steps would run, and why.")] = False,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help="Make one step of a run folder again: distill, export, bench, gate …"
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help="Only up to that step, where it must be made; a run goes on from there."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Rehearse: fewer examples, epochs and restarts, in runs/RECIPE-quick."),
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a recipe from data to verdict; steps that are up to date are not run again."""
    from edgecomp import api
    from edgecomp.cli.results import show_plan, show_run
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    if plan:
        planned = api.plan(recipe, overrides or [], out=out, quick=quick, listener=screen)
        show_plan(planned, screen, as_json)
        return
    result = api.run(
        recipe, overrides or [], out=out, quick=quick, only=only, until=until, history=store, listener=screen
    )
    raise typer.Exit(show_run(result, screen, as_json))


def search(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe file, or a shipped recipe.", autocompletion=recipe_names),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe, in Hydra's grammar."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help="Whose budget is to be kept; may be given again.",
            autocompletion=target_names,
            show_default="the recipe's",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Candidates, at most.", show_default="search.trials, 40")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--time", metavar="MINUTES", min=0, help="After which no further candidate is begun."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A Ray cluster, whose machines train candidates."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The search's folder.", show_default="runs/search/RECIPE")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find the student that keeps a target's budget with the best score; what is over it is measured, and not trained."""
    from edgecomp.api.shrink.search import search as of_api
    from edgecomp.cli.shown import show_search
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    result = of_api(
        recipe,
        overrides or [],
        targets=target or (),
        trials=trials,
        minutes=minutes,
        ray=ray,
        out=out,
        listener=screen,
    )
    show_search(result, screen, as_json)


def quantize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An ONNX file in float, a .pt2, a Hugging Face folder, or a factory module:function.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            metavar="INPUTS",
            help="Its inputs: .npz or a table, by name; images in a folder; texts, one a line. Labels are not needed.",
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help="A device profile; may be given again.",
            autocompletion=target_names,
            show_default="onnxruntime-cpu and openvino-cpu",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--labels", "--label", metavar="COLUMN", help="The array or column of labels, for --max-drop."
        ),
    ] = None,
    max_drop: Annotated[str | None, typer.Option(help="Of accuracy, such as '0.5 pt'.")] = None,
    min_agreement: Annotated[
        str | None, typer.Option(help="Of answers with the model's own.", show_default="99.5 %")
    ] = None,
    max_error: Annotated[
        str | None, typer.Option(help="Of outputs that are no classes.", show_default="1 %")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of a table's texts or images, or a pattern of those of numbers, where several could be.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Of texts.", show_default="a Hugging Face model's own"),
    ] = None,
    length: Annotated[
        int | None, typer.Option(min=4, help="Of texts, in tokens, at most.", show_default="128")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=8, help="Of images, pixels a side.", show_default="the model's")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B",
            help="What is subtracted from pixels of 0 to 1.",
            show_default="a Hugging Face model's own",
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="What divides them then.", show_default="likewise")
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="An axis, or an input of one number, of an ONNX file that is always so; may be given again.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--time",
            metavar="MINUTES",
            min=0,
            help="Of trying: training is as long as that leaves. What is found is measured after it.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder.", show_default="runs/quantize/MODEL")
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Quantise a model without labels or training code, and judge whether it is still the same function."""
    from edgecomp.api.quantize import TARGETS
    from edgecomp.api.quantize import quantize as of_api
    from edgecomp.cli.results import show_run
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    result = of_api(
        model, data, targets=target or TARGETS, label=label, column=column, tokenizer=tokenizer, length=length, size=size,
        mean=_numbers(mean, "--mean"), std=_numbers(std, "--std"), fixed=_fixed(fixed or ()), max_drop=max_drop, min_agreement=min_agreement, max_error=max_error,
        minutes=minutes, out=out, history=store, listener=screen,
    )  # fmt: skip
    raise typer.Exit(show_run(result, screen, as_json))


def _fixed(given: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in given:
        name, _, number = one.rpartition("=")
        if not name or not number.isdecimal() or not int(number):
            raise UsageError(
                f"--fixed {one!r}: write a name and a whole number above nothing, --fixed length=128"
            )
        if found.setdefault(name, int(number)) != int(number):
            raise UsageError(f"--fixed {one!r}: {name} is {found[name]} before: say it once")
    return found


def _numbers(text: str | None, option: str) -> list[float] | None:
    try:
        return None if text is None else [float(one) for one in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is not numbers with commas between them: write {option} 0.485,0.456,0.406, or one for all"
        ) from error


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="A run folder, several, or a folder of runs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page of several runs side by side.",
            show_default="side-by-side.html",
        ),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page as PDF as well (extra pdf)."),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="Add the run to an MLflow store as well, a folder or a tracking URI (extra mlflow).",
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="With --mlflow: what is deployed becomes a version of RECIPE.TARGET, alias candidate, and champion where it may ship.",
        ),
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a run folder's report again; or a page of several runs side by side, or of all that a folder holds.

    The exit code of one run is its verdict's; of several it is 0, for nothing is judged.
    """
    from edgecomp import api
    from edgecomp.api.load import index, is_run, side_by_side
    from edgecomp.cli.results import show_page, show_run
    from edgecomp.cli.terminal import Screen
    from edgecomp.report.page.mlflow_run import log_run
    from edgecomp.report.page.pdf import write_pdf

    first, *others = folders
    if out is not None and not others:
        raise UsageError(
            "--out is of several runs side by side: a run's report stays in its folder, and an index in that of its runs"
        )
    is_one = not others and (is_run(first) or not first.is_dir())
    if mlflow is not None and not is_one:
        raise UsageError("--mlflow is of one run: name its folder")
    if register and mlflow is None:
        raise UsageError("--register is of an MLflow store: name it with --mlflow")
    screen, code = Screen(json=as_json), 0
    if not is_one:
        page = (
            side_by_side(folders, out or Path("side-by-side.html"), listener=screen)
            if others
            else index(first, listener=screen)
        )
        show_page(page, screen, as_json)
    else:
        result = api.run(first, only="report", history=store, listener=screen)
        page, code = result.report, show_run(result, screen, as_json)
        if mlflow is not None:
            key = log_run(result.job, result.document, page.parent, mlflow, register=register)
            screen.note(f"MLflow run {key} in {mlflow}")
    if pdf is not None:
        write_pdf(page, pdf)
    raise typer.Exit(code)


def again(step: str, folder: Path, as_json: bool) -> None:
    """One step of the run folder `folder`, made again: `step`. as_json: whether the last line of standard
    output is JSON. Ends with the verdict's exit code."""
    from edgecomp import api
    from edgecomp.cli.results import show_run
    from edgecomp.cli.terminal import Screen

    screen = Screen(json=as_json)
    raise typer.Exit(show_run(api.run(folder, only=step, listener=screen), screen, as_json))


def deprecated(step: str) -> Callable[[Path, bool, bool], None]:
    """The command `edgecomp STEP DIR`, for the step `step`, which is `edgecomp run DIR --only STEP` now."""

    def command(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
        from edgecomp.config.renamed import Deprecated

        said = f"`edgecomp {step} {folder}` is deprecated: write `edgecomp run {folder} --only {step}`; it is gone from 0.3.0 on"
        warnings.warn(said, Deprecated, stacklevel=2)
        again(step, folder, as_json)

    return command


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
