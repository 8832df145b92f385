"""A student of CIFAR-10 by edgecomp's loop and by torchdistill's own `DistillationBox`, in turns: what a step takes, and what comes out.

    python benchmarks/methods/beside_torchdistill.py [--seeds 0 1 2] [--epochs 6] [--runs runs/methods]

The same student, stored answers of the same teacher, views of the images, number of steps, batch size, peak of the learning rate, layout (channels
last), precision and threads. torchdistill takes its examples one by one, as its own examples do, through a `DataLoader` in the same process; edgecomp
takes them by the batch. Both pay for their views. Beside them stands a step of the network alone, which neither can be faster than. CPU time, all of training over its steps, without evaluation. What there is already in
reports/methods/torchdistill.json is not run again. torchdistill (`pip install --no-deps torchdistill`) imports torchvision, which it needs for networks and
data of its own alone: where that is not installed, names stand in for it.
"""

import argparse
import gc
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from cell import Cell, execute, folder_of, job_of
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset, RandomSampler

from edgecomp.distill.data import DistillationData
from edgecomp.distill.student import example_of
from edgecomp.files.json_files import parse_json
from edgecomp.files.writing import write_json
from edgecomp.machine import cpu_model
from edgecomp.pipeline import loaders
from edgecomp.progress import silent
from edgecomp.training.loop import train
from edgecomp.training.optimizers import adamw, parameter_groups
from edgecomp.training.schedules import one_cycle

STEPS = 100  # of the network alone
TEMPERATURE, HARD, RATE, DECAY, BATCH, WARMUP = 4.0, 0.1, 1e-2, 5e-4, 128, 0.15


class StandIn(types.ModuleType):
    """Has any name that is asked of it, a class each, which nothing is done with."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def box() -> Callable[..., Any]:
    """torchdistill's, with torchvision or without."""
    if importlib.util.find_spec("torchvision") is None:
        for name in ("", ".models", ".datasets", ".transforms", ".models.densenet", ".models.resnet"):
            sys.modules[f"torchvision{name}"] = StandIn(f"torchvision{name}")
    from torchdistill.core.distillation import DistillationBox
    from torchdistill.core.interfaces.registry import register_forward_proc_func

    @register_forward_proc_func
    def stored_answers(model: nn.Module, batch: Any, targets: Any = None, supplied: Any = None) -> Any:
        return supplied["logits"]

    @register_forward_proc_func
    def channels_last(model: nn.Module, batch: Any, targets: Any = None, supplied: Any = None) -> Any:
        return model(batch.contiguous(memory_format=torch.channels_last))

    return DistillationBox


class OneByOne(Dataset[Any]):
    """The views of the training images as torchvision's data sets give them: an image of [0, 1], standardised, its label, and what its teacher said."""

    def __init__(self, data: DistillationData) -> None:
        preprocessing: Any = data.views.preprocessing
        self._data = data
        self._mean, self._std = (
            torch.tensor(one)[:, None, None] for one in (preprocessing.mean, preprocessing.std)
        )
        self.begin(0)

    def begin(self, epoch: int) -> None:
        examples = self._data.epoch(epoch)
        (self._images,) = examples.arrays.values()
        self._labels, self._said = torch.from_numpy(examples.labels), torch.from_numpy(examples.soft_labels)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        image = torch.from_numpy(self._images[place]).float().div_(255).sub_(self._mean).div_(self._std)
        return image, self._labels[place], {"logits": self._said[place]}


def by_torchdistill(
    student: nn.Module, data: DistillationData, epochs: int, seed: int, made: Callable[..., Any]
) -> float:
    """Trains `student`; CPU seconds."""
    torch.manual_seed(seed)
    student.to(memory_format=torch.channels_last)
    began = time.process_time()
    examples = OneByOne(data)
    steps = len(examples) // BATCH * epochs
    place = {f"{who}_module_{of}": said for who in ("student", "teacher") for of, said in WHERE.items()}
    kd = {"key": "KDLoss", "kwargs": place | {"temperature": TEMPERATURE, "alpha": HARD}}
    settings = {
        "num_epochs": epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "requires_supp": False,
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": BATCH, "num_workers": 0, "drop_last": True},
        },
        "teacher": {"requires_grad": False, "forward_proc": "stored_answers", "wrapper": None},
        "student": {"forward_proc": "channels_last", "wrapper": None},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": RATE, "weight_decay": DECAY}},
        "scheduler": {
            "key": "OneCycleLR",
            "scheduling_step": 1,
            "kwargs": {
                "max_lr": RATE,
                "total_steps": steps + 1,
                "pct_start": WARMUP,
                "div_factor": 20,
                "cycle_momentum": False,
            },
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": kd, "weight": 1.0}}},
        },
    }
    trains = made(
        nn.Identity(), student, {"train": examples}, settings, torch.device("cpu"), None, False, 1.0
    )
    for epoch in range(epochs):
        if epoch:
            examples.begin(epoch)
        trains.pre_epoch_process(epoch=epoch)
        for images, labels, supplied in trains.train_data_loader:
            trains.post_forward_process(loss=trains.forward_process(images, labels, supplied))
        trains.post_epoch_process()
    return time.process_time() - began


