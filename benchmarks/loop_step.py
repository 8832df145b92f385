"""What the training loop costs beside the bare steps that it takes, in one process: the same network, batches and optimiser.

    python benchmarks/loop_step.py [--batch 64] [--steps 40] [--rounds 15] [--size 32] [--network resnet]

Both train anew in every round, in turns, and start and end what they need in it: Accelerate, the table of epochs and a checkpoint are the
loop's. Prints CPU time a step of each, and the ratio with the quartiles of the paired ratios. Afterwards both have the same weights to the bit.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F

from edgecomp.models.networks.mlp import Mlp
from edgecomp.models.networks.resnet import ResNet
from edgecomp.progress import silent
from edgecomp.training.loop import Examples, shuffled, train
from edgecomp.training.optimizers import adamw, parameter_groups
from edgecomp.training.practice import Practice
from edgecomp.training.schedules import one_cycle


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--network", choices=("resnet", "mlp"), default="resnet")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    count, precision = asked.batch * asked.steps, "bf16" if asked.bf16 else "fp32"
    shape = (count, 3, asked.size, asked.size) if asked.network == "resnet" else (count, 64)
    examples = Examples(
        {"input": random.normal(size=shape).astype(np.float32)}, random.integers(0, 10, count), dict
    )

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        made = ResNet(3, 10, blocks=1) if asked.network == "resnet" else Mlp(64, 10, width=128)
        return made.to(memory_format=torch.channels_last)

    def bare() -> torch.nn.Module:
        learner = network()
        optimizer = adamw(parameter_groups(list(learner.named_parameters()), 1e-3, 5e-4))
        factor, losses = one_cycle(), []
        learner.train()
        for step, batch in enumerate(shuffled(examples, asked.batch, np.random.default_rng([0, 0]))):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * factor(step / asked.steps)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=asked.bf16):
                loss = F.cross_entropy(learner(*batch.inputs).float(), batch.labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return learner

    def loop() -> torch.nn.Module:
        learner = network()
        with TemporaryDirectory() as folder:
            train(
                learner,
                adamw(parameter_groups(list(learner.named_parameters()), 1e-3, 5e-4)),
                examples=lambda epoch: examples,
                loss=lambda outputs, batch: F.cross_entropy(outputs, batch.labels),
                schedule=one_cycle(),
                evaluate=lambda network: {"validation_score_pct": 0.0},
                epochs=1,
                batch_size=asked.batch,
                seed=0,
                checkpoint=Path(folder) / "checkpoint.safetensors",
                track=silent,
                what="network",
                practice=Practice(precision=precision, folder=Path(folder)),
            )
        return learner

    ways: dict[str, Callable[[], torch.nn.Module]] = {"bare": bare, "loop": loop}
    first, second = (way().state_dict() for way in ways.values())
    same = all(torch.equal(first[name], second[name]) for name in first)
    seconds = np.array([[_took(way) for way in ways.values()] for _ in range(asked.rounds)]) / asked.steps
    low, middle, high = np.percentile(seconds[:, 1] / seconds[:, 0], [25, 50, 75])
    print(
        f"{asked.network}, batch {asked.batch}, {precision}, 1 thread, {asked.rounds} rounds in turns of {asked.steps} steps, CPU time"
    )
    for name, column in zip(ways, seconds.T, strict=True):
        print(f"  {name:<5} {1e3 * np.median(column):8.3f} ms a step")
    print(
        f"  loop / bare: {middle:.3f} (quartiles {low:.3f} to {high:.3f}); the same weights: {'yes' if same else 'no'}"
    )


def _took(way: Callable[[], object]) -> float:
    began = time.process_time()
    way()
    return time.process_time() - began


if __name__ == "__main__":
    main()
