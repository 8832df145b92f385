"""Device profiles: what they inherit, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecomp.config.target import Target, check_options, load_target, target_names
from edgecomp.errors import RecipeError, RuntimeOptionError, UsageError
from edgecomp.runtimes import TABLE


def write(folder: Path, name: str, **settings: Any) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps({"format": 1, "name": name, **settings}), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", target_names())
def test_every_shipped_target_loads_and_is_called_as_its_file(name: str) -> None:
    assert load_target(name).name == name


@pytest.mark.parametrize("name", ["", "../outside", "a/b", ".hidden"])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"format": 1, "name": name, "runtime": "openvino-cpu"}), encoding="utf-8")
    with pytest.raises(RecipeError, match="name"):
        load_target(str(file))


def test_a_target_extends_another_key_by_key(tmp_path: Path) -> None:
    base = load_target("onnxruntime-cpu")
    found = load_target(
        write(tmp_path, "mine", extends="onnxruntime-cpu", memory="1 GiB", budget={"latency_p99_ms": "9 ms", "latency_p50_ms": None})
    )  # fmt: skip
    assert (found.name, found.runtime, found.memory_bytes) == ("mine", base.runtime, 2**30)
    assert found.budget == {
        "latency_p99_ms": "9 ms",
        "peak_memory_bytes": base.budget["peak_memory_bytes"],
    }


def test_a_chain_of_targets_is_followed_and_one_beside_goes_first(tmp_path: Path) -> None:
    write(tmp_path, "first", extends="openvino-cpu", cores=1)
    found = load_target(write(tmp_path, "second", extends="first", options={"low_precision": False}))
    assert (found.runtime, found.cores) == ("openvino-cpu", 1)
    assert found.options == {"inference_precision": "f32", "low_precision": False}


def test_a_target_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", extends="two")
    with pytest.raises(RecipeError, match="extends itself, by way of two → one"):
        load_target(write(tmp_path, "two", extends="one"))


def test_a_target_that_extends_nothing_known_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'onnxruntime-cpu'"):
        load_target(write(tmp_path, "mine", extends="onnxruntime-cp"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"runtime": "onnxruntime"}, "no such runtime: 'onnxruntime'; did you mean 'onnxruntime-c"),
        ({"memory": "512"}, "'512' has no unit"),
        ({"memory": "5 ms"}, "'5 ms' is not a size"),
        ({"cores": 1, "threads": 2}, "2 threads on 1 cores wait for each other"),
        (
            {"runtime": "onnxruntime-cuda"},
            "scheme 'cpu-u8-narrow' does not go together with onnxruntime-cuda",
        ),
        ({"shapes": {"image_size": 0}}, "image_size"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        load_target(write(tmp_path, "mine", extends="onnxruntime-cpu", **settings))


def test_a_target_without_memory_has_no_limit() -> None:
    assert Target(name="t", runtime="onnxruntime-cpu").memory_bytes is None


@pytest.mark.parametrize("runtime", TABLE)
def test_an_option_that_its_runtime_does_not_know_is_refused_before_anything_runs(runtime: str) -> None:
    if TABLE[runtime].generates:
        pytest.importorskip(runtime.replace("-", "_"), reason="needs the extra `language`")
    scheme = TABLE[runtime].schemes[-1]
    target = Target.model_validate(
        {"name": "mine", "runtime": runtime, "scheme": scheme, "options": {"spining": 1}}
    )
    with pytest.raises(RuntimeOptionError, match=f"{runtime} has no option 'spining'"):
        check_options(target)


def test_options_that_are_known_are_not() -> None:
    for name in target_names():
        check_options(load_target(name))
    check_options(load_target("onnxruntime-cpu").model_copy(update={"options": {"spinning": False}}))
