"""A recipe as a stage of DVC's pipeline: run again where what it is made of has changed, its figures compared between commits."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecomp.errors import UsageError

KEPT: Mapping[str, Any] = {"persist": True}
"""DVC deletes what a stage makes before it runs it again; a run takes up from what is there."""
SMALL: Mapping[str, Any] = {"cache": False, "persist": True}
"""What is small, and belongs into git."""


def with_stage(
    content: Mapping[str, Any],
    name: str,
    words: Sequence[str],
    *,
    recipe: Path | None,
    needed: Sequence[Path],
    run: Path,
    here: Path,
) -> dict[str, Any]:
    """What a dvc.yaml holds, with a stage more, or in place of the one of that name.

    content: what it held; words: the command that makes a run; recipe: its file, None of a shipped one; needed: the files and folders beside it that
    the run is made of; run: its folder; here: of the dvc.yaml. Raises UsageError where the recipe or the run does not lie in it.
    """
    stages = content.get("stages") or {}
    if not isinstance(stages, dict):
        raise UsageError(f"{here / 'dvc.yaml'}: its stages are no mapping of names: it is not one of DVC's")
    own: dict[str, Any] = {"cmd": shlex.join(words)}
    if deps := list(dict.fromkeys(_relative(path, here, outside=True) for path in needed)):
        own["deps"] = deps
    if recipe is not None:
        own["params"] = [{_relative(recipe, here): None}]  # all of it
    folder = _relative(run, here)
    own["outs"] = [{f"{folder}/deploy": {**KEPT}}]
    own["metrics"] = [{f"{folder}/report/metrics.json": {**SMALL}}]
    own["plots"] = [{f"{folder}/training.csv": {**SMALL, "x": "epoch", "y": "value"}}]
    return {**content, "stages": {**stages, name: own}}


def _relative(path: Path, here: Path, outside: bool = False) -> str:
    """From the folder of the dvc.yaml; outside: what does not lie there is named as it is."""
    whole = path.absolute()
    if whole.is_relative_to(here):
        return whole.relative_to(here).as_posix()
    if outside:
        return whole.as_posix()
    raise UsageError(
        f"{path} does not lie in {here}, whose dvc.yaml is to name it: write that file into a folder that holds both"
    )
