"""A real language model behind an OpenAI-compatible server labels SST-2 by chat, with logprobs; killed, it costs the requests in flight; its labels teach a
student (`tox run -e language-server`)."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_language import write_model

from edgecomp.files.array_files import read_npz
from edgecomp.language.texts import Tokens

SIZES = {"train": 240, "validation": 60, "test": 400}
CLASSES = ("negative", "positive")
CONCURRENCY = 2
KILLED_AT = 80  # requests
RECIPE = """
name: taught
threads: 1
data: {{ source: huggingface, path: sentences, inputs: text, label: label, max_bytes: 128 }}
teacher: {{ network: ngram, arguments: {{ buckets: 997, width: 8, hidden: 16 }}, epochs: 1 }}
teachers:
  weight: 0
  others:
    remote:
      api:
        kind: openai-chat
        url: {url}/v1
        model: smollm2-135m-instruct
        prompts: ["Is this sentence of a film review positive or negative? Answer with one word.\\n\\nSentence: {{{{ text }}}}"]
        logprobs: true
        max_tokens: 1
        concurrency: {concurrency}
        timeout_s: 600
student: {{ network: ngram, arguments: {{ buckets: 997, width: 8, hidden: 16 }} }}
distill: {{ epochs: 20, learning_rate: 1.0e-2, hard_label_weight: 0 }}
quantize: {{ method: none }}
targets: [onnxruntime-cpu]
"""


WRITTEN = """
name: written
task: causal-lm
threads: 1
data: {{ source: huggingface, path: chats.jsonl, max_length: 96 }}
teacher: {{ network: "hf:model", epochs: 0 }}
student: {{ network: teacher, arguments: {{ layers: 1 }} }}
distill: {{ epochs: 4, batch_size: 8, temperature: 1, hard_label_weight: 1 }}
language:
  prompt_tokens: [8]
  new_tokens: 4
  learn_from: teacher-texts
  teacher_tokens: 32
  writer:
    kind: openai-chat
    url: {url}/v1
    model: smollm2-135m-instruct
    prompts: ["{{{{ text }}}}"]
    max_tokens: 64
    concurrency: {concurrency}
    timeout_s: 600
targets: [onnxruntime-genai]
policy: language
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    environment = os.environ.get("EDGECOMP_LANGUAGE_SERVER")
    if not environment:
        pytest.skip(
            "EDGECOMP_LANGUAGE_SERVER names no environment with xllamacpp: tox run -e language-server"
        )
    command = [
        str(Path(environment) / "bin" / "python"),
        str(Path(__file__).with_name("serve.py")),
        str(tmp_path / "requests.jsonl"),
    ]
    with (
        (tmp_path / "server.log").open("wb") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def recipe(tmp_path: Path, server: str) -> Path:
    if not (data := os.environ.get("EDGECOMP_DATA")):
        pytest.skip("EDGECOMP_DATA is not set: the sentences are in sst2 there")
    (tmp_path / "sentences").mkdir()
    for name, size in SIZES.items():
        table = pq.read_table(Path(data) / "sst2" / f"{name}.parquet")
        rows = np.random.default_rng(0).permutation(table.num_rows)[:size]
        texts, labels = (table[column].take(rows).to_pylist() for column in ("sentence", "label"))
        names = [label if isinstance(label, str) else CLASSES[label] for label in labels]
        pq.write_table(pa.table({"text": texts, "label": names}), tmp_path / "sentences" / f"{name}.parquet")
    file = tmp_path / "taught.yaml"
    file.write_text(RECIPE.format(url=server, concurrency=CONCURRENCY))
    return file


def keys(folder: Path) -> list[str]:
    file = folder / "requests.jsonl"
    return [json.loads(line)["key"] for line in file.read_text().splitlines()] if file.exists() else []


def killed_and_gone_on(recipe: Path, folder: Path, *, at: int) -> int:
    """Runs up to the student, kills that after so many requests, and runs it again; how many there were before."""
    command = [
        *(sys.executable, "-m", "edgecomp", "run", str(recipe)),
        *("--until", "distill", "--out", str(folder / "run")),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    while len(keys(folder)) < at:
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    first.kill()
    first.wait()
    before = len(keys(folder))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return before


def test_a_language_model_labels_is_killed_goes_on_and_teaches(recipe: Path, tmp_path: Path) -> None:
    before = killed_and_gone_on(recipe, tmp_path, at=KILLED_AT)
    asked = Counter(keys(tmp_path))
    again = sum(asked.values()) - len(asked)
    told = json.loads((tmp_path / "run" / "teachers" / "remote" / "api.json").read_text())
    answers = read_npz(tmp_path / "run" / "teachers" / "remote" / "answers.npz")
    assert len(asked) == told["answers"] <= sum(SIZES.values()) - SIZES["test"]
    assert again <= CONCURRENCY
    assert told["tokens"]["counted"] is True
    assert told["answered_as"]
    train = read_npz(tmp_path / "run" / "data" / "train.npz")
    right = answers["train"].argmax(axis=1) == train["labels"]
    has = ~np.isnan(answers["train"]).any(axis=1)
    history = json.loads((tmp_path / "run" / "distill" / "history.json").read_text())["student_fp32"]
    print(
        f"\n{told['answered_as']}: {len(asked)} sentences, killed after {before} requests, {again} asked again; {told['unparsed']} unparsed; "
        f"{told['tokens']['input']:,} tokens in; zero-shot accuracy {100 * right[has].mean():.1f} % of {has.sum()} training sentences, "
        f"{100 * (answers['train'][has].argmax(axis=1) == 1).mean():.0f} % called positive ({100 * train['labels'].mean():.0f} % are); "
        f"its student on validation {history[-1]['validation_score_pct']:.1f} %"
    )
    assert has.mean() > 0.9  # of its first token, `positive` or `negative` is among the likeliest
    assert len(history) == 20


def test_a_language_model_writes_what_another_one_learns(tmp_path: Path, server: str) -> None:
    write_model(tmp_path / "model")
    things = [
        "a lamp",
        "a bridge",
        "rain",
        "a violin",
        "salt",
        "a map",
        "winter",
        "a key",
        "glass",
        "a river",
    ]
    rows = [
        {"prompt": f"{ask} {thing}?", "answer": "-"}
        for thing in things
        for ask in (
            "In one sentence, what is",
            "Where does one find",
            "Who needs",
            "What is the opposite of",
            "What is the colour of",
            "Who makes",
        )
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "written.yaml").write_text(WRITTEN.format(url=server, concurrency=CONCURRENCY))
    before = killed_and_gone_on(tmp_path / "written.yaml", tmp_path, at=10)
    asked = Counter(keys(tmp_path))
    again = sum(asked.values()) - len(asked)
    told = json.loads((tmp_path / "run" / "soft_labels" / "api.json").read_text())
    learnt = Tokens.load(tmp_path / "run" / "soft_labels" / "texts.npz")
    history = json.loads((tmp_path / "run" / "distill" / "history.json").read_text())["student_fp32"]
    print(
        f"\n{told['answered_as']}: {told['prompts']} prompts, killed after {before} requests, {again} asked again; {told['cut_off']} answers cut off, "
        f"{told['tokens']['output']} tokens written; {len(learnt)} texts learnt"
    )
    assert len(asked) == told["prompts"]
    assert again <= CONCURRENCY
    assert len(learnt) == told["prompts"] - told["unanswered"]
    assert len(history) == 4
