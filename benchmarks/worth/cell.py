"""One cell: data, a way to treat them, a seed; what the student that learns from them is worth on the test split."""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import black_box
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.splits import Split
from edgecomp.data.views import examples_of
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.machine import cpu_model
from edgecomp.pipeline import execution, fingerprints, loaders, steps
from edgecomp.training.loop import logits_of

HERE = Path(__file__).parent
CLEANED = "data.clean={rules: {near-duplicate: remove, near-leak: remove, label-error: remove}}"
VARIED = "data.augment={typos: 0.1, same_kind: true}"
ASKED = (
    "+teachers={weight: 0, others: {black-box: {api: {kind: function, prompts: ['{{ text }}'], "
    "function: 'black_box:answer'}}}}"
)
FLIPPED, FEW, LINES = 0.1, 500, 6_000

Rows = list[dict[str, str]]


class Cell(NamedTuple):
    """data: a key of DATA; way: a key of WAYS; seed: of the weights and the order of examples, and of what is flipped and chosen."""

    data: str
    way: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}, {self.way}, seed {self.seed}"


@dataclass(frozen=True)
class Way:
    """data: of which there are cells; settings: what differs from the shared recipe; unlabelled: whether sentences without labels are learnt from too,
    which the black box labels."""

    data: Sequence[str]
    settings: Sequence[str] = ()
    unlabelled: bool = False


FEW_EPOCHS = ("teacher.epochs=20", "distill.epochs=40")  # of 500 sentences: still fewer steps than of 6,920
EVERYWHERE = ("low", "noisy", "sst2", "lines")
WAYS = {
    "as they are": Way(EVERYWHERE),
    "cleaned": Way(EVERYWHERE, (CLEANED,)),
    "augmented": Way(EVERYWHERE, (VARIED, "data.views=4")),
    "cleaned and augmented": Way(EVERYWHERE, (CLEANED, VARIED, "data.views=4")),
    "black box": Way(("low", "noisy"), (ASKED, "distill.hard_label_weight=0")),
    "black box, unlabelled": Way(("low",), (ASKED, "distill.hard_label_weight=0"), unlabelled=True),
}


def sst2(seed: int) -> dict[str, Rows]:
    folder = Path(os.environ.get("EDGECOMP_DATA", "../shared/data")) / "sst2"
    found = {}
    for name in ("train", "validation", "test"):
        table = pq.read_table(folder / f"{name}.parquet")
        texts, labels = (table[column].to_pylist() for column in ("sentence", "label"))
        names = black_box.CLASSES
        found[name] = [
            {"text": text, "label": label if isinstance(label, str) else names[label]}
            for text, label in zip(texts, labels, strict=True)
        ]
    return found


def noisy(seed: int) -> dict[str, Rows]:
    """SST-2 with a tenth of its training labels flipped."""
    found, draw = sst2(seed), random.Random(f"noisy {seed}")
    for row in draw.sample(found["train"], round(FLIPPED * len(found["train"]))):
        row["label"] = black_box.CLASSES[row["label"] == "negative"]
    return found


