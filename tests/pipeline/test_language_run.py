"""A language model from texts to a verdict: a small one, to half its layers, in 4 bits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import Cli
from small_language import write_model, write_texts

import edgecomp
from edgecomp.language import texts

pytest.importorskip("openvino_genai", reason="needs the extra `language`")
pytestmark = pytest.mark.slow

RECIPE = """name: small
task: causal-lm
threads: 1
data: { source: huggingface, path: texts.jsonl, max_length: 32 }
teacher: { network: "hf:model", epochs: 2, batch_size: 8 }
student: { network: teacher, arguments: { layers: 1 } }
distill: { epochs: 2, batch_size: 8, temperature: 1, hard_label_weight: 0.3 }
quantize: { weight_bits: 4, epochs: 1 }
language: { top_k: 16, prompt_tokens: [8, 16], new_tokens: 4, generations: 2 }
bench: { restarts: 1, warmup: 1, iterations: 8 }
targets: [openvino-genai]
policy: language
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("language")
    write_model(made / "model")
    write_texts(made / "texts.jsonl")
    (made / "recipe.yaml").write_text(RECIPE)
    return made


def test_from_texts_to_a_verdict(folder: Path, cli: Cli) -> None:
    run = folder / "run"
    done = cli("run", str(folder / "recipe.yaml"), "--out", str(run))
    assert done.code in (0, 1, 3), done.err  # one restart bounds no time
    document = edgecomp.load(run).document
    told = {check.name: check for check in document.checks}
    for name in ("export_agreement_pct", "export_kl_nats", "parameter_bytes"):
        assert told[name].verdict == "PASS", told[name].sentence
    ratio = told["perplexity_ratio"].estimate
    assert ratio is not None
    assert ratio.estimate is not None
    assert ratio.estimate < 1.5

    # The student has learnt what its teacher has, in the runtime as in training.
    epochs = json.loads((run / "distill" / "history.json").read_text())["student_fp32"]
    assert epochs[-1]["validation_perplexity"] < epochs[0]["validation_perplexity"] < 320
    rounding = json.loads((run / "quantize" / "rounding.json").read_text())
    measured = json.loads((run / "bench" / "openvino-genai" / "measurements.json").read_text())
    with np.load(run / "bench" / "openvino-genai" / "outputs.npz") as outputs:
        tokens = texts.Tokens.load(run / "data" / "test.npz")
        judged = tokens.labels >= 0
        perplexity = float(np.exp(-outputs["student_int8"][..., 0][judged].mean()))
    assert perplexity == pytest.approx(rounding["trained"]["validation_perplexity"], rel=0.2)
    by_length = measured["facts"]["generation"]["student_int8"]
    assert [*by_length] == ["8", "16"]
    assert all(one["first_token_ms"] > 0 < one["peak_memory_bytes"] for one in by_length.values())
    assert (run / "report" / "report.html").is_file()

    # The deployed folder writes text without edgecomp, and nothing is to be done again.
    deployed = run / "deploy" / "openvino-genai"
    alone = folder / "device"
    shutil.copytree(deployed, alone)
    asked = (alone / "sample.txt").read_text()
    out = subprocess.run(
        [sys.executable, "-I", alone / "infer.py"], input=asked, capture_output=True, text=True, check=True
    )
    assert len(out.stdout.splitlines()) == len(asked.splitlines())
    assert edgecomp.plan(folder / "recipe.yaml", out=run).reasons == {}
    assert document.exit_code == done.code


def test_a_student_of_its_teachers_texts_learns_no_other(folder: Path) -> None:
    overrides = [
        "+language.learn_from=teacher-texts", "+language.teacher_tokens=8", "distill.hard_label_weight=1", "+data.limit=40", "teacher.epochs=0",
    ]  # fmt: skip
    run = edgecomp.run(
        folder / "recipe.yaml", overrides, out=folder / "said", until="distill", history=None
    ).folder
    learnt, given = (
        texts.Tokens.load(run / "soft_labels" / "texts.npz"),
        texts.Tokens.load(run / "data" / "train.npz"),
    )
    assert len(learnt) == len(given)
    first = min(16, int(given.mask[0].sum()))
    assert learnt.input_ids[0, :first].tolist() == given.input_ids[0, :first].tolist()
    assert learnt.mask.sum(axis=1).max() <= 16 + 8
    assert (learnt.labels[:, : 16 - 1] < 0).all()  # what was given is not learnt
    assert not (run / "soft_labels" / "top.npy").exists()
