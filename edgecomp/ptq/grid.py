"""What post-training quantisation has to offer a network: every combination of tools, ranges and corrections.

A claim for quantisation-aware distillation has to hold against the best of it, and not against a tool's defaults.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from torch import fx

from edgecomp.ptq import tools as ptq
from edgecomp.quantization.layers import rule_of

Tool = Literal["ptq-ort", "ptq-nncf", "ptq-dynamic", "ours"]
Bias = Literal["none", "ours", "fast", "full"]

TOOLS: tuple[Tool, ...] = ("ptq-ort", "ptq-nncf", "ours")

# ONNX Runtime's `entropy` is not here: as its tool sets it up, with as many bins as levels, it gave the bytes of min-max.
CALIBRATIONS: dict[Tool, tuple[str, ...]] = {
    "ptq-ort": ("min-max", "percentile"),
    "ptq-nncf": ("min-max", "percentile", "histogram"),
    "ptq-dynamic": ("min-max",),
    "ours": ("min-max", "percentile", "mse"),
}
# NNCF's `fast` one, its default, is wrong where means depend on the position (docs/decisions/004).
BIASES: dict[Tool, tuple[Bias, ...]] = {
    "ptq-ort": ("none", "ours"),
    "ptq-nncf": ("none", "fast", "full"),
    "ptq-dynamic": ("none",),
    "ours": ("none", "ours"),
}
OPERATORS = (ptq.WEIGHTED_AND_TABLES, ptq.WEIGHTED)


@dataclass(frozen=True)
class Candidate:
    """batchnorm: statistics estimated again with everything rounded. bias: who corrects biases, we or NNCF.

    operators: those that ONNX Runtime's tool is kept to; none given: its own choice.
    """

    tool: Tool
    calibration: str
    percentile: float = 99.99
    batchnorm: bool = False
    bias: Bias = "none"
    operators: tuple[str, ...] = ()

    @property
    def corrections(self) -> dict[str, bool]:
        """Those that we make, of whatever tool."""
        return {"batchnorm": self.batchnorm, "bias_correction": self.bias == "ours"}

    @property
    def corrected(self) -> int:
        """How many corrections it takes, of whomever."""
        return self.batchnorm + (self.bias != "none")

    @property
    def name(self) -> str:
        """Such as `ptq-ort percentile 99.99 + bn + bias`."""
        ranges = {"percentile": f" percentile {self.percentile:g}"}.get(
            self.calibration, f" {self.calibration}"
        )
        ranges = "" if self.tool == "ptq-dynamic" else ranges
        biases = {"none": "", "ours": " + bias", "fast": " + fast bias", "full": " + full bias"}
        kept = f" of {'+'.join(self.operators)}" if self.operators else ""
        return f"{self.tool}{ranges}{kept}{' + bn' if self.batchnorm else ''}{biases[self.bias]}"


def grid(
    *,
    has_batchnorm: bool,
    has_attention: bool = False,
    has_tables: bool = False,
    tools: Collection[Tool] = TOOLS,
    percentile: float = 99.99,
    dynamic: Collection[tuple[str, ...]] = (),
) -> list[Candidate]:
    """Every combination of ranges, batch statistics and biases, the simplest first.

    has_batchnorm: there are batch statistics to estimate again; tools: those that are wanted; percentile: of
    the calibration of that name. has_attention: ONNX Runtime's tool is kept to weighted operators, and where the network
    has_tables with them and without, which leaves those their four bytes a value; its own choice of operators, which loses
    points, is one more. dynamic: operators that are quantised dynamically, a candidate each.
    """
    kept = OPERATORS if has_tables else (ptq.WEIGHTED,)
    found = [
        Candidate(tool, calibration, percentile, batchnorm, bias, operators)
        for tool in TOOLS
        if tool in tools
        for calibration, batchnorm, bias in itertools.product(
            CALIBRATIONS[tool], (False, True) if has_batchnorm else (False,), BIASES[tool]
        )
        for operators in (kept if has_attention and tool == "ptq-ort" else [()])
    ]
    if has_attention and "ptq-ort" in tools:
        found.insert(0, Candidate("ptq-ort", "min-max", percentile))
    found += [Candidate("ptq-dynamic", "min-max", percentile, operators=one) for one in dynamic]
    return sorted(found, key=lambda one: one.corrected)


def suffix(candidate: Candidate, runtime: str) -> str:
    """That of a candidate's file for `runtime`: `.xml` where NNCF quantises or compresses the IR, else `.onnx`."""
    return ".xml" if candidate.tool in ("ptq-nncf", "ptq-dynamic") and runtime == "openvino-cpu" else ".onnx"


def setting_of(candidate: Candidate, scheme: str, float_layers: Collection[str]) -> ptq.Setting:
    """The tool's own knobs; biases that we correct are in the network it is given.

    candidate: of a tool that is not ours; scheme: a name of SCHEMES; float_layers: stay in float.
    """
    assert candidate.tool != "ours"
    return ptq.Setting(
        candidate.tool,
        candidate.calibration,
        candidate.percentile,
        tuple(float_layers),
        operators=candidate.operators,
        bias_correction="none" if candidate.bias == "ours" else candidate.bias,
        scheme=scheme,
    )


def dynamic(captured: fx.GraphModule, runtime: str, scheme: str) -> tuple[tuple[str, ...], ...]:
    """What of `captured` is quantised dynamically for `runtime` through `scheme`, a candidate each: of a network whose weights are all in products, for convolutions would stay in float.
    OpenVINO does it with VNNI alone, of linear layers alone, and its tables are among them."""
    rules = {rule_of(node) for node in captured.graph.nodes}
    if runtime == "onnxruntime-cpu" and "convolution" not in rules and rules & {"linear", "recurrent"}:
        return OPERATORS if "embedding" in rules else OPERATORS[1:]
    if (
        runtime == "openvino-cpu"
        and not rules & {"convolution", "recurrent"}
        and "linear" in rules
        and scheme != "cpu-u8-narrow"
    ):
        return ((),)
    return ()
