"""The command line: arguments → one call → exit code. No logic, and no heavy import before it is needed."""

import os
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from edgecomp import __version__
from edgecomp.cli import examine, models, runs, served, shelf
from edgecomp.cli.exit import end, end_when_terminated, ended, leave, why
from edgecomp.cli.options import examples
from edgecomp.errors import Terminated
from edgecomp.exit_codes import INTERRUPTED, TERMINATED, USAGE
from edgecomp.files.scratch import take_a_folder
from edgecomp.machine import is_idle
from edgecomp.text import lines

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil and quantise a model for a device, measure it there, and decide whether it may ship.",
    epilog="Exit codes: 0 PASS, 1 FAIL, 2 bad request, 3 INCONCLUSIVE, 4 INVALID, 70 internal error, 130 interrupted, "
    "143 terminated.",
)

app.command(
    epilog=examples(
        "edgecomp run digits",
        "edgecomp run my.yaml --plan student.arguments.width=8",
        "edgecomp run my.yaml --quick",
        "edgecomp run my.yaml targets=\\[openvino-cpu] thresholds.latency_p50_ms.max='5 ms'",
        "edgecomp run runs/digits --only gate",
    )
)(runs.run)
app.command(
    epilog=examples(
        "edgecomp search digits -t onnxruntime-cpu thresholds.latency_p50_ms.max='0.1 ms'",
        "edgecomp search my.yaml --trials 20 --time 60",
    )
)(runs.search)
app.command(
    epilog=examples(
        "edgecomp quantize model.onnx --data inputs.npz",
        "edgecomp quantize model.onnx -d inputs.npz -t openvino-cpu --label y --max-drop '0.5 pt'",
    )
)(runs.quantize)
app.command(
    epilog=examples(
        "edgecomp bench model.onnx -t onnxruntime-cpu",
        "edgecomp bench model.onnx -t onnxruntime-cpu --inputs examples.npz -s server --json",
        "edgecomp bench runs/digits",
    )
)(models.bench)
app.command(
    epilog=examples(
        "edgecomp compare in-use.onnx new.onnx -t onnxruntime-cpu",
        "edgecomp compare in-use.onnx new.onnx -t onnxruntime-cpu -d examples.parquet --junit junit.xml",
        "edgecomp compare runs/last-release runs/digits -t openvino-cpu",
        "edgecomp compare v1 v2 --log served.parquet --margin '1 pt'",
    )
)(models.compare)
app.command(
    epilog=examples(
        "edgecomp report runs/digits", "edgecomp report runs/digits runs/warm", "edgecomp report runs"
    )
)(runs.report)
app.command(epilog=examples("edgecomp pack runs/digits -o digits.zip --key signer.key"))(runs.pack)
app.command(epilog=examples("edgecomp verify digits.zip --key signer.pub"))(runs.verify)
app.command(
    epilog=examples(
        "edgecomp history -t onnxruntime-cpu --last 20",
        "edgecomp history --metric cpu_p50_ms --plot trend.svg",
    )
)(models.history)
app.command(epilog=examples("edgecomp init pictures/", "edgecomp init customers.csv --label left"))(
    shelf.init
)
app.command()(examine.doctor)
app.command(epilog=examples("edgecomp selftest -t onnxruntime-cpu --minutes 10"))(examine.selftest)
app.add_typer(shelf.listing, name="list")
examine.prepare.command(
    epilog=examples(
        "edgecomp prepare server runs/digits/deploy/openvino-cpu -o models",
        "edgecomp prepare server runs/digits/deploy/onnxruntime-cpu -o models --backend python --version 2",
    )
)(served.server)
examine.prepare.command(
    epilog=examples(
        "EDGECOMP_KEY_FILE=release.key edgecomp prepare encrypted runs/digits/deploy/openvino-cpu -o to-ship"
    )
)(models.encrypted)
app.add_typer(examine.prepare, name="prepare")
app.add_typer(served.data, name="data")
app.add_typer(shelf.workflow, name="workflow")

# Their old names, which work until 0.3.0 and say so.
for name in ("distill", "export", "gate"):
    app.command(name, hidden=True)(runs.deprecated(name))
app.command("targets", hidden=True)(shelf.deprecated_targets)
app.command("prepare-emulator", hidden=True)(examine.deprecated_prepare_emulator)


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
    warnings.showwarning = _warned
    end_when_terminated()
    take_a_folder()
    try:
        code = app(standalone_mode=False)
    except Terminated:
        leave(ended("terminated"), TERMINATED)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except typer.TyperException as error:
        from typer.rich_utils import rich_format_error

        error.message = lines(error.message)
        rich_format_error(error)  # type: ignore[arg-type]  # its own copy of click
        leave("", USAGE)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is said in one sentence
        if debug:
            traceback.print_exc()
        leave(*why(error))
    if code == INTERRUPTED:
        leave(ended("interrupted"), INTERRUPTED)
    end(code if isinstance(code, int) else 0)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    """Our own warnings in one sentence; anyone else's as Python writes them."""
    ours = category.__module__.startswith("edgecomp.")
    said = (
        f"edgecomp: {lines(str(message))}\n"
        if ours
        else warnings.formatwarning(message, category, filename, lineno)
    )
    sys.stderr.write(said)
