"""The teacher of the cells on CIFAR-10, trained once, and its weights in half precision where cifar10_teacher.py reads them."""

from pathlib import Path

import torch
from cell import execute
from cifar10_teacher import WEIGHTS
from safetensors.torch import load_file, save

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.files.scratch import replacing
from edgecomp.pipeline import fingerprints


def teach(runs: Path) -> None:
    """Trains it in `runs`, where its weights are not kept yet."""
    if WEIGHTS.is_file():
        print(f"{WEIGHTS}: there already")
        return
    job = fingerprints.fingerprinted(
        on_this_machine(load_job(str(Path(__file__).with_name("teacher.yaml")), []))
    )
    run = execute(job, runs / "cifar10-teacher", ("data", "teacher"))
    weights = load_file(run.folder / "teacher" / "teacher.safetensors")
    halves = {
        name: value.to(torch.float16) if value.is_floating_point() else value
        for name, value in weights.items()
    }
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    with replacing(WEIGHTS) as temporary:
        temporary.write_bytes(save(halves))
    print(f"{WEIGHTS}: {sum(value.numel() for value in halves.values()):,} numbers")
