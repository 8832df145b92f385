"""A busy neighbour: on every core one loop of arithmetic and one that streams through memory, at our own priority."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

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


def felt(seconds: float = 0.3) -> float:
    """Wall over CPU time of a loop of our own, now."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < seconds:
        pass
    return (time.perf_counter() - wall) / (time.process_time() - cpu)


@contextmanager
def neighbour() -> Iterator[None]:
    cores = sorted(os.sched_getaffinity(0))
    started = []
    try:
        for core in cores:
            for loop in (ARITHMETIC, MEMORY):
                process = subprocess.Popen([sys.executable, "-c", loop])
                os.sched_setaffinity(process.pid, {core})
                started.append(process)
        time.sleep(0.5)  # until they run
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
