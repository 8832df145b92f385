"""How a thread of a training step should wait for the others: asleep at once, as edgecomp has it on a machine that others use,
or spinning for a while, as it has it on an idle one.

    python benchmarks/waiting_threads.py [--rounds 4]

A step of a ResNet-20 on images of 32×32 pixels, batch 64, two threads; each way in a process of its own, by turns: alone, and two such
processes at once. Prints the median over rounds of each process's median, and its ratio to threads that sleep at once.
"""

import argparse
import os
import statistics
import subprocess
import sys

WAYS = {
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
    "1,000 turns": {"GOMP_SPINCOUNT": "1000"},
    "5,000 turns": {"GOMP_SPINCOUNT": "5000"},
    "20,000 turns": {"GOMP_SPINCOUNT": "20000"},
    "GNU OpenMP's default": {},
}

STEPS = """
import statistics, time, torch
import torch.nn.functional as F
from edgecomp.models.networks.resnet import ResNet
torch.set_num_threads(2)
images = torch.randn(64, 1, 32, 32).contiguous(memory_format=torch.channels_last)
network = ResNet(1, 10).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters(), fused=True)
times = []
for _ in range(45):
    begin = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(network(images), torch.zeros(64, dtype=torch.long)).backward()
    optimizer.step()
    times.append(time.perf_counter() - begin)
print(statistics.median(times[5:]))
"""


def step_ms(way: dict[str, str], at_once: int) -> float:
    """The median step, in milliseconds, of processes that train at once."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", STEPS]
    started = [
        subprocess.Popen(command, env=inherited | way, stdout=subprocess.PIPE, text=True)
        for _ in range(at_once)
    ]
    return 1000 * statistics.median(float(process.communicate()[0]) for process in started)


def show(host: str, rounds: int, at_once: int = 1) -> None:
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            found[name].append(step_ms(way, at_once))
    asleep = statistics.median(found["asleep at once"])
    for name, times in found.items():
        median = statistics.median(times)
        print(f"{host:<22} {name:<22} {median:6.1f} ms  {median / asleep:.2f} x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    show("alone", rounds)
    show("two at once", rounds, at_once=2)


if __name__ == "__main__":
    main()
