"""The folders of both runtimes compute what the student computes that was trained through their integers, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgecomp
from edgecomp.errors import CaptureError, ModelFileError, RuntimeOptionError
from edgecomp.language import folders, models
from edgecomp.language.comparison import compared
from edgecomp.language.weights import Rounded, integers_of, rounded
from edgecomp.package.language import write_language_folder
from edgecomp.runtimes import TABLE, adapter

pytest.importorskip("openvino_genai", reason="needs the extra `language`")
pytest.importorskip("onnxruntime_genai", reason="needs the extra `language`")
from small_language import write_model

pytestmark = pytest.mark.slow
TOKENS = np.random.default_rng(0).integers(3, 280, 48)


def student(folder: Path, bits: int, group: int, **how: Any) -> tuple[models.LanguageModel, Any]:
    """With scales that have learnt; bits: 0 for one in float."""
    write_model(folder, **how)
    network, tokenizer = models.load(folder)
    if bits:
        made = rounded(network, bits, group)
        assert isinstance(made, models.LanguageModel)
        network = made
        with torch.no_grad():
            for part in network.modules():
                if isinstance(part, Rounded):
                    part.log_scale.add_(0.02 * torch.randn_like(part.log_scale))
    return network.eval(), tokenizer


@torch.no_grad()
def said(network: models.LanguageModel) -> np.ndarray:
    found: np.ndarray = network(torch.from_numpy(TOKENS[None]))[0].numpy()
    return found


@pytest.mark.parametrize(
    ("runtime", "bits", "group", "how"),
    [
        ("openvino-genai", 4, 32, {}),
        ("openvino-genai", 8, 64, {"tied": False}),
        ("openvino-genai", 4, 64, {"family": "qwen2"}),
        ("onnxruntime-genai", 4, 64, {}),
        ("onnxruntime-genai", 8, 32, {"tied": False, "family": "qwen2"}),
    ],
)
def test_a_folder_is_the_student_to_its_last_token(
    runtime: str, bits: int, group: int, how: dict[str, Any], tmp_path: Path
) -> None:
    network, tokenizer = student(tmp_path / "model", bits, group, **how)
    (tmp_path / "made").mkdir()
    folders.MAKERS[runtime](network, tokenizer, tmp_path / "made")
    session: Any = adapter(runtime).load(tmp_path / "made" / TABLE[runtime].model_file, threads=1, options={})
    found = compared(session.logits(TOKENS), said(network))
    assert found["agreeing"] == len(TOKENS)
    assert found["kl_nats"] < 1e-9
    assert found["sqnr_db"] > 80
    # In words: greedy text is the student's own, and logits may be asked again and again.
    wanted: list[int] = []
    for _ in range(4):
        whole = torch.tensor([[*TOKENS, *wanted]])
        wanted.append(int(network(whole)[0, -1].argmax()))
    made = session.generate(TOKENS, 4)
    assert made.tokens == wanted
    assert made.at_ns == sorted(made.at_ns)
    batch = {"input_ids": TOKENS[None], "attention_mask": np.ones((1, len(TOKENS)), np.int64)}
    assert session.run(batch)["token"].tolist() == [[wanted[0]]]
    assert np.array_equal(session.logits(TOKENS), session.logits(TOKENS))
    session.close()


@pytest.mark.parametrize("runtime", ["onnxruntime-genai", "openvino-genai"])
def test_a_folder_is_benched_by_the_texts_that_it_generates(runtime: str, tmp_path: Path) -> None:
    network, tokenizer = student(tmp_path / "model", 4, 32)
    made = tmp_path / "made"
    made.mkdir()
    folders.MAKERS[runtime](network, tokenizer, made)
    file = made / TABLE[runtime].model_file
    result = edgecomp.bench(file, [runtime], restarts=1, max_time_s=1, out=tmp_path / "b", history=None)
    assert not result.errors
    (one,) = result.results
    figures, told = one.content["metrics"], one.content["scenarios"]["generate"]
    assert figures["tpot_p50_ms"]["value"] > 0 < figures["token_throughput_p50_per_s"]["value"]
    by_length = told["by_prompt_length"]
    assert all(one["token_ms"] > 0 < one["peak_memory_bytes"] for one in by_length.values())
    if runtime == "onnxruntime-genai":  # of the 128 tokens that it reads, 16 are written; the other goes on
        assert [*by_length] == ["32"]
        assert "prompts of 128 tokens and more were not read" in told["longer"]
    assert one.content["made_up"] == {"input_ids": "prompts of 32 tokens by chance"}
    shaped = edgecomp.bench(file, [runtime], shape=["input_ids.1=64"], out=tmp_path / "d", history=None)
    assert "made up of its tokenizer's tokens" in str(shaped.errors)
    (made / "tokenizer.json").unlink()
    again = edgecomp.bench(file, [runtime], restarts=1, max_time_s=1, out=tmp_path / "c", history=None)
    assert "prompts cannot be made up: give some with --inputs" in str(again.errors)


@pytest.mark.parametrize("spins", [True, False])
def test_threads_that_wait_otherwise_round_nothing(spins: bool, tmp_path: Path) -> None:
    """What the folder says of its session holds beside what a target says of it."""
    network, tokenizer = student(tmp_path / "model", 8, 32)
    (tmp_path / "made").mkdir()
    folders.onnxruntime(network, tokenizer, tmp_path / "made")
    file = tmp_path / "made" / "model.onnx"
    session: Any = adapter("onnxruntime-genai").load(file, threads=1, options={"spinning": spins})
    assert compared(session.logits(TOKENS), said(network))["kl_nats"] < 1e-9
    session.close()


@pytest.mark.parametrize(
    ("runtime", "options"), [("onnxruntime-genai", {"spinning": False}), ("openvino-genai", {})]
)
def test_the_deployed_script_writes_by_itself(runtime: str, options: dict[str, Any], tmp_path: Path) -> None:
    network, tokenizer = student(tmp_path / "model", 4, 32)
    made = tmp_path / "made"
    made.mkdir()
    folders.MAKERS[runtime](network, tokenizer, made)
    write_language_folder(
        folder=made, runtime=runtime, options=options, threads=1, prompts=["the cat sat", "a dog"], context=64
    )
    asked = (made / "sample.txt").read_text()
    done = subprocess.run(
        [sys.executable, "-I", made / "infer.py"], input=asked, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 2
    assert all(done.stdout.splitlines())


def test_another_weight_in_the_builders_file_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, tokenizer = student(tmp_path / "model", 4, 32)
    own = folders.weights_of

    def off(network: models.LanguageModel) -> Any:
        floats, stored = own(network)
        floats["model.layers.1.mlp.up_proj.weight"] = floats["model.layers.1.mlp.up_proj.weight"] + 1e-6
        return floats, stored

    monkeypatch.setattr(folders, "weights_of", off)
    (tmp_path / "made").mkdir()
    with pytest.raises(CaptureError, match=r"up_proj.*is not the weights of"):
        folders.onnxruntime(network, tokenizer, tmp_path / "made")


def test_what_is_no_folder_and_an_unknown_option_are_told(tmp_path: Path) -> None:
    for runtime, option in (("openvino-genai", "kv_cache"), ("onnxruntime-genai", "spinning")):
        of = adapter(runtime)
        with pytest.raises(ModelFileError, match="is no folder of a language model"):
            of.load(tmp_path / TABLE[runtime].model_file, threads=1, options={})
        with pytest.raises(RuntimeOptionError, match=f"option {option} is 'x'"):
            of.load(tmp_path / TABLE[runtime].model_file, threads=1, options={option: "x"})


def test_a_gguf_is_read_as_a_teacher(tmp_path: Path) -> None:
    network, tokenizer = student(tmp_path / "model", 8, 32)
    file = tmp_path / "student.gguf"
    folders.gguf_files.write(file, network.config, tokenizer, *folders.weights_of(network))
    again, words = models.load(file)
    np.testing.assert_allclose(said(again), said(network), atol=1e-5)
    assert words.encode("the cat sat") == tokenizer.encode("the cat sat")
    shutil.rmtree(tmp_path / "model")


def test_layers_are_kept_in_their_order_and_embeddings_come_along(tmp_path: Path) -> None:
    network, tokenizer = student(tmp_path / "model", 0, 0)
    kept = models.keep_layers(network, [1])
    assert kept.config.num_hidden_layers == 1
    assert len(network.model.model.layers) == 2
    models.save(kept, tokenizer, tmp_path / "kept")
    again, _ = models.load(tmp_path / "kept")
    assert np.array_equal(said(again), said(kept))
    assert [*again.state_dict()] == [*kept.state_dict()]
    assert integers_of(rounded(kept, 4, 32)).keys() == {
        name for name in kept.state_dict() if "norm" not in name
    }
    assert models.chosen(3, 6) == [0, 2, 5]
    assert models.chosen(1, 6) == [0]
