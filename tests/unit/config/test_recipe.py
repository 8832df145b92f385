"""What recipes may ask for, before anything is run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import pytest

from edgecomp.config.job import load_job
from edgecomp.config.parts.bench import Bench
from edgecomp.config.parts.data import Data
from edgecomp.config.recipe import Recipe
from edgecomp.data.sources import TABLE
from edgecomp.errors import RecipeError

SHIPPED = ("digits", "cifar10", "sst2")


def test_a_recipe_may_name_every_source_and_no_other() -> None:
    assert set(get_args(Data.model_fields["source"].annotation)) == set(TABLE)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_rehearsal_has_the_same_stages_and_no_more_work_than_it_says(name: str) -> None:
    whole, quick = load_job(name, []).recipe, load_job(name, ["quick=true"]).recipe
    assert quick.data.limit == 600
    assert (quick.teacher.epochs, quick.distill.epochs, quick.quantize.epochs) == (2, 2, 1)
    assert (quick.bench.restarts, quick.bench.iterations, quick.data.views) == (2, 96, 2)
    assert load_job(name, ["quick=true", "distill.epochs=1"]).recipe.distill.epochs == 1
    assert quick.quick
    assert (quick.targets, quick.quantize.method, quick.student) == (
        whole.targets,
        whole.quantize.method,
        whole.student,
    )


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["quantize.activation_bits=4"], "quantize.activation_bits: no runtime here executes"),
        (["quantize.activation_bits=4", "quantize.method=ptq-ort"], "quantises to 8 bits, not 4"),
        (
            ["quantize.baselines=[control]", "quantize.method=none"],
            "control is trained for as long as qad is",
        ),
        (
            ["quantize.weight_bits=2", "quantize.simulate=true", "quantize.baselines=[ptq-ort]"],
            "ptq-best has candidates of fewer",
        ),
        (["data.source=digit"], "'digits'"),
        (["data.calibration_fraction=0.8"], "leave less than a tenth for training"),
        (["student.network=transformr"], "did you mean 'transformer'"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_job("digits", overrides)
    assert complaint in str(caught.value)


def test_the_scales_of_few_levels_start_where_the_error_is_least() -> None:
    def calibration(*overrides: str) -> str:
        return load_job("digits", list(overrides)).recipe.quantize.calibration

    few = ("quantize.weight_bits=2", "quantize.simulate=true")
    assert calibration() == "min-max"
    assert calibration(*few) == "mse"
    assert calibration("quantize.activation_bits=4", "quantize.simulate=true") == "mse"
    assert calibration(*few, "quantize.calibration=min-max") == "min-max"


def test_simulated_activations_are_not_judged_by_their_time_or_share() -> None:
    job = load_job("digits", ["quantize.activation_bits=4", "quantize.simulate=true"])
    for rows in job.rows.values():
        assert not {"int8_share_pct", "int8_over_fp32"} & set(rows)
        assert "export_agreement_pct" in rows


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe that starts from digits, with these lines of its own."""

    def made(*lines: str, overrides: Sequence[str] = ()) -> Recipe:
        path = tmp_path / "mine.yaml"
        path.write_text("\n".join(["defaults: [digits, _self_]", "name: mine", *lines]), encoding="utf-8")
        return load_job(str(path), list(overrides)).recipe

    return made


def test_a_description_is_not_inherited(child: Callable[..., Recipe]) -> None:
    assert load_job("digits", []).recipe.description != ""
    assert child().description == ""
    assert child("description: my own").description == "my own"
    assert child(overrides=["description=of today"]).description == "of today"
    assert child(overrides=["++description=of today"]).description == "of today"


def test_null_clears_what_is_inherited(child: Callable[..., Recipe]) -> None:
    made = child("student: { network: mlp, arguments: null }", "bench: null", "thresholds: null")
    assert made.student.arguments == {}
    assert (made.bench, made.thresholds) == (Bench(), {})
    assert child(overrides=["student.arguments=null"]).student.arguments == {}
    assert child("distill: { temperature: null }").distill.temperature == 4
    assert child("data: { image_size: null }").data.image_size is None
    assert child("policy: null").policy == "industrial"


def test_null_clears_no_more_than_that(child: Callable[..., Recipe]) -> None:
    few = ["quantize.weight_bits=2", "quantize.simulate=true", "quantize.calibration=null"]
    assert child(overrides=few).quantize.calibration == "mse"
    with pytest.raises(RecipeError, match=r"teacher\.epochs: missing"):
        child("teacher: { epochs: null }")
    with pytest.raises(RecipeError, match=r"distill\.temprature: unknown key"):
        child("distill: { temprature: null }")


def test_a_key_may_be_called_as_a_folder_beside_the_recipe_is(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    job = load_job(
        str(tmp_path / "mine.yaml"), ["targets=[openvino-cpu]", "data.limit=50", "ungated_targets=[]"]
    )
    assert [target.name for target in job.targets] == ["openvino-cpu"]
    assert job.recipe.data.limit == 50
