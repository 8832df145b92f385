"""What the machine did meanwhile, where its kernel tells, and which figures stand because of it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CONTENDED = 1.15  # wall over CPU time of one thread, from which wall figures are the neighbours' as well
UNSTEADY = 0.03  # spread of CPU medians over restarts, from which small differences cannot be told
STOLEN = 0.02  # share of the time that a hypervisor, or waiting for a core, has taken

RAPL = "/sys/class/powercap/intel-rapl:0/energy_uj"  # AMD's as well


class Host(NamedTuple):
    """Running totals since boot, and what is so now; None where the kernel does not say.

    stolen_ns: CPU time that the hypervisor gave to others; waiting_ns: time in which some task waited for a core (PSI);
    throttled: times the CPU slowed down for heat; frequency_khz: the first core's; energy_uj: of the first package (RAPL), which
    begins again from 0 now and then.
    """

    stolen_ns: int | None
    waiting_ns: int | None
    throttled: int | None
    frequency_khz: int | None
    energy_uj: int | None = None


def host() -> Host:
    return Host(
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


class Quality(NamedTuple):
    """grade A: all figures stand; B: they stand, with noise; C: CPU figures stand, wall figures do not; D: none says what it would be
    on a CPU that is not throttled."""

    grade: str
    advice: str
    facts: dict[str, float | None]


def grade(
    samples: Mapping[str, npt.NDArray[np.int64]],
    blocks: Sequence[Mapping[str, float | None]],
    *,
    threads: int,
    waits: bool = False,
) -> Quality:
    """How far the figures of one model can be trusted. samples: an arm's, ns [restarts, ...]; blocks: what `during` gave.

    With one thread wall over CPU time is contention; with more, or where the model waits for a device, it is not, and the kernel's own
    accounts stand in. That restarts differ takes no figure away: intervals over restarts are as wide as that.
    """
    ratio, spread = wall_over_cpu(samples), _spread(samples)
    facts: dict[str, float | None] = {"wall_over_cpu": ratio, "cpu_spread": spread}
    for name in ("stolen_share", "waiting_share", "involuntary_per_s", "throttled", "frequency_khz"):
        values = [value for block in blocks if (value := block.get(name)) is not None]
        facts[name] = float(np.mean(values)) if values else None
    stolen = max(facts["stolen_share"] or 0.0, 0.0)
    taken = max(stolen, facts["waiting_share"] or 0.0)
    alone = threads == 1 and not waits
    if facts["throttled"]:
        advice = "the CPU was throttled for heat: a limit that is kept is kept, one that is broken may be the heat's"
        return Quality("D", advice, facts)
    if (ratio > CONTENDED) if alone else (taken > CONTENDED - 1):
        shown = f"wall/CPU = {ratio:.2f}" if alone else f"{100 * taken:.0f} % of the time taken by others"
        return Quality("C", f"host contended: {shown}; CPU figures stand, wall figures do not", facts)
    if spread > UNSTEADY:
        differs = f"CPU time differs by {100 * spread:.0f} % between restarts"
        return Quality("B", f"{differs}: intervals are as wide, and more restarts narrow them", facts)
    if (alone and ratio > 1 + (CONTENDED - 1) / 3) or stolen > STOLEN:
        return Quality("B", "some noise: compare by CPU time, and small differences not at all", facts)
    return Quality("A", "quiet", facts)


def wall_over_cpu(samples: Mapping[str, npt.NDArray[np.int64]]) -> float:
    """Of single stream and offline together, the median over restarts: with one thread, over 1 by what others took. A median of
    inferences would hide it, for most are over before the scheduler looks; and one stall is not a contended host."""
    wall, cpu = (
        sum(
            samples[name].reshape(len(samples[name]), -1).sum(axis=1)
            for name in (f"single_stream_{clock}_ns", f"offline_{clock}_ns")
            if name in samples
        )
        for clock in ("wall", "cpu")
    )
    return float(np.median(wall / np.maximum(cpu, 1)))


def _spread(samples: Mapping[str, npt.NDArray[np.int64]]) -> float:
    """What the restarts' medians of CPU time differ by, of their median."""
    medians = np.median(samples["single_stream_cpu_ns"], axis=1)
    return float((medians.max() - medians.min()) / max(float(np.median(medians)), 1.0))


def during(before: Host, after: Host, elapsed_ns: int, worker: Mapping[str, int]) -> dict[str, float | None]:
    """One block's noise, as shares of its time. worker: what its process says of its own context switches meanwhile."""
    seconds = max(elapsed_ns, 1) / 1e9

    def share(name: str, cores: int = 1) -> float | None:
        first, last = getattr(before, name), getattr(after, name)
        return None if first is None or last is None else (last - first) / 1e9 / seconds / cores

    throttled = (
        None if before.throttled is None or after.throttled is None else after.throttled - before.throttled
    )
    return {
        "stolen_share": share("stolen_ns", os.cpu_count() or 1),
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