WHERE = {"path": ".", "io": "output"}


def by_edgecomp(
    student: nn.Module, data: DistillationData, epochs: int, seed: int, run: loaders.Run
) -> float:
    """Trains `student`; CPU seconds."""
    began = time.process_time()
    learner = loaders.loss(run).bind(student, example_of(data))
    with TemporaryDirectory() as folder:
        train(
            learner,
            adamw(parameter_groups(list(learner.named_parameters()), RATE, DECAY)),
            examples=data.epoch,
            loss=learner.loss,
            schedule=one_cycle(WARMUP),
            evaluate=lambda network: {"validation_score_pct": 0.0},
            epochs=epochs,
            batch_size=BATCH,
            seed=seed,
            checkpoint=Path(folder) / "checkpoint.safetensors",
            track=silent,
            what="student, fp32",
        )
    return time.process_time() - began


def alone(student: nn.Module) -> float:
    """CPU milliseconds of a step of the network and nothing else: forward, loss, backward and AdamW on the same batch, whose views cost nothing. The median of STEPS."""
    student.train().to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels, taught = torch.randint(10, (BATCH,)), torch.randn(BATCH, 10)
    optimizer = adamw(parameter_groups(list(student.named_parameters()), RATE, DECAY))
    took = []
    for _ in range(STEPS):
        began = time.process_time()
        said = student(images)
        soft = functional.kl_div(
            functional.log_softmax(said / TEMPERATURE, 1), functional.softmax(taught / TEMPERATURE, 1), reduction="batchmean"
        )  # fmt: skip
        loss = HARD * functional.cross_entropy(said, labels) + (1 - HARD) * TEMPERATURE**2 * soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        took.append(time.process_time() - began)
    return 1000 * float(np.median(took))


def trainings(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    made = box()
    cell = Cell("screen", "cifar10", "kd", 0)
    run = execute(job_of(cell), folder_of(cell, asked.runs), ("data", "teacher", "soft_labels"))
    with loaders.distillation_data(run) as data:
        for seed in asked.seeds:
            ways: dict[str, Callable[[nn.Module], float]] = {
                "edgecomp": lambda student, seed=seed: by_edgecomp(student, data, asked.epochs, seed, run),  # type: ignore[misc]  # mypy infers no lambda with a default
                "torchdistill": lambda student, seed=seed: by_torchdistill(  # type: ignore[misc]  # mypy infers no lambda with a default
                    student, data, asked.epochs, seed, made
                ),
            }
            found: dict[str, Any] = {"seed": seed, "epochs": asked.epochs, "cpu": cpu_model()}
            for name in sorted(ways, reverse=bool(seed % 2)):
                student = loaders.fresh_network(run, run.job.recipe.student)
                torch.manual_seed(seed)
                for module in student.modules():
                    if hasattr(module, "reset_parameters"):
                        module.reset_parameters()
                gc.collect()
                seconds = ways[name](student)
                steps = len(data.views.train) // BATCH * asked.epochs
                student.eval()
                found[name] = {
                    "cpu_ms_a_step": round(1000 * seconds / steps, 2),
                    "validation_pct": round(data.score(student), 3),
                }
                print(seed, name, found[name], flush=True)
            found["alone_cpu_ms_a_step"] = round(alone(loaders.fresh_network(run, run.job.recipe.student)), 2)
            print(seed, "the network alone", found["alone_cpu_ms_a_step"], flush=True)
            yield found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"))
    parser.add_argument("--to", type=Path, default=Path("reports/methods"))
    asked = parser.parse_args()
    file = asked.to / "torchdistill.json"
    known = parse_json(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else []
    there = {(one["seed"], one["epochs"]) for one in known}
    asked.seeds = [seed for seed in asked.seeds if (seed, asked.epochs) not in there]
    for one in trainings(asked) if asked.seeds else ():
        known.append(one)
        asked.to.mkdir(parents=True, exist_ok=True)
        write_json(file, known)
    if known:
        print(json.dumps(compared(known)))


def compared(known: list[dict[str, Any]]) -> dict[str, Any]:
    """Over seeds: the ratio of a step's time, edgecomp's and the network's alone, and the difference of what came out in points; means, lowest and highest."""
    ratios = [one["edgecomp"]["cpu_ms_a_step"] / one["torchdistill"]["cpu_ms_a_step"] for one in known]
    floors = [one["alone_cpu_ms_a_step"] / one["torchdistill"]["cpu_ms_a_step"] for one in known]
    points = [one["edgecomp"]["validation_pct"] - one["torchdistill"]["validation_pct"] for one in known]
    return {
        "seeds": len(known),
        **{
            name: [round(float(value), 3) for value in (np.mean(of), min(of), max(of))]
            for name, of in (("time_ratio", ratios), ("alone_ratio", floors), ("accuracy_points", points))
        },
    }


if __name__ == "__main__":
    main()
