"""What a recipe may ask of a language model, told before anything is trained."""

from pathlib import Path

import pytest
from small_language import write_model, write_texts

import edgecomp
from edgecomp.config.job import load_job
from edgecomp.config.parts.language.fits import OTHERS
from edgecomp.errors import DataError, EdgecompError, RecipeError, UsageError

pytest.importorskip("gguf", reason="needs the extra `language`")

RECIPE = """name: small
task: causal-lm
data: { source: huggingface, path: texts.jsonl, max_length: 32 }
teacher: { network: "hf:model", epochs: 0 }
student: { network: teacher, arguments: { layers: 1 } }
distill: { epochs: 1, batch_size: 8, temperature: 1 }
language: { top_k: 8, prompt_tokens: [8], new_tokens: 4 }
targets: [openvino-genai]
policy: language
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    write_model(tmp_path / "model")
    write_texts(tmp_path / "texts.jsonl")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return str(tmp_path / "recipe.yaml")


def said(recipe: str, *overrides: str, error: type[EdgecompError] = RecipeError) -> str:
    with pytest.raises(error) as raised:
        edgecomp.plan(recipe, list(overrides))
    return str(raised.value)


def test_a_plan_names_the_steps_and_trains_nothing(recipe: str) -> None:
    planned = edgecomp.plan(recipe)
    assert [*planned.reasons] == [
        "data", "teacher", "soft_labels", "distill", "quantize", "export", "parity/openvino-genai", "deploy/openvino-genai",
        "bench/openvino-genai", "gate", "report",
    ]  # fmt: skip
    assert not planned.folder.exists()


def test_what_is_of_other_tasks_is_refused_by_its_name(recipe: str) -> None:
    found = said(
        recipe, "targets=[onnxruntime-cpu]", "data.shift=1", "+quantize.baselines=[control]", "student.network=mlp", "+quantize.kernel=fused",
        "+quantize.simulate=true", "+quantize.calibration=mse", "data.views=2", "data.calibration_fraction=0.1",
        "student.arguments.width=4", "+teacher.arguments={width: 4}",
    )  # fmt: skip
    for name in (
        "data.shift",
        "quantize.baselines",
        "quantize.kernel",
        "quantize.simulate",
        "quantize.calibration",
        "data.views",
        "data.calibration_fraction",
        "student.arguments.width",
        "teacher.arguments",
        "student.network",
        "onnxruntime-cpu runs onnxruntime-cpu",
    ):
        assert name in found


def test_other_tasks_take_nothing_of_a_language_model(recipe: str) -> None:
    found = said(recipe, "task=classification", "teacher.network='hf:model.gguf'")
    assert "language: of task: causal-lm" in found
    assert "openvino-genai runs openvino-genai" in found


@pytest.mark.parametrize(
    ("overrides", "message", "error"),
    [
        (["data.max_length=129"], "data.max_length: 129 tokens are more than the teacher's context of 128", DataError),
        (["language.prompt_tokens=[8,126]"], "130 tokens are more than the teacher's context", DataError),
        (["+language.group_size=128"], "128 does not divide the 64 inputs of model.model.*; of 32, 64, 128 take 32 or 64", UsageError),
        (["student.arguments.layers=3"], "3 layers cannot be kept: the teacher has layers 0 to 1", UsageError),
        (["student.arguments.layers=[1,0]"], "does not name layers once each, in order", UsageError),
        (["language.top_k=320"], "320 tokens of a vocabulary of 320", DataError),
        (["+data.inputs=body"], "no column 'body'", DataError),
        (["teacher.network='hf:owner/of-the-hub'"], "read from a local folder", UsageError),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_told_before(
    recipe: str, overrides: list[str], message: str, error: type[EdgecompError]
) -> None:
    with pytest.raises(error, match=message):
        edgecomp.plan(recipe, overrides)


def test_a_gguf_file_of_an_unknown_architecture_or_none_is_told(recipe: str) -> None:
    import gguf

    file = Path(recipe).with_name("odd.gguf")
    writer = gguf.GGUFWriter(file, "oddity")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "its architecture is 'oddity'" in said(recipe, "teacher.network='hf:odd.gguf'", error=UsageError)
    file.write_bytes(b"GG")
    assert "is no GGUF file, or cut short" in said(recipe, "teacher.network='hf:odd.gguf'", error=UsageError)


def test_a_policy_of_classifiers_keeps_what_a_language_model_can_be_judged_by(recipe: str) -> None:
    rows = load_job(recipe, ["policy=industrial"]).rows["openvino-genai"]
    assert {"parameter_bytes", "export_agreement_pct"} <= {*rows}
    assert not {
        "throughput_p50_per_s",
        "export_block_sqnr_db",
        "int8_share_pct",
        "portable_agreement_pct",
    } & {*rows}


def test_its_student_is_not_searched_for(recipe: str) -> None:
    pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")
    with pytest.raises(UsageError, match=r"students are its teacher's layers.*student\.arguments\.layers"):
        edgecomp.search(recipe, out=Path(recipe).with_name("never"))


USED = {
    "data": {"source", "path", "files", "inputs", "label", "max_length", "test_fraction", "validation_fraction", "limit"},
    "distill": {"epochs", "batch_size", "learning_rate", "weight_decay", "temperature", "hard_label_weight", "loop"},
    "quantize": {"method", "epochs", "learning_rate", "scale_learning_rate", "weight_bits", "calibration"},
    "student": {"network", "arguments", "seed"},
    "teacher": {"network", "epochs", "batch_size", "learning_rate", "weight_decay", "loop"},
}  # fmt: skip
"""By part of a recipe what a language model's run reads, or refuses by its value."""


@pytest.mark.parametrize("part", USED)
def test_no_setting_is_silently_unused(part: str) -> None:
    fields = set(type(getattr(load_job("digits", []).recipe, part)).model_fields)
    assert fields == USED[part] | set(OTHERS[part])
