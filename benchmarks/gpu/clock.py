"""Time and memory on a device: CUDA events and PyTorch's allocator; on a CPU, where this is rehearsed, the wall clock."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


def times_ms(work: Callable[[], Any], device: str, repeats: int, warmup: int = 3) -> list[float]:
    """What each of `repeats` calls took, one after another, launches included, in ms."""
    for _ in range(warmup):
        work()
    if device == "cpu":
        return [_wall_ms(work) for _ in range(repeats)]
    events = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)
    ]
    torch.cuda.synchronize()
    for start, end in events:
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()  # or the next call's launches hide behind this one's kernels: a latency is of one alone
    return [float(start.elapsed_time(end)) for start, end in events]


def median_ms(work: Callable[[], Any], device: str, repeats: int, warmup: int = 3) -> float:
    return statistics.median(times_ms(work, device, repeats, warmup))


def rate(work: Callable[[], Any], device: str, examples: int, calls: int, rounds: int = 5) -> float:
    """Examples a second: the median over `rounds` of `calls` calls that are queued behind each other, of `examples` each."""

    def queued() -> None:
        for _ in range(calls):
            work()

    return 1e3 * examples * calls / median_ms(queued, device, rounds, warmup=2)


def _wall_ms(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


@dataclass
class Peak:
    """bytes: the most that was allocated on the device at once, over what was there before; 0 on a CPU."""

    bytes: int = 0

    @property
    def mib(self) -> float:
        return self.bytes / 2**20


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """What the block holds on the device at most, in the object it is given, once it has ended."""
    found = Peak()
    if device == "cpu":
        yield found
        return
    torch.cuda.synchronize()
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()  # or whoever comes first pays for all
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    yield found
    torch.cuda.synchronize()
    found.bytes = torch.cuda.max_memory_allocated() - before
