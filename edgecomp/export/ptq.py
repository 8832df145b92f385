"""Post-training quantisation by the runtimes' own tools: baselines for what quantisation-aware distillation buys.

Each runs in a fresh process: their progress bars, caches and random numbers stay out of ours.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import EdgecompError, RuntimeUnavailableError

Tool = Literal["ptq-ort", "ptq-nncf"]

DISTRIBUTION: dict[Tool, str] = {"ptq-ort": "onnxruntime", "ptq-nncf": "nncf"}


@dataclass(frozen=True)
class Setting:
    """calibration: `min-max`, or `percentile` of an activation's values; `float_layers` are left out."""

    tool: Tool
    calibration: str = "min-max"
    percentile: float = 99.99
    float_layers: tuple[str, ...] = ()


def quantise(
    setting: Setting, model: Path, batches: Sequence[Mapping[str, npt.NDArray[Any]]], to: Path
) -> None:
    """Writes an int8 ONNX file or IR, as `model` is one, with per-channel weights. batches: arrays by input name.

    Raises EdgecompError with the tool's own words, RuntimeUnavailableError where it is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for index, batch in enumerate(batches):
            np.savez(Path(scratch) / f"{index:04}.npz", **batch)  # type: ignore[arg-type]
        job = asdict(setting) | {"model": str(model.resolve()), "to": str(to.resolve()), "batches": scratch}
        command = [sys.executable, "-m", "edgecomp.export.ptq", json.dumps(job)]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if "No module named 'nncf'" in done.stderr:
        raise RuntimeUnavailableError("quantize: ptq-nncf needs NNCF: pip install 'edgecomp[nncf]'")
    if done.returncode != 0:
        raise EdgecompError(f"{setting.tool} cannot quantise {model.name}: {done.stderr.strip()[-400:]}")


def _main() -> None:
    job = json.loads(sys.argv[1])
    files = sorted(Path(job["batches"]).glob("*.npz"))
    batches = [dict(np.load(file, allow_pickle=False)) for file in files]
    tool = _onnxruntime if job["tool"] == "ptq-ort" else _nncf
    tool(Path(job["model"]), Path(job["to"]), batches, job)


def _onnxruntime(
    model: Path, to: Path, batches: list[dict[str, npt.NDArray[Any]]], job: dict[str, Any]
) -> None:
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        remaining = iter(batches)

        def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
            return next(self.remaining, None)

    methods = {
        "min-max": ort.CalibrationMethod.MinMax,
        "percentile": ort.CalibrationMethod.Percentile,
    }
    prepared = Path(job["batches"]) / "prepared.onnx"
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)  # it fails on dynamic axes
    ort.quantize_static(
        str(prepared),
        str(to),
        Reader(),
        quant_format=ort.QuantFormat.QDQ,
        per_channel=True,
        activation_type=ort.QuantType.QUInt8,
        weight_type=ort.QuantType.QInt8,
        calibrate_method=methods[job["calibration"]],
        nodes_to_exclude=list(job["float_layers"]),
        extra_options={"CalibPercentile": job["percentile"], "CalibTensorRangeSymmetric": False},
    )
    _finish(to)


def _nncf(model: Path, to: Path, batches: list[dict[str, npt.NDArray[Any]]], job: dict[str, Any]) -> None:
    """The IR by NNCF's OpenVINO path, the ONNX file by its ONNX path: asymmetric activations in both."""
    import nncf
    import onnx
    import openvino as ov
    from nncf.quantization import range_estimator as ranges

    advanced = nncf.AdvancedQuantizationParameters()
    if job["calibration"] == "percentile":
        out = (1 - job["percentile"] / 100) / 2
        kind = ranges.StatisticsType.QUANTILE
        advanced.activations_range_estimator_params = ranges.RangeEstimatorParameters(
            min=ranges.StatisticsCollectorParameters(statistics_type=kind, quantile_outlier_prob=out),
            max=ranges.StatisticsCollectorParameters(statistics_type=kind, quantile_outlier_prob=out),
        )
    is_onnx = model.suffix == ".onnx"
    network = onnx.load(model) if is_onnx else ov.Core().read_model(model)
    kinds = (
        {node.op_type for node in network.graph.node}
        if is_onnx
        else {op.get_type_name() for op in network.get_ops()}
    )
    quantised = nncf.quantize(
        network,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if "Softmax" in kinds else None,
        ignored_scope=nncf.IgnoredScope(names=list(job["float_layers"]), validate=False),
        advanced_parameters=advanced,
    )
    if is_onnx:
        onnx.save(quantised, to)
        _finish(to)
    else:
        ov.save_model(quantised, to, compress_to_fp16=False)


def _finish(path: Path) -> None:
    """What was left in float stays in float, and the same model gives the same bytes."""
    import onnx

    from edgecomp.export.float_layers import keep_in_float
    from edgecomp.export.passes import drop_notes

    model = onnx.load(path)
    keep_in_float(model)
    drop_notes(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    _main()
