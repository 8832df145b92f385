"""What goes to a device of a language model: the folder that its runtime loads, a script that generates text with it, prompts to try, and the contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecomp.files.writing import sha256, write_json
from edgecomp.machine import installed
from edgecomp.package.deploy import SCRIPT
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.formats import CONTRACT


def write_language_folder(
    *, folder: Path, runtime: str, options: dict[str, Any], threads: int, prompts: Sequence[str], context: int
) -> None:
    """Writes the script, the prompts and the contract into `folder`, in which the model is. runtime, options, threads: with which it is measured, and the script runs it;
    prompts: texts to try it with; context: tokens of the texts that it learnt, at most."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    (folder / "sample.txt").write_text(
        "\n".join(one.replace("\n", "\\n") for one in prompts) + "\n", encoding="utf-8"
    )
    environment = Environment(
        loader=PackageLoader("edgecomp.package", ""),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    script = environment.get_template("generate.py.j2").render(
        runtime=runtime, threads=threads, options=options
    )
    (folder / SCRIPT).write_text(script, encoding="utf-8")
    contract = {
        "format": 1,
        "runtime": runtime,
        "options": options,
        "threads": threads,
        "versions": {TABLE[runtime].distribution: installed(TABLE[runtime].distribution)},
        "inputs": [
            {"name": "text", "shape": [], "dtype": "string", "preprocessing": "the tokenizer in this folder"}
        ],
        "outputs": [{"name": "text", "shape": [], "dtype": "string"}],
        "task": "causal-lm",
        "context_tokens": context,
        "files": {name: sha256(folder / name) for name in names},
    }
    write_json(folder / CONTRACT, contract)
