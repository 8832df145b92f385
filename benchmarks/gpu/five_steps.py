"""Five steps of the fake-quant student on the GPU, for a profiler to look at: python benchmarks/gpu/five_steps.py"""

from pathlib import Path

import torch
from subjects import Sitting, train
from training_checks import prepared


def main() -> None:
    task = Sitting("cuda", False, Path(), Path(), True).tasks()[0]
    step, batch = prepared(task, train(task, "cuda", 4).quantised, True, "cuda", bf16=False)
    for _ in range(5):
        step(*batch)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