def low(seed: int) -> dict[str, Rows]:
    """SST-2 with 500 training sentences, as many of either class, and half as many to choose on."""
    found, draw = sst2(seed), random.Random(f"low {seed}")
    for name, count in (("train", FEW), ("validation", FEW // 2)):
        found[name] = [
            row
            for label in black_box.CLASSES
            for row in draw.sample([one for one in found[name] if one["label"] == label], count // 2)
        ]
    return found


def lines(seed: int) -> dict[str, Rows]:
    """Log lines and the system of each, every event template in one split; the same splits for every seed."""
    sys.path.append(str(HERE.parent / "streams"))
    import splits

    folder = Path(os.environ.get("EDGECOMP_DATA", "../shared/data")) / "logs"
    parts = splits.by_template(pq.read_table(folder / "lines.parquet"), 0)
    draw, found = random.Random("lines"), {}
    for name, part in parts.items():
        rows = [{"text": one["content"], "label": one["system"]} for one in part.to_pylist()]
        found[name] = draw.sample(rows, min(len(rows), LINES if name == "train" else LINES // 3))
    return found


DATA: dict[str, Callable[[int], dict[str, Rows]]] = {"low": low, "noisy": noisy, "sst2": sst2, "lines": lines}
"""The cheapest first."""


def make(cell: Cell, runs: Path) -> dict[str, Any]:
    way, splits, folder = WAYS[cell.way], DATA[cell.data](cell.seed), (runs / cell.name).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    told: dict[str, Any] = {}
    if any("black_box" in one for one in way.settings):
        told["black_box"] = asked_of_black_box(runs.resolve(), splits, way.unlabelled)
    for name, rows in splits.items():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{name}.parquet")
    began = time.perf_counter()
    settings = [f"data.path='{folder / 'data'}'", f"seed={cell.seed}", *way.settings]
    if cell.data == "low" and not way.unlabelled:
        settings += FEW_EPOCHS
    job = fingerprints.fingerprinted(on_this_machine(load_job(str(HERE / "recipe.yaml"), settings)))
    run = loaders.Run(
        job, folder / "run", lambda items, what, total: iter(items), lambda note: print(f"  {note}")
    )
    kept = RunFolder(folder / "run")
    kept.admit(job.recipe.name)
    needed = [one for one in steps.steps(run) if one.stage in ("data", "teacher") or one.name == "distill"]
    with kept.locked():
        execution.execute(job, kept, needed, lambda step, why: print(f"  {step}", flush=True))
    found = {
        **cell._asdict(),
        "commit": commit(),
        "cpu": cpu_model(),
        "versions": {name: version(name) for name in ("torch", "numpy")},
        "settings": settings[1:],
        "examples": read_mapping(run.folder / "data" / "splits.json", "examples")["examples"],
        "seconds": round(time.perf_counter() - began),
        **told,
        **judged(run),
    }
    cleaning = run.folder / "data" / "cleaning.json"
    if cleaning.is_file():
        found["cleaning"] = read_mapping(cleaning, "rules")["rules"]
    shutil.rmtree(folder)
    return found


def asked_of_black_box(runs: Path, splits: dict[str, Rows], unlabelled: bool) -> dict[str, Any]:
    """Makes the black box, adds what it labels to the training split where that is asked, and says how good it is on the test split."""
    whole = sst2(0)
    os.environ[black_box.FOLDER] = str(runs)
    texts, labels = [one["text"] for one in whole["train"]], [one["label"] for one in whole["train"]]
    others = [one["text"] for name in ("validation", "test") for one in whole[name]]
    table = black_box.make(runs, (texts, labels), others)

    def label(text: str) -> str:
        return black_box.CLASSES[int(np.argmax(table[text]))]

    if unlabelled:
        known = {one["text"] for one in splits["train"]}
        splits["train"] += [
            {"text": text, "label": label(text)} for text in dict.fromkeys(texts) if text not in known
        ]
    right = [label(one["text"]) == one["label"] for one in whole["test"]]
    return {"test_accuracy_pct": 100 * float(np.mean(right))}


def judged(run: loaders.Run) -> dict[str, Any]:
    """What student and teacher say of the test split."""
    test = examples_of(Split.load(run.folder / "data", "test"), loaders.preprocessing(run))
    labels = np.asarray(test.labels)
    found: dict[str, Any] = {"test_examples": len(labels)}
    for name, network in (("student", loaders.student_fp32(run)), ("teacher", loaders.trained_teacher(run))):
        right = logits_of(network, test).argmax(axis=1) == labels
        found[name] = {"accuracy_pct": 100 * float(right.mean()), "right": packed(right)}
    return found


def packed(right: npt.NDArray[np.bool_]) -> str:
    """One bit an example, in base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpacked(text: str, examples: int) -> npt.NDArray[np.bool_]:
    bits = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(bits)[:examples].astype(bool)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "not known"


def main() -> None:
    data, way, seed, runs, file = sys.argv[1:]
    content = make(Cell(data, way, int(seed)), Path(runs))
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(file), content)
    shown = {name: round(content[name]["accuracy_pct"], 2) for name in ("student", "teacher")}
    print("  " + json.dumps(shown | {"seconds": content["seconds"], "examples": content["examples"]}))


if __name__ == "__main__":
    main()
