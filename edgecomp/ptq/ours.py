"""Post-training quantisation of our own, as strong as it gets without training: what distillation has to beat."""

from collections.abc import Collection

from torch import fx

from edgecomp.ptq.correction import correct_biases
from edgecomp.quantization.calibration import Batches, Method, calibrate, reestimate_batchnorm
from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.placement import place, remove_fake_quant


def post_training(
    captured: fx.GraphModule,
    batches: Batches,
    *,
    scheme: str,
    weight_bits: int = 8,
    activation_bits: int = 8,
    edges_in_8_bits: bool = True,
    calibration: Method = "min-max",
    percentile: float = 99.99,
    batchnorm: bool = False,
    bias_correction: bool = False,
    float_layers: Collection[str] = (),
) -> fx.GraphModule:
    """A quantised copy of the fp32 network, to be folded and exported like a trained student.

    captured: the network's graph; batches: calibration inputs; scheme, weight_bits, activation_bits,
    edges_in_8_bits, float_layers: as in `place`; calibration, percentile: as in `calibrate`; batchnorm: batch
    statistics are estimated again with everything rounded; finding the ranges again after that changed
    nothing, from 8 bits to 2; bias_correction: see `correct_biases`. Raises DataError, CaptureError.
    """
    student = place(
        duplicate(captured),
        scheme,
        float_layers,
        weight_bits,
        activation_bits,
        edges_in_8_bits=edges_in_8_bits,
    )
    calibrate(student, batches, calibration, percentile)
    if batchnorm:
        reestimate_batchnorm(student, batches)
    if bias_correction:
        correct_biases(student, captured, batches)
    return student


def corrected_fp32(
    captured: fx.GraphModule,
    batches: Batches,
    *,
    scheme: str,
    batchnorm: bool,
    bias_correction: bool,
    float_layers: Collection[str] = (),
) -> fx.GraphModule:
    """The fp32 network with the batch statistics and biases of its `post_training` twin, for a tool to quantise.

    Its weights are as they were. In fp32 it is off by what the tool's own rounding is expected to take away
    again. captured, batches, scheme, batchnorm, bias_correction, float_layers: as in `post_training`.
    """
    if not (batchnorm or bias_correction):
        return duplicate(captured)
    twin = post_training(
        captured,
        batches,
        scheme=scheme,
        batchnorm=batchnorm,
        bias_correction=bias_correction,
        float_layers=float_layers,
    )
    return remove_fake_quant(twin)
