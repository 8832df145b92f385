"""What a device is and may cost: profiles read from targets/*.yaml."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edgecomp.metrics import METRICS, nearest
from edgecomp.policies import Threshold, refuse_newer
from edgecomp.runtimes import EXECUTES
from edgecomp.schema import FORMAT, Schema, find, names_in, parse, read_yaml, shipped


class Target(Schema):
    """A device profile.

    An `isa` other than the host's is executed by an emulator: its answers are gated, its timings are the host's.
    `runtime` is a row of edgecomp.runtimes.TABLE, `options` are that runtime's own, checked by its adapter.
    `budget` maps a metric to its limit: `latency_p99_ms: 50 ms`. `isa: host` means this machine's.
    """

    format: Literal[1] = FORMAT  # type: ignore[assignment]
    name: str
    description: str = ""
    runtime: Literal["onnxruntime-cpu", "openvino-cpu", "pytorch-cpu"]
    options: dict[str, str | int | float | bool] = {}
    isa: Literal["host", "x86-64-avx2", "armv8-a", "armv8.2-dotprod"] = "host"
    threads: int = Field(1, ge=1, le=256)
    scheme: Literal["cpu-u8", "cpu-u8-narrow", "gpu-s8", "none"] = "cpu-u8"
    budget: dict[str, str] = {}

    @field_validator("budget")
    @classmethod
    def _limits_make_sense(cls, budget: dict[str, str]) -> dict[str, str]:
        for metric in budget:
            if metric not in METRICS:
                raise ValueError(f"no such metric: {metric!r}{nearest(metric, METRICS)}")
        for row in budget_rows(budget).values():
            Threshold.model_validate(row)
        return budget

    @model_validator(mode="after")
    def _the_runtime_executes_the_scheme(self) -> "Target":
        executed = EXECUTES[self.runtime]
        if self.scheme not in executed:
            raise ValueError(f"scheme {self.scheme!r} does not go together with {self.runtime}, which would run its "
                             f"layers in float: it takes {' or '.join(executed)}")  # fmt: skip
        return self

    def budget_rows(self) -> dict[str, Threshold]:
        return {name: Threshold.model_validate(row) for name, row in budget_rows(self.budget).items()}


def budget_rows(budget: dict[str, str]) -> dict[str, dict[str, Any]]:
    """A profile's budget as threshold rows, named after their metrics."""
    return {
        metric: {"metric": metric, ("max" if METRICS[metric].better == "lower" else "min"): limit}
        for metric, limit in budget.items()
    }


def target_names() -> list[str]:
    return names_in(shipped("targets"))


def load_target(name: str) -> Target:
    """The profile of that name or path. Raises UsageError or RecipeError."""
    path = find(name, shipped("targets"), "target")
    content = read_yaml(path)
    refuse_newer(content, str(path))
    return parse(Target, content, str(path))
