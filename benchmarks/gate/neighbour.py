"""Busy neighbours, at our own priority: plain loops on every core, or what a shared build machine does.

`loops`: on every core one loop of arithmetic and one that streams through memory. `mixture`: a training with as many threads as there
are cores, a compiler, and bursts of reading; a load of four on two cores.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Each ends when we do, however that comes.
ARITHMETIC = """
import os
parent, x = os.getppid(), 1.0
while os.getppid() == parent:
    for _ in range(100_000): x = x * 1.0000001 + 1e-9
"""
MEMORY = """
import os, numpy as np
parent, a = os.getppid(), np.ones(32 << 20, np.uint8)
b = np.empty_like(a)
while os.getppid() == parent: np.copyto(b, a)
"""
TRAINING = """
import os, torch
from edgecomp.models.networks.resnet import ResNet
parent = os.getppid()
torch.set_num_threads(len(os.sched_getaffinity(0)))
network = ResNet(1, 10).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters())
x = torch.randn(64, 1, 32, 32).contiguous(memory_format=torch.channels_last)
y = torch.randint(0, 10, (64,))
while os.getppid() == parent:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(x), y).backward()
    optimizer.step()
"""
COMPILER = """
import os, subprocess, sys
parent, folder = os.getppid(), sys.argv[1]
source = os.path.join(folder, "made.cpp")
with open(source, "w") as file:
    file.write("#include <regex>\\n#include <map>\\n#include <string>\\nstd::map<std::string, std::regex> all;\\n"
               "bool any(const std::string& s) { for (auto& [k, r] : all) if (std::regex_search(s, r)) return true; return false; }\\n")
while os.getppid() == parent:
    subprocess.run(["c++", "-std=c++17", "-O2", "-c", source, "-o", source + ".o"], check=True)
"""
READING = """
import os, random, sys, time
parent, random = os.getppid(), random.Random(0)
files = [entry.path for entry in os.scandir(os.path.dirname(os.__file__)) if entry.is_file()] + sys.argv[1:]
while os.getppid() == parent:
    end = time.monotonic() + random.uniform(0.1, 1.0)
    while time.monotonic() < end:
        with open(random.choice(files), "rb") as file:
            while file.read(1 << 20): pass
    time.sleep(random.uniform(0.05, 0.5))
"""


def felt(seconds: float = 0.3) -> float:
    """Wall over CPU time of a loop of our own, now."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < seconds:
        pass
    return (time.perf_counter() - wall) / (time.process_time() - cpu)


@contextmanager
def loops() -> Iterator[None]:
    with _running([(loop, [], {core}) for core in _cores() for loop in (ARITHMETIC, MEMORY)]):
        time.sleep(0.5)  # until they run
        yield


@contextmanager
def mixture() -> Iterator[None]:
    """What a build machine does at once: a training, a compiler, bursts of reading."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        large.write_bytes(os.urandom(64 << 20))
        with _running([(TRAINING, [], None), (COMPILER, [folder], None), (READING, [str(large)], None)]):
            time.sleep(6)  # until the training has begun
            yield


NEIGHBOURS = {"neighbour": loops, "mixture": mixture}


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def _running(scripts: list[tuple[str, list[str], set[int] | None]]) -> Iterator[None]:
    """Each in a process group of its own, which is ended whole."""
    started = []
    try:
        for script, arguments, cores in scripts:
            process = subprocess.Popen([sys.executable, "-c", script, *arguments], start_new_session=True)
            if cores is not None:
                os.sched_setaffinity(process.pid, cores)
            started.append(process)
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
