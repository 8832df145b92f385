"""A federation as a Flower app in a folder: public examples, settings, and the code of both sides."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import write_json
from edgecomp.operations.federation.privacy import Privacy

COPIED = ("client.py", "server.py", "voting.py")
PROJECT = """# Written by `edgecomp workflow flower`. Run it where the SuperLink runs: flwr run {folder} CONNECTION
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = {name}
version = "1.0.0"
description = "Clients answer public examples; what they answer teaches a student."
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "edgecomp"

[tool.flwr.app.components]
serverapp = "federation.server:app"
clientapp = "federation.client:app"

[tool.flwr.app.config]
folder = {folder}
wait-s = {wait_s}
"""


def write(
    to: Path,
    public: Mapping[str, npt.NDArray[Any]],
    *,
    name: str,
    classes: tuple[str, ...],
    splits: Mapping[str, int],
    clients: int,
    privacy: Privacy | None,
    wait_s: float,
) -> None:
    """Writes the app into `to`, a new folder, whole or not at all.

    public: examples as `server.packed` takes them; name: of the app; classes: in order; splits: how many examples each has; clients: how many
    answer; privacy: what their answers keep, None where their probabilities are averaged; wait_s: for them to be there. Raises EdgecompError where there is no room.
    """
    with new_folder(to, "nothing of the federation was written") as folder:
        own = folder / "federation"
        own.mkdir()
        (own / "__init__.py").write_text("", encoding="utf-8")
        for file in COPIED:
            (own / file).write_bytes((Path(__file__).parent / file).read_bytes())
        np.savez(folder / "public.npz", **public)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
        write_json(
            folder / "federation.json",
            {
                "clients": clients,
                "classes": list(classes),
                "splits": dict(splits),
                "privacy": privacy.told() if privacy else None,
            },
        )
        text = PROJECT.format(
            name=json.dumps(name), folder=json.dumps(str(to.absolute())), wait_s=float(wait_s)
        )
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
