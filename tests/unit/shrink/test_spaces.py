"""Spaces of students: what ships, what a recipe declares, and what is refused."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import edgecomp
from edgecomp.config.job import load_job
from edgecomp.errors import RecipeError, UsageError
from edgecomp.models import TABLE, build, check_arguments
from edgecomp.models.config_ranges import ranges_of
from edgecomp.shrink.spaces import SPACES, Space, name_of, space_of

GIVEN: dict[str, dict[str, Any]] = {
    "images": {"channels": 1, "classes": 3},
    "bytes": {"max_bytes": 64, "classes": 3},
    "tokens": {"vocabulary": 50, "max_length": 16, "classes": 3},
    "rows": {"features": 6, "classes": 3},
}
OF = {
    "airbench": "images", "mobilenet": "images", "resnet": "images", "segmenter": "images", "byte-transformer": "bytes", "conv-text": "bytes", "ngram": "bytes",
    "tagger": "tokens", "transformer": "tokens", "mlp": "rows", "two-tower": "rows",
}  # fmt: skip


def test_every_family_that_ships_has_a_space() -> None:
    assert set(SPACES) == set(TABLE)


@pytest.mark.parametrize("family", SPACES)
def test_the_ends_of_a_space_can_be_built_and_the_first_is_the_smaller(family: str) -> None:
    space = space_of(None, {"network": family, "arguments": {}})
    assert len(space) > 2
    dearest = {key: values[-1] for key, values in space.axes.items()}
    sizes = []
    for point in (space.cheapest, dearest):
        student = space.of(point)
        check_arguments(family, student["arguments"], Path())
        network = build(family, student["arguments"], Path(), GIVEN[OF[family]])
        sizes.append(sum(one.numel() for one in network.parameters()))
    assert sizes[0] < sizes[1]


def test_a_point_changes_the_student_and_nothing_else() -> None:
    student = {"network": "resnet", "arguments": {"blocks": 1, "width": 16}, "seed": 3}
    space = Space(student, {"arguments.width": [8, 16], "prune.keep": ["50 %"]})
    assert space.of({"arguments.width": 8, "prune.keep": "50 %"}) == {
        "network": "resnet",
        "arguments": {"blocks": 1, "width": 8},
        "seed": 3,
        "prune": {"keep": "50 %"},
    }
    assert student["arguments"] == {"blocks": 1, "width": 16}


def test_the_recipes_own_student_is_a_point_where_it_is_one() -> None:
    student = {"network": "resnet", "arguments": {"width": 16}}
    axis = "arguments.width"
    assert Space(student, {axis: [8, 16]}).declared == {axis: 16}
    assert Space(student, {axis: [8, 32]}).declared is None
    assert Space(student, {axis: [8, 16], "arguments.blocks": [1, 2]}).declared is None


def test_another_familys_space_is_of_that_family() -> None:
    space = space_of("mobilenet", {"network": "resnet", "arguments": {"blocks": 1}})
    assert space.of(space.cheapest)["network"] == "mobilenet"
    assert "blocks" not in space.of(space.cheapest)["arguments"]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "vit"])
def test_a_hugging_face_transformers_space_is_of_its_config_and_every_point_can_be_built(
    kind: str, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'edgecomp[text]'")
    sizes = (
        {"dim": 48, "n_layers": 4, "n_heads": 6, "hidden_dim": 96}
        if kind == "distilbert"
        else {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 96}
    )
    others = {"image_size": 32, "patch_size": 8, "num_channels": 1} if kind == "vit" else {"vocab_size": 50}
    transformers.AutoConfig.for_model(kind, **sizes, **others).save_pretrained(tmp_path)
    network = f"hf:{tmp_path}"
    space = space_of(None, {"network": network, "arguments": {}}, partial(ranges_of, folder=tmp_path))
    depth, width, heads, inside = (list(values) for values in space.axes.values())
    assert (depth, width, inside) == ([1, 2, 3, 4], [12, 24, 36, 48], [24, 48, 72, 96])
    assert heads == [1]  # of others a quarter of the width would be less than eight numbers each
    given = GIVEN["images" if kind == "vit" else "tokens"]
    built = []
    for point in (space.cheapest, {key: values[-1] for key, values in space.axes.items()}):
        network_of = build(network, space.of(point)["arguments"], tmp_path, given)
        built.append(sum(one.numel() for one in network_of.parameters()))
    assert built[0] < built[1] / 4


def test_a_config_without_a_transformers_numbers_has_no_space(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install 'edgecomp[text]'")
    transformers.AutoConfig.for_model("mobilenet_v2").save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="of a mobilenet_v2 model, says no depth, width, heads"):
        ranges_of(f"hf:{tmp_path}", tmp_path)


def test_words_tell_points_apart() -> None:
    space = Space({}, {"arguments.a.width": [1, 2], "arguments.b.width": [1, 2]})
    assert space.told(space.cheapest) == "arguments.a.width 1, arguments.b.width 1"
    assert Space({}, {"arguments.width": [4, 8]}).told({"arguments.width": 8}) == "width 8"


def test_what_was_tried_is_not_proposed_again_but_what_is_nearest() -> None:
    axis = "arguments.width"
    space = Space({}, {axis: [1, 2, 4, 8]})
    near, tried = {axis: 4}, {name_of({axis: width}) for width in (4, 8)}
    assert space.untried(near, tried, 0) == {axis: 2}
    assert space.untried(near, tried | {name_of({axis: 2})}, 0) == {axis: 1}
    assert space.untried(near, {name_of(one) for one in space.points()}, 0) is None


@pytest.mark.parametrize(
    ("asked", "network", "said"),
    [
        ("resnt", "resnet", "no such space: 'resnt'; did you mean 'resnet'?"),
        (None, "mine:factory", "is of no family that has a space of its own"),
        ({"arguments.width": [8]}, "resnet", "one point in it, width 8: nothing to search"),
        ({}, "resnet", "one point in it, the recipe's own student"),
    ],
)
def test_what_is_no_space_is_told(asked: Any, network: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"search\.space") as error:
        space_of(asked, {"network": network, "arguments": {}})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.space={arguments.width: {low: 32, high: 8}}", "upside down"),
        ("search.space={arguments.width: []}", "has no values"),
        ("search.space={arguments.width: [8, 8]}", "holds a value twice"),
        ("search.space={distill.epochs: [1, 2]}", "no key of the student"),
        ("search.space={arguments.width: {low: 8, high: 32, step: 0}}", "step"),
        ("search.sampler=tpee", "did you mean 'tpe'"),
        ("search={pruner: hyperband, epochs: 2}", "write epochs: 3 or more, and not 2"),
        ("search={pruner: hyperband, epochs: 4, sampler: nsga2}", "goes by one score"),
        (
            "quantize={method: ptq-ort, bias_correction: true}",
            "bias_correction is of where training with qad begins",
        ),
    ],
)
def test_a_recipe_whose_search_cannot_be_is_refused(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_job("digits", [override])
    assert said in str(error.value)


def test_candidates_of_a_cluster_are_not_compared_by_epoch(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")
    asked = ["search={pruner: hyperband, epochs: 4}"]
    with pytest.raises(UsageError, match="compares candidates after each epoch"):
        edgecomp.search("digits", asked, ray="127.0.0.1:1", out=tmp_path / "found")


def test_a_range_is_its_numbers() -> None:
    asked = load_job("digits", ["search.space={arguments.width: {low: 4, high: 17, step: 4}}"]).recipe.search
    assert asked is not None
    assert isinstance(asked.space, dict)
    found = asked.space["arguments.width"]
    assert not isinstance(found, list)
    assert found.values == [4, 8, 12, 16]
