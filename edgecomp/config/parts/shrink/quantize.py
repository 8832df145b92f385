"""What a recipe says of how its student comes to int8."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from edgecomp import arms
from edgecomp.config.parts.cascade import Cascade
from edgecomp.config.schema import Part
from edgecomp.metrics.units import parse_quantity
from edgecomp.runtimes.formats import is_pytorch

TRAINED = ("qad", "best")
"""Methods that train a student through its integers."""


class Quantize(Part):
    """How the student comes to int8.

    `qad`: the same loss, through fake-quant, for `epochs` more epochs. `ptq-ort`, `ptq-nncf`: a runtime's own
    post-training quantisation of the fp32 student. `ptq-dynamic`: weights in int8, and what products read rounded as it comes. `ptq-best`: for each target the best of all ways to do that, chosen on the validation
    split. `best`: for each target the better of `qad` and `ptq-best` there. `none`: it stays in fp32. `baselines` are measured and shown
    beside whatever is judged. Scales start from `calibration`, learn, and freeze; batch statistics freeze too.
    """

    # how: trained through its integers (qad), after training (ptq-), the better of both (best), or not at all
    method: Literal["qad", "ptq-ort", "ptq-nncf", "ptq-dynamic", "ptq-best", "best", "none"] = "qad"
    # other ways to quantise the same student, measured beside it
    baselines: list[Literal["control", "ptq-ort", "ptq-nncf", "ptq-dynamic", "ptq-best"]] = []
    epochs: int = Field(4, ge=1, le=10_000)  # of training through fake-quant
    learning_rate: float = Field(4e-4, gt=0, le=10)  # of weights, at its highest
    scale_learning_rate: float = Field(1e-3, gt=0, le=10)  # of the logarithms of scales
    calibration: Literal["min-max", "percentile", "mse"] = "min-max"  # with fewer than 8 bits, mse
    percentile: float = Field(99.99, gt=50, le=100)  # of calibration: percentile
    bias_correction: bool = False  # before training: what rounding takes from a layer's mean goes to its bias
    calibration_batches: int = Field(8, ge=1)  # of distill.batch_size, of the calibration split
    kernel: Literal["torch", "fused"] = "torch"  # of fake-quant in training: fused needs a C++ compiler
    # of a target's ptq-best, after which no further candidate is made
    ptq_minutes: float | None = Field(None, gt=0)
    freeze_scales_epochs: int = Field(1, ge=0)  # the last so many with scales that no longer learn
    freeze_batchnorm_epochs: int = Field(1, ge=0)  # likewise, with batch statistics as they are
    weight_bits: Literal[8, 4, 2] = 8  # 4: integers -7..7, 2: -1..1 (ternary); first and last layers keep 8
    activation_bits: Literal[8, 4] = 8  # what a layer reads, likewise
    simulate: bool = False  # fewer bits than the runtimes execute, stored and executed as 8
    float_layers: dict[str, str] = {}  # layer → why; of those named here none counts as int8
    precision_by: Literal["accuracy", "speed"] = (
        "accuracy"  # speed: layers that a target is slower with go to float
    )
    cascade: Cascade | None = None  # the release hands on to its teacher what the student is unsure of
    # such as `0.5 pt`: beyond it the costliest layers go to float; a student that is trained is trained again then
    max_drop: str | None = None

    @model_serializer(mode="wrap")
    def _as_before_there_were_cascades(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where it is not asked for, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {
            name: value
            for name, value in found.items()
            if value or name not in ("cascade", "bias_correction")
        }

    @model_validator(mode="before")
    @classmethod
    def _few_levels_are_not_spread_over_the_whole_range(cls, given: Any) -> Any:
        """Of three levels from -max to max, nearly all weights would be in the middle one."""
        if not isinstance(given, dict) or given.get("method", "qad") not in TRAINED:
            return given
        in_8_bits = given.get("weight_bits", 8) == given.get("activation_bits", 8) == 8
        return given if in_8_bits else given | {"calibration": given.get("calibration") or "mse"}

    @field_validator("max_drop", mode="before")
    @classmethod
    def _in_points(cls, text: object) -> object:
        if text is not None and parse_quantity(text).dimension != "points":
            raise ValueError(f"{text!r} is not in percentage points: write for example '0.5 pt'")
        return text

    @model_validator(mode="after")
    def _settings_go_together(self) -> "Quantize":
        if self.calibration == "mse" and self.tool:
            raise ValueError(f"{self.method} has no mse calibration: use min-max or percentile")
        if self.bias_correction and not self.trains:
            raise ValueError(
                f"bias_correction is of where training with qad begins, and the method is {self.method}; ptq-best tries it by itself"
            )
        if self.max_drop is not None and self.in_float:
            raise ValueError(
                "max_drop chooses layers of a student in int8, and with method none every layer is in float"
            )
        if self.precision_by == "speed" and not self.is_trained:
            raise ValueError(
                f"precision_by: speed chooses layers of a student that is trained with qad, not {self.method}"
            )
        for name, bits in (("weight_bits", self.weight_bits), ("activation_bits", self.activation_bits)):
            if bits != 8 and not (self.trains or self.chosen):
                raise ValueError(f"{name}: {self.method} quantises to 8 bits, not {bits}")
        tools = [tool for tool in self.baselines if tool in arms.TOOLS]
        if tools and self.bits != (8, 8):
            raise ValueError(f"baselines: {tools[0]} quantises to 8 bits; ptq-best has candidates of fewer")
        if self.float_layers and self.in_float:
            raise ValueError("float_layers: with method none every layer is in float")
        if arms.CONTROL.baseline in self.baselines and not self.trains:
            raise ValueError(
                f"baselines: {arms.CONTROL.baseline} is trained for as long as qad is, and the method is {self.method}"
            )
        if self.cascade is not None and not self.is_trained:
            raise ValueError(
                f"cascade: of a student that is trained through its integers (qad), and the method is {self.method}"
            )
        if self.picks and arms.PTQ_BEST.baseline in self.baselines:
            raise ValueError(f"baselines: method {self.method} looks for {arms.PTQ_BEST.baseline} by itself")
        if self.method in self.baselines:
            raise ValueError(f"baselines: {self.method} is the method itself")
        return self

    def of(self, scheme: str, runtime: str) -> "Quantize":
        """What of it holds for a target of that scheme and runtime: without a scheme it is sent the student in float, beside others in float;
        of PyTorch's own files no tool makes one after training."""
        trained = tuple(name for name in self.baselines if name == arms.CONTROL.baseline)
        if scheme != "none":
            if is_pytorch(runtime):  # which no tool and no cascade makes files of
                method = "qad" if self.picks else self.method
                return self.model_copy(update={"baselines": trained, "cascade": None, "method": method})
            return self
        return Quantize(method="none").model_copy(update={"baselines": trained})

    @property
    def trains(self) -> bool:
        """Whether a student is trained through its integers (quantisation-aware distillation)."""
        return self.method in TRAINED

    @property
    def is_trained(self) -> bool:
        """Whether the student is the one that is trained through its integers."""
        return self.trains and not self.picks

    @property
    def drops_layers(self) -> bool:
        """Whether layers are chosen to be in float of a student that no training has made: by `max_drop`, after calibration."""
        return self.max_drop is not None and not self.trains

    @property
    def picks(self) -> bool:
        """Whether the student is, for each target, the better of the one that is trained through its integers and the best post-training quantisation."""
        return self.method == "best"

    @property
    def in_float(self) -> bool:
        return self.method == "none"

    @property
    def tool(self) -> str:
        """The runtime's own tool that makes the student; empty where no tool does."""
        return self.method if self.method in arms.TOOLS else ""

    @property
    def chosen(self) -> bool:
        """Whether the student is the best of all post-training quantisations."""
        return self.method == "ptq-best"

    @property
    def hands_on(self) -> bool:
        """Whether the release is a cascade, of the student and then its teacher."""
        return self.cascade is not None

    @property
    def bits(self) -> tuple[int, int]:
        """Of weights and of activations."""
        return self.weight_bits, self.activation_bits

    @property
    def max_drop_pt(self) -> float | None:
        return None if self.max_drop is None else parse_quantity(self.max_drop).value
