"""edgecomp: small int8 models, distilled while they are quantised, measured and gated.

    import edgecomp
    result = edgecomp.run("digits", overrides=["student.arguments.width=8"])
    result.verdict, result.checks, result.figures["openvino-cpu"]["latency_p99_ms"], result.report, result.to_pandas()

Nothing is imported before it is asked for: a benchmark worker imports this package and must stay as small as its runtime.
"""

import sys
from typing import TYPE_CHECKING, Any

# OpenVINO's converter and NNCF would tell their makers of each model; both go without where this package is not to be had.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: as Python has it, not to be had

if TYPE_CHECKING:
    from edgecomp.api.bench import bench
    from edgecomp.api.compare import compare
    from edgecomp.api.data.clean import clean
    from edgecomp.api.data.label import label
    from edgecomp.api.evidence import pack, verify
    from edgecomp.api.load import index, load, side_by_side
    from edgecomp.api.operations import drift, judge_log, update
    from edgecomp.api.quantize import quantize
    from edgecomp.api.run import plan, run
    from edgecomp.api.shrink.search import search
    from edgecomp.package.encryption import encrypt
    from edgecomp.package.serving.folder import serving_folder

__version__ = "0.2.0"
__all__ = [
    "bench",
    "clean",
    "compare",
    "drift",
    "encrypt",
    "index",
    "judge_log",
    "label",
    "load",
    "pack",
    "plan",
    "quantize",
    "run",
    "search",
    "serving_folder",
    "side_by_side",
    "update",
    "verify",
]

_API = {
    "bench": "api.bench",
    "clean": "api.data.clean",
    "compare": "api.compare",
    "drift": "api.operations",
    "encrypt": "package.encryption",
    "index": "api.load",
    "judge_log": "api.operations",
    "label": "api.data.label",
    "load": "api.load",
    "pack": "api.evidence",
    "plan": "api.run",
    "quantize": "api.quantize",
    "run": "api.run",
    "search": "api.shrink.search",
    "side_by_side": "api.load",
    "update": "api.operations",
    "serving_folder": "package.serving.folder",
    "verify": "api.evidence",
}


def __getattr__(name: str) -> Any:
    """A function of the API, imported when it is first asked for."""
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"edgecomp.{_API[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def release() -> tuple[int, int]:
    """The version's first two numbers."""
    first, second = __version__.split(".")[:2]
    return int(first), int(second)
