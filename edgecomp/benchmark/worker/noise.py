"""What the machine did meanwhile, where its kernel tells."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

RAPL = "/sys/class/powercap/intel-rapl:0/energy_uj"  # AMD's as well


class Host(NamedTuple):
    """Running totals since boot, and what is so now; None where the kernel does not say.

    at_ns: when, by a clock that only runs on; cores: of the machine. stolen_ns: CPU time that the hypervisor gave to others; waiting_ns: time in which some task waited for a core (PSI);
    throttled: times the CPU slowed down for heat; frequency_khz: the first core's; energy_uj: of the first package (RAPL), which
    begins again from 0 now and then.
    """

    stolen_ns: int | None
    waiting_ns: int | None
    throttled: int | None
    frequency_khz: int | None
    energy_uj: int | None = None
    at_ns: int = 0
    cores: int = 1


def host() -> Host:
    return Host(
        at_ns=time.perf_counter_ns(),
        cores=os.cpu_count() or 1,
        stolen_ns=_stolen_ns(),
        waiting_ns=_waiting_ns(),
        throttled=_number("/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"),
        frequency_khz=_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
        energy_uj=_number(RAPL),
    )


def switches() -> dict[str, int]:
    """Context switches of this process so far: of its own will, and against it."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"voluntary_switches": usage.ru_nvcsw, "involuntary_switches": usage.ru_nivcsw}


def during(before: Host, after: Host, worker: Mapping[str, int]) -> dict[str, float | None]:
    """One block's noise, as shares of its time. before, after: the host at either end of it;
    worker: what its process says of its own context switches meanwhile."""
    seconds = max(after.at_ns - before.at_ns, 1) / 1e9

    def share(name: str, cores: int = 1) -> float | None:
        first, last = getattr(before, name), getattr(after, name)
        return None if first is None or last is None else (last - first) / 1e9 / seconds / cores

    throttled = (
        None if before.throttled is None or after.throttled is None else after.throttled - before.throttled
    )
    return {
        "stolen_share": share("stolen_ns", after.cores),
        "waiting_share": share("waiting_ns"),
        "throttled": throttled,
        "frequency_khz": after.frequency_khz,
        "energy_uj": _joules(before.energy_uj, after.energy_uj),
        "involuntary_per_s": worker.get("involuntary_switches", 0) / seconds,
    }


def _joules(before: int | None, after: int | None) -> int | None:
    """None where there is no sensor, or it began again from 0 meanwhile."""
    return None if before is None or after is None or after < before else after - before


def _stolen_ns() -> int | None:
    for line in _lines("/proc/stat"):
        words = line.split()
        if words and words[0] == "cpu" and len(words) > 8:
            return int(words[8]) * (10**9 // os.sysconf("SC_CLK_TCK"))
    return None


def _waiting_ns() -> int | None:
    for line in _lines("/proc/pressure/cpu"):
        if line.startswith("some"):
            return int(line.rpartition("total=")[2]) * 1000
    return None


def _number(path: str) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def thread_times() -> dict[int, int]:
    """CPU time of each thread of this process so far, in ns (Linux, Documentation/scheduler/sched-stats.rst)."""
    times = {}
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            times[int(thread)] = int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])
    return times
