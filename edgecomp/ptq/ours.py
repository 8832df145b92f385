"""Post-training quantisation of our own, as strong as it gets without training: what distillation has to beat."""

from collections.abc import Callable, Collection
from functools import cached_property

from torch import fx

from edgecomp.ptq.correction import Means, correct_biases
from edgecomp.quantization.calibration import (
    Batches,
    Method,
    count,
    observe,
    reestimate_batchnorm,
    set_ranges,
)
from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.placement import place, remove_fake_quant


class PostTraining:
    """Quantised copies of one fp32 network, in every way; what several of them need is computed once."""

    def __init__(
        self,
        captured: fx.GraphModule,
        batches: Batches,
        *,
        scheme: str,
        weight_bits: int = 8,
        activation_bits: int = 8,
        edges_in_8_bits: bool = True,
        float_layers: Collection[str] = (),
    ) -> None:
        """captured: the network's graph; batches: calibration inputs; scheme, weight_bits, activation_bits, edges_in_8_bits, float_layers: as in
        `place`."""
        self._captured, self._batches = captured, batches
        self._placed: Callable[[], fx.GraphModule] = lambda: place(
            duplicate(captured),
            scheme,
            float_layers,
            weight_bits,
            activation_bits,
            edges_in_8_bits=edges_in_8_bits,
        )
        self._known: dict[tuple[Method, float, bool], fx.GraphModule] = {}
        self._means: Means = {}

    def student(
        self,
        calibration: Method = "min-max",
        percentile: float = 99.99,
        *,
        batchnorm: bool = False,
        bias_correction: bool = False,
    ) -> fx.GraphModule:
        """A copy to be folded and exported like a trained student.

        calibration, percentile: as in `calibrate`; batchnorm: batch statistics are estimated again with everything rounded; finding the ranges again after that
        changed nothing, from 8 bits to 2; bias_correction: see `correct_biases`. Raises DataError, CaptureError.
        """
        student = duplicate(self._calibrated(calibration, percentile, batchnorm))
        if bias_correction:
            correct_biases(student, self._captured, self._batches, self._means)
        return student

    def corrected_fp32(self, *, batchnorm: bool, bias_correction: bool) -> fx.GraphModule:
        """The fp32 network with the batch statistics and biases of its `student` twin, for a tool to quantise.

        Its weights are as they were. In fp32 it is off by what the tool's own rounding is expected to take away
        again. batchnorm, bias_correction: as in `student`.
        """
        if not (batchnorm or bias_correction):
            return duplicate(self._captured)
        return remove_fake_quant(self.student(batchnorm=batchnorm, bias_correction=bias_correction))

    def _calibrated(self, calibration: Method, percentile: float, batchnorm: bool) -> fx.GraphModule:
        key = (calibration, percentile, batchnorm)
        if key not in self._known:
            if batchnorm:
                student = duplicate(self._calibrated(calibration, percentile, False))
                reestimate_batchnorm(student, self._batches)
            else:
                student = duplicate(self._observed if calibration == "min-max" else self._counted)
                set_ranges(student, calibration, percentile)
            self._known[key] = student
        return self._known[key]

    @cached_property
    def _observed(self) -> fx.GraphModule:
        student = self._placed()
        observe(student, self._batches)
        return student

    @cached_property
    def _counted(self) -> fx.GraphModule:
        student = duplicate(self._observed)
        count(student, self._batches)
        return student
