"""One cell: a student that learns by one method, and what it is worth on the validation split; or, of those that were chosen, on the test split."""

import base64
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from methods import BUDGETS, overrides
from sklearn.metrics import f1_score

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import Job, load_job, on_this_machine
from edgecomp.files import epoch_table
from edgecomp.files.writing import sha256, write_json
from edgecomp.machine import cpu_model
from edgecomp.metrics.measurements import Measurements
from edgecomp.pipeline import execution, fingerprints, loaders, steps
from edgecomp.report.training_said import Trainings, alarms, failures
from edgecomp.training.loop import logits_of

HERE = Path(__file__).parent
RECIPES = {"cifar10": str(HERE / "student.yaml"), "sst2": "sst2", "logs": "long-tail"}
PLAIN_RECIPE = {  # what makes every data set's cells alike
    "cifar10": (),
    "sst2": ("threads=1", "precision=fp32"),
    "logs": ("threads=1", "precision=fp32", "distill.balance=null", "distill.keywords={}"),
}
TRAINING = "student, fp32"
IMPLIED = "cpu_seconds", "seconds"  # of an epoch, in the table of epochs


class Cell(NamedTuple):
    """stage: `screen` or `seeds`, judged on validation, or `test`; method: a row of METHODS; seed: of the student's weights and order."""

    stage: str
    data: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.stage}, {self.data}, {self.method}, seed {self.seed}"


def job_of(cell: Cell) -> Job:
    budget = "seeds" if cell.stage == "test" else cell.stage
    asked = [
        *PLAIN_RECIPE[cell.data],
        f"student.seed={cell.seed}",
        "distill.loop.trackers=[]",
        "targets=[onnxruntime-cpu]",
        "bench.restarts=2",
        "thresholds={}",
        *(one for one in overrides(cell.method, cell.data, budget)),
    ]
    return fingerprints.fingerprinted(on_this_machine(load_job(RECIPES[cell.data], asked)))


def folder_of(cell: Cell, runs: Path) -> Path:
    """Where a cell is run: those of the same examples share their teacher's answers."""
    settings = BUDGETS["seeds" if cell.stage == "test" else cell.stage][cell.data].settings
    return runs / f"{cell.data}{'-short' if any(one.startswith('data.') for one in settings) else ''}"


def execute(
    job: Job, folder: Path, wanted: tuple[str, ...] = (), not_of: tuple[str, ...] = ()
) -> loaders.Run:
    """Runs the steps named `wanted`, where they must run; without any, all but those of stages `not_of`."""
    run = loaders.Run(job, folder, lambda items, what, total: items, lambda note: print(f"  {note}"))
    kept = RunFolder(folder)
    kept.admit(job.recipe.name)
    needed = [
        step for step in steps.steps(run) if (step.name in wanted if wanted else step.stage not in not_of)
    ]
    with kept.locked():
        execution.execute(job, kept, needed, lambda step, why: print(f"  {step} ({why})", flush=True))
    return run


def make(cell: Cell, runs: Path) -> dict[str, Any]:
    job = job_of(cell)
    folder = folder_of(cell, runs)
    if cell.stage == "test":
        run = execute(job, folder, not_of=("gate", "report"))
    else:
        run = execute(job, folder, ("data", "teacher", "soft_labels", "distill"))
    facts = {
        **cell._asdict(),
        "commit": commit(),
        "cpu": cpu_model(),
        "precision": job.precision,
        "threads": loaders.training_threads(run),
        "versions": {name: version(name) for name in ("torch", "numpy", "onnxruntime")},
        "distill": job.recipe.distill.model_dump(mode="json"),
        **(on_test(run) if cell.stage == "test" else on_validation(run)),
    }
    return facts


def on_validation(run: loaders.Run) -> dict[str, Any]:
    """What the student says of the validation split, what its training took, and what was said of that."""
    views, settings = loaders.views(run), run.job.recipe.distill
    answers = logits_of(loaders.student_fp32(run), views.held_out()).argmax(axis=1)
    taught = logits_of(loaders.trained_teacher(run), views.held_out()).argmax(axis=1)
    labels = views.validation.labels
    history = json.loads((run.folder / "distill" / "history.json").read_text(encoding="utf-8"))
    teacher = json.loads((run.folder / "teacher" / "history.json").read_text(encoding="utf-8"))["teacher"]
    each = Trainings(
        teacher, history["student_fp32"], len(labels), tuple(str(one.loss) for one in settings.terms)
    )
    epoch_steps = max(1, len(views.train) // settings.batch_size)
    spent: dict[str, list[float]] = {name: [] for name in IMPLIED}
    for training, _, figure, value in epoch_table.rows(run.folder):
        if training == TRAINING and figure in spent:
            spent[figure].append(float(value))
    return {
        "budget": {
            "train": len(views.train),
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "steps": epoch_steps * settings.epochs,
        },
        "teacher": {
            "sha256": sha256(run.folder / "teacher" / "teacher.safetensors"),
            "validation_pct": 100 * float((taught == labels).mean()),
        },
        "validation": scored(answers, labels)
        | {"agreement_pct": 100 * float((answers == taught).mean()), "right": packed(answers == labels)},
        "by_epoch_pct": [round(one["validation_score_pct"], 2) for one in history["student_fp32"]],
        "step": {
            name.replace("seconds", "ms"): round(1000 * float(np.median(of)) / epoch_steps, 2)
            for name, of in spent.items()
            if of
        },
        "alarms": alarms(history),
        "failures": failures(each),
    }


def on_test(run: loaders.Run) -> dict[str, Any]:
    """What the files answer to the test split, as ONNX Runtime executes them."""
    (target,) = run.job.targets
    measured = Measurements.load(run.folder / "bench" / target.name)
    arms = ("teacher", "student_fp32", "student_int8")
    found = {arm: measured.arms[arm].logits.argmax(axis=1) for arm in arms}
    return {
        "target": target.name,
        "test": {
            arm: scored(answers, measured.labels) | {"right": packed(answers == measured.labels)}
            for arm, answers in found.items()
        },
    }


def scored(answers: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {
        "examples": len(labels),
        "accuracy_pct": 100 * float((answers == labels).mean()),
        "macro_f1_pct": 100 * float(f1_score(labels, answers, average="macro", zero_division=0.0)),
    }


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
    stage, data, method, seed, runs, file = sys.argv[1:]
    content = make(Cell(stage, data, method, int(seed)), Path(runs))
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(file), content)
    shown = content.get("validation") or content["test"]
    print("  " + json.dumps({key: value for key, value in shown.items() if key != "right"})[:300])


if __name__ == "__main__":
    main()
