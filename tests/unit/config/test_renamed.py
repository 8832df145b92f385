from pathlib import Path

import pytest

from edgecomp.config.job import Job, load_job
from edgecomp.config.renamed import Deprecated


def test_an_override_by_an_old_name_is_taken_and_said_to_be_deprecated() -> None:
    with pytest.warns(Deprecated, match=r"beside is deprecated: write ungated_targets.*0\.3\.0"):
        job = load_job("digits", ["beside=[pytorch-cpu]"])
    assert [target.name for target in job.ungated_targets] == ["pytorch-cpu"]
    with pytest.warns(Deprecated, match="ungated_restarts"):
        assert load_job("digits", ["bench.beside_restarts=3"]).recipe.bench.ungated_restarts == 3


@pytest.mark.parametrize(
    ("base", "own", "named"),
    [
        ("beside: [pytorch-cpu]", "", ["pytorch-cpu"]),
        ("beside: [pytorch-cpu]", "ungated_targets: []", []),
        ("ungated_targets: [pytorch-cpu]", "beside: []", []),
        ("ungated_targets: [pytorch-cpu]", "beside: [torchscript-cpu]", ["torchscript-cpu"]),
    ],
)
def test_what_a_file_says_goes_before_what_it_starts_from(
    tmp_path: Path, base: str, own: str, named: list[str]
) -> None:
    (tmp_path / "base.yaml").write_text(f"defaults: [digits, _self_]\n{base}\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(f"defaults: [base, _self_]\nname: mine\n{own}\n", encoding="utf-8")
    with pytest.warns(Deprecated):
        job = load_job(str(tmp_path / "mine.yaml"), [])
    assert [target.name for target in job.ungated_targets] == named


def test_a_job_of_an_earlier_version_is_read_without_a_word() -> None:
    job = load_job("digits", ["ungated_targets=[pytorch-cpu]"])
    kept = job.model_dump(mode="json")
    kept["beside"] = kept.pop("ungated_targets")
    kept["recipe"]["beside"] = kept["recipe"].pop("ungated_targets")
    kept["recipe"]["bench"]["beside_restarts"] = kept["recipe"]["bench"].pop("ungated_restarts")
    assert Job.model_validate(kept) == job
