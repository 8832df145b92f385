"""What a process holds, read from the kernel. Imported in workers: standard library only."""

from pathlib import Path


def snapshot() -> dict[str, int]:
    """uss_bytes: pages of this process alone; rss_bytes; peak_bytes: the high-water mark of RSS (VmHWM)."""
    status = _fields("/proc/self/status")
    pages = _fields("/proc/self/smaps_rollup")
    return {
        "rss_bytes": status["VmRSS"],
        "peak_bytes": status["VmHWM"],
        "uss_bytes": pages["Private_Clean"] + pages["Private_Dirty"],
    }


def _fields(path: str) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file in /proc, in bytes."""
    fields = {}
    for line in Path(path).read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            fields[name] = int(words[0]) * 1024
    return fields
