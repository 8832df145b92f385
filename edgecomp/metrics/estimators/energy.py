"""Energy, where the machine has a sensor."""

from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats.figure import Figure


def per_inference(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """A median over blocks of inferences, of the whole package, in mJ: without bounds, so it is shown and
    never passes. measured: of one target; arm_name: which arm; confidence: told with the figure. Raises
    NotMeasured where there is no sensor."""
    energy = measured.facts.get("energy_per_inference_mj", {}).get(arm_name)
    if energy is None:
        raise NotMeasured("energy is unavailable: no sensor here (RAPL)")
    return Figure(
        estimate=float(energy),
        low=None,
        high=None,
        dimension="energy",
        n=measured.facts["restarts"],
        unit="restarts",
        confidence=confidence,
        sided="one",
        note="the package's sensor bounds nothing",
    )
