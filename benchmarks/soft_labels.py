"""What stored soft labels save: an epoch of distillation with them, and with the teacher run in every step, interleaved.

    python benchmarks/soft_labels.py runs/sst2 [--rounds 12] [--threads 1]

DIR is a finished run folder. Both read the same batches in the same order; the teacher, in evaluation mode and without
gradients, runs under the recipe's own precision. Prints the ratio of the times of an epoch's steps.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch

from edgecomp.config.job import read_job
from edgecomp.distill.losses.soft_and_hard_labels import distillation_loss
from edgecomp.pipeline import loaders
from edgecomp.progress import silent
from edgecomp.training.loop import shuffled
from edgecomp.training.optimizers import adamw

BATCHES = 8  # a round


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    run = loaders.Run(read_job(arguments.run), arguments.run, silent)
    recipe = run.job.recipe
    teacher = loaders.trained_teacher(run)
    students = {name: copy.deepcopy(loaders.first_student(run)).train() for name in ("stored", "live")}
    torch.set_num_threads(arguments.threads)
    optimizers = {
        name: adamw([{"params": list(student.parameters()), "lr": 1e-5}])  # the training loop's own
        for name, student in students.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in students}
    with loaders.data(run) as data:
        examples = data.epoch(0)
        batches = shuffled(examples, recipe.distill.batch_size, np.random.default_rng(0))
        for round_ in range(arguments.rounds + 1):
            some = [next(batches) for _ in range(BATCHES)]
            for name in list(students)[:: 1 if round_ % 2 else -1]:
                begin = time.process_time() if arguments.threads == 1 else time.perf_counter()
                for batch in some:
                    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
                        soft = batch.soft_labels
                        if name == "live":
                            with torch.no_grad():
                                soft = teacher(*batch.inputs).float()
                        assert soft is not None
                        logits = students[name](*batch.inputs).float()
                    loss = distillation_loss(
                        logits, soft, batch.labels, temperature=2.0, hard_label_weight=0.1
                    )
                    optimizers[name].zero_grad(set_to_none=True)
                    loss.backward()
                    optimizers[name].step()
                end = time.process_time() if arguments.threads == 1 else time.perf_counter()
                if round_:  # the first warms up
                    seconds[name].append(end - begin)
    ratio = np.array(seconds["live"]) / np.array(seconds["stored"])
    low, middle, high = np.percentile(ratio, [25, 50, 75])
    step = 1e3 * np.median(seconds["stored"]) / BATCHES
    print(f"{recipe.name}: {step:.0f} ms a step from stored soft labels; with a live teacher {middle:.2f} times as long "
          f"(quartiles {low:.2f} to {high:.2f}, {arguments.rounds} interleaved rounds of {BATCHES} batches)")  # fmt: skip


if __name__ == "__main__":
    main()
