"""Two language models side by side: a folder beside itself, beside one that was damaged, and what cannot be compared."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_language import sentences, write_model, write_texts

import edgecomp
from edgecomp.api.results import ComparisonResult
from edgecomp.comparison.language.texts import evaluation
from edgecomp.comparison.sides import given
from edgecomp.config.target import load_target
from edgecomp.errors import DataError, RunFolderError, UsageError
from edgecomp.language.texts import Tokens

pytest.importorskip("openvino_genai", reason="needs the extra `language`")
pytestmark = pytest.mark.slow

RECIPE = """name: small
task: causal-lm
threads: 1
data: { source: huggingface, path: texts.jsonl, max_length: 32 }
teacher: { network: "hf:model", epochs: 2, batch_size: 8 }
student: { network: teacher, arguments: { layers: 1 } }
distill: { epochs: 1, batch_size: 8, temperature: 1, hard_label_weight: 0.3 }
quantize: { method: none }
language: { top_k: 16, prompt_tokens: [8], new_tokens: 4 }
targets: [onnxruntime-genai]
policy: language
"""
TARGET = "onnxruntime-genai"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run`, which has learnt, and `other`, whose student began elsewhere and has learnt little, up to what they deploy; and texts that neither has seen."""
    made = tmp_path_factory.mktemp("language")
    write_model(made / "model")
    write_texts(made / "texts.jsonl")
    (made / "recipe.yaml").write_text(RECIPE)
    (made / "unseen.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in sentences(60, 7)))
    for name, more in (("run", []), ("other", ["distill.learning_rate=1.0e-6"])):
        edgecomp.run(made / "recipe.yaml", more, out=made / name, until=f"deploy/{TARGET}", history=None)
    return made


def compared(base: Path, candidate: Path, out: Path, **more: object) -> ComparisonResult:
    return edgecomp.compare(base, candidate, TARGET, out=out, history=None, max_time_s=1, **more)  # type: ignore[arg-type]  # of whatever a test asks


def test_a_model_beside_itself_is_as_good_and_not_slower(folder: Path, tmp_path: Path) -> None:
    deployed = folder / "run" / "deploy" / TARGET
    shutil.copytree(deployed, tmp_path / "copy")
    (tmp_path / "copy" / "contract.json").unlink()  # another tool's folder has none
    result = compared(deployed, tmp_path / "copy", tmp_path / "out", data=folder / "unseen.jsonl")
    told = {check.name: check for check in result.document.checks}
    assert told["perplexity_ratio"].verdict == "PASS"
    ratio = told["perplexity_ratio"].estimate
    assert ratio is not None
    assert ratio.estimate == pytest.approx(1, abs=1e-6)
    for name in ("token_agreement_pct", "file_size_bytes"):
        assert told[name].verdict == "PASS", told[name].sentence
    assert told["next_token_pct"].severity == "warn"
    for name in ("tpot_p50_ms", "tpot_cpu_p50_ms", "cpu_p50_ms"):
        assert told[name].verdict in ("PASS", "INCONCLUSIVE"), told[name].sentence
    assert (tmp_path / "out" / "compare.html").is_file()
    with np.load(tmp_path / "out" / "samples.npz") as samples:
        times = samples["candidate.token_wall_ns"]
        assert times.shape[1:] == (3, 2, 2)
        assert (times > 0).all()
        assert samples["candidate.token_cpu_ns"].shape == times.shape
        assert (samples["candidate.token_cpu_ns"] > 0).all()
        assert (samples["candidate.generation_wall_ns"] > 15 * times).all()  # 16 tokens, and the prompt
    with np.load(tmp_path / "out" / "answers.npz") as answers:
        assert answers["candidate.logits"].shape == (*answers["labels"].shape, 2)


def test_a_model_that_has_learnt_less_fails_on_its_texts(folder: Path, tmp_path: Path) -> None:
    runs = folder / "run", folder / "other"
    result = compared(*runs, tmp_path / "out")
    assert result.document.verdict == "FAIL"
    told = {check.name: check for check in result.document.checks}
    assert told["perplexity_ratio"].verdict == "FAIL"
    # The figure is what both runs would say: exp of the difference of their losses on the runs' own test split.
    with np.load(tmp_path / "out" / "answers.npz") as answers:
        judged = answers["labels"] >= 0
        losses = [-answers[f"{arm}.logits"][..., 0][judged].mean() for arm in ("candidate", "baseline")]
    ratio = told["perplexity_ratio"].estimate
    assert ratio is not None
    assert ratio.estimate == pytest.approx(np.exp(losses[0] - losses[1]), rel=1e-5)
    assert compared(*reversed(runs), tmp_path / "back").document.verdict != "FAIL"


def test_without_texts_its_cost_alone_is_judged(folder: Path, tmp_path: Path) -> None:
    deployed = folder / "run" / "deploy" / TARGET
    document = compared(deployed, folder / "other" / "deploy" / TARGET, tmp_path / "out").document
    assert document.policy.name == "language-no-slower"
    assert not {check.name for check in document.checks} & {"perplexity_ratio", "next_token_pct"}
    assert document.compared is not None
    assert "no texts were given" in document.compared.not_compared


def test_models_of_other_tokens_are_not_compared(folder: Path, tmp_path: Path) -> None:
    deployed = folder / "run" / "deploy" / TARGET
    other = tmp_path / "other"
    shutil.copytree(deployed, other)
    (other / "contract.json").unlink()
    tokenizer = other / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    with pytest.raises(UsageError, match="have different tokenizers"):
        compared(deployed, other, tmp_path / "out")


def test_what_is_not_of_language_models_is_told_before_anything_is_measured(
    folder: Path, tmp_path: Path
) -> None:
    deployed, out = folder / "run" / "deploy" / TARGET, tmp_path / "out"
    with pytest.raises(UsageError, match=r"--output: onnxruntime-genai runs language models.*--key-samples"):
        compared(deployed, deployed, out, output="token", key_samples=tmp_path / "keys.npz")
    with pytest.raises(DataError, match="no such file of texts"):
        compared(deployed, deployed, out, data=tmp_path / "texts.jsonl")
    with pytest.raises(RunFolderError, match="is no run folder"):
        compared(deployed, folder / "model", out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"input_ids": np.ones((2, 4), np.int64)}, "has no attention_mask"),
        (
            {"input_ids": np.ones((2, 4)), "attention_mask": np.ones((2, 4), np.int64)},
            r"input_ids is float64\[2, 4\]",
        ),
        (
            {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.array([[0, 1, 1]])},
            "pad texts on the right",
        ),
        (
            {"input_ids": np.ones((2, 1), np.int64), "attention_mask": np.ones((2, 1), np.int64)},
            "no text has two tokens",
        ),
    ],
)
def test_tokens_that_are_none_are_refused(
    folder: Path, tmp_path: Path, arrays: dict[str, Any], told: str
) -> None:
    target = load_target(TARGET)
    side = given(folder / "run" / "deploy" / TARGET, target)
    np.savez(tmp_path / "tokens.npz", **arrays)
    with pytest.raises(DataError, match=told):
        evaluation(tmp_path / "tokens.npz", side, side, target)


def test_tokens_and_their_texts_are_the_same_evaluation(folder: Path, tmp_path: Path) -> None:
    target = load_target(TARGET)
    side = given(folder / "run" / "deploy" / TARGET, target)
    read, _ = evaluation(folder / "unseen.jsonl", side, side, target)
    assert read is not None
    assert read.labels is not None
    np.savez(tmp_path / "tokens.npz", **read.inputs)
    again, _ = evaluation(tmp_path / "tokens.npz", side, side, target)
    assert again is not None
    assert again.labels is not None
    np.testing.assert_array_equal(read.labels, again.labels)
    tokens = Tokens(read.inputs["input_ids"], read.labels, read.inputs["attention_mask"], np.zeros(60))
    assert tokens.learnt == int(tokens.mask.sum()) - 60
