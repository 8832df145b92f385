"""Post-training quantisation by the runtimes' own tools: baselines for what quantisation-aware distillation buys.

Each file is made in a process of its own, so that the tools' progress bars, caches, counters and random numbers stay
out of ours and out of each other's: a file has the same bytes whatever was made before it.
"""

import importlib
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.errors import EdgecompError, RuntimeUnavailableError

Tool = Literal["ptq-ort", "ptq-nncf", "ptq-dynamic"]

DISTRIBUTION: dict[Tool, str] = {"ptq-ort": "onnxruntime", "ptq-nncf": "nncf", "ptq-dynamic": "onnxruntime"}

TAKES: dict[Tool, tuple[str, ...]] = {
    "ptq-ort": ("onnxruntime.quantization",),
    "ptq-nncf": ("nncf", "openvino"),
    "ptq-dynamic": ("onnxruntime.quantization",),
}

CALIBRATIONS: dict[Tool, tuple[str, ...]] = {
    "ptq-ort": ("min-max", "percentile", "entropy"),
    "ptq-nncf": ("min-max", "percentile", "histogram"),  # the last: least squared error
    "ptq-dynamic": ("min-max",),  # each input's own, found as it comes
}

# Of a transformer, what runs well in integers; with or without its tables, which the tool rounds by one scale each.
# ONNX Runtime's own choice is everything (docs/decisions/004).
WEIGHTED = ("Conv", "Gemm", "MatMul")
WEIGHTED_AND_TABLES = ("Gather", *WEIGHTED)

NO_TIME = "not finished in the time for candidates"

Inputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Setting:
    """How a tool quantises. Weights are always per channel.

    `ptq-dynamic` rounds weights, and leaves it to the runtime to round what a product reads as it comes: by ONNX Runtime's quantize_dynamic, and
    an IR by NNCF's compression of weights, whose activations OpenVINO rounds in groups, where the CPU has VNNI.

    calibration: one of CALIBRATIONS, `percentile` of an activation's values; `float_layers` are left out.
    operators (ONNX Runtime): only these, of products those with a constant, and their results in float, as our schemes
    have it: a third of the error, and faster. None given: the tool's own choice.
    bias_correction (NNCF): its `fast` one, its default, its slower and better `full` one, or `none`.
    scheme: tells the tool what the runtime executes in integers; None: what the tool takes it to be, for NNCF half
    the range in the weights of first layers.
    """

    tool: Tool
    calibration: str = "min-max"
    percentile: float = 99.99
    float_layers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    bias_correction: Literal["none", "fast", "full"] = "fast"
    scheme: str | None = None


class Job(NamedTuple):
    """One file to be made: an ONNX file or an IR, as `model` is one."""

    setting: Setting
    model: Path
    to: Path


class Done(NamedTuple):
    """What became of a job: why there is no file, None where there is one; seconds: that it took."""

    error: EdgecompError | None
    seconds: float


def quantise(setting: Setting, model: Path, batches: Sequence[Inputs], to: Path) -> None:
    """Writes an int8 ONNX file or IR, `to`, as `model` is one.

    setting: the tool, and how it quantises; batches: arrays by input name; lengths may differ. Raises
    EdgecompError with the tool's own words, RuntimeUnavailableError where it is not installed.
    """
    (done,) = quantise_all([Job(setting, model, to)], batches)
    if done.error is not None:
        raise done.error


@dataclass(frozen=True)
class Quantiser:
    """A tool, its setting and what it is calibrated with."""

    setting: Setting
    batches: Sequence[Inputs]

    @property
    def takes_ir(self) -> bool:
        return self.setting.tool != "ptq-ort"

    def __call__(self, model: Path, to: Path) -> None:
        quantise(self.setting, model, self.batches, to)


def quantise_all(jobs: Sequence[Job], batches: Sequence[Inputs], seconds: float | None = None) -> list[Done]:
    """Makes every file it can, and returns for each job why it could not. A file appears whole or not at all.

    jobs: the files; batches: arrays by input name, for all of them; seconds: after which what is being made is given up, and no other is begun;
    None: as long as it takes.
    """
    if not jobs:
        return []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for index, batch in enumerate(batches):
            np.savez(scratch / f"{index:04}.npz", **batch)  # type: ignore[arg-type]
        todo = [
            {"setting": asdict(job.setting), "model": str(job.model.resolve()), "file": job.to.name}
            for job in jobs
        ]
        (scratch / "jobs.json").write_text(json.dumps({"jobs": todo, "seconds": seconds}), encoding="utf-8")
        command = [sys.executable, "-m", "edgecomp.ptq.tools"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        return [_fetch(job, scratch / str(index), done.stderr) for index, job in enumerate(jobs)]


def _fetch(job: Job, made: Path, said: str) -> Done:
    """Moves what a job has made to its place; an IR's weights first."""
    took = made / "seconds"
    seconds = float(took.read_text(encoding="utf-8")) if took.is_file() else 0.0
    if (made / "done").is_file():
        for file in sorted(made.glob(f"{job.to.stem}.*")):
            unfinished = job.to.with_name(f"unfinished-{file.name}")
            shutil.move(file, unfinished)  # a copy, where the temporary folder is another file system
            unfinished.replace(job.to.with_name(file.name))
        return Done(None, seconds)
    error = made / "error"
    words = error.read_text(encoding="utf-8") if error.is_file() else said
    if "No module named 'nncf'" in words:
        missing = f"quantize: {job.setting.tool} needs NNCF: pip install 'edgecomp[nncf]'"
        return Done(RuntimeUnavailableError(missing), seconds)
    failed = f"{job.setting.tool} cannot quantise {job.model.name}: {words.strip()[-400:]}"
    return Done(EdgecompError(failed), seconds)


def _main() -> None:
    """In a folder with jobs.json and batches: makes folder N for job N, with the file and `done`, or `error`; and `seconds`."""
    asked = json.loads(Path("jobs.json").read_text(encoding="utf-8"))
    jobs, seconds = asked["jobs"], asked["seconds"]
    end = None if seconds is None else time.monotonic() + seconds
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    for tool in {job["setting"]["tool"] for job in jobs}:
        _import(tool)  # once, for all the processes that are forked
    for index, job in enumerate(jobs):
        folder = Path(str(index)).resolve()
        folder.mkdir()
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            (folder / "error").write_text(NO_TIME, encoding="utf-8")
            continue
        process, began = context.Process(target=_make, args=(job, folder)), time.monotonic()
        process.start()
        process.join(left)
        if process.is_alive():
            process.kill()
            process.join()
            (folder / "error").write_text(NO_TIME, encoding="utf-8")
        (folder / "seconds").write_text(f"{time.monotonic() - began:.2f}", encoding="utf-8")
        if process.exitcode != 0 and not (folder / "error").is_file():
            (folder / "error").write_text(
                f"the tool's process ended with {process.exitcode}", encoding="utf-8"
            )


def _import(tool: Tool) -> None:
    for module in TAKES[tool]:
        try:
            importlib.import_module(module)
        except ImportError:
            return  # each job says so


def _make(job: dict[str, Any], folder: Path) -> None:
    setting = Setting(**job["setting"])
    batches = [dict(np.load(file, allow_pickle=False)) for file in sorted(Path().glob("*.npz"))]
    make = {"ptq-ort": _onnxruntime, "ptq-nncf": _nncf, "ptq-dynamic": _dynamic}[setting.tool]
    try:
        make(setting, Path(job["model"]), folder / job["file"], batches)
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its answer
        (folder / "error").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    else:
        (folder / "done").touch()


def _onnxruntime(setting: Setting, model: Path, to: Path, batches: list[dict[str, npt.NDArray[Any]]]) -> None:
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        remaining = iter(batches)

        def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
            return next(self.remaining, None)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.remaining = iter(batches[start_index:end_index])

        def __len__(self) -> int:
            return len(batches)

    methods = {
        "min-max": ort.CalibrationMethod.MinMax,
        "percentile": ort.CalibrationMethod.Percentile,
        "entropy": ort.CalibrationMethod.Entropy,
    }
    signed = setting.scheme == "gpu-s8"
    options: dict[str, Any] = {
        "CalibPercentile": setting.percentile,
        "CalibTensorRangeSymmetric": False,
        "ActivationSymmetric": signed,
    }
    if setting.calibration != "min-max" and len({_shape(batch) for batch in batches}) > 1:
        options["CalibStridedMinMax"] = (
            1  # one histogram a batch, then merged: several at once must be of one shape
        )
    prepared = to.with_name("prepared.onnx")
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)  # it fails on dynamic axes
    excluded = list(setting.float_layers)
    if setting.operators:
        options["OpTypesToExcludeOutputQuantization"] = ["Gemm", "MatMul"]
        excluded += _products_of_activations(prepared)  # its MatMulConstBOnly has no effect in this format
    ort.quantize_static(
        str(prepared),
        str(to),
        Reader(),
        quant_format=ort.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=setting.scheme == "cpu-u8-narrow",
        activation_type=ort.QuantType.QInt8 if signed else ort.QuantType.QUInt8,
        weight_type=ort.QuantType.QInt8,
        calibrate_method=methods[setting.calibration],
        op_types_to_quantize=list(setting.operators),
        nodes_to_exclude=excluded,
        extra_options=options,
    )
    _finish(to)


def _dynamic(setting: Setting, model: Path, to: Path, batches: list[dict[str, npt.NDArray[Any]]]) -> None:
    """batches: not needed, for nothing is calibrated."""
    if model.suffix == ".xml":
        import nncf
        import openvino as ov

        compressed = nncf.compress_weights(
            ov.Core().read_model(model),
            mode=nncf.CompressWeightsMode.INT8_SYM,
            ignored_scope=nncf.IgnoredScope(names=list(setting.float_layers), validate=False),
        )
        ov.save_model(compressed, to, compress_to_fp16=False)
        return
    import onnx
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = to.with_name("prepared.onnx")
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    known = onnx.load(prepared)
    del known.graph.value_info[
        :
    ]  # the tool makes products of Gemm, and takes the shapes that stand here for theirs
    onnx.save(known, prepared)
    ort.quantize_dynamic(
        str(prepared),
        str(to),
        op_types_to_quantize=[*(setting.operators or WEIGHTED_AND_TABLES), "LSTM"],
        per_channel=True,
        reduce_range=setting.scheme == "cpu-u8-narrow",
        weight_type=ort.QuantType.QInt8,
        nodes_to_exclude=[*setting.float_layers, *_products_of_activations(prepared)],
    )
    _finish(to)


def _products_of_activations(model: Path) -> list[str]:
    import onnx

    graph = onnx.load(model).graph
    constants = {item.name for item in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constants]


def _shape(batch: dict[str, npt.NDArray[Any]]) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in batch.values())


def _nncf(setting: Setting, model: Path, to: Path, batches: list[dict[str, npt.NDArray[Any]]]) -> None:
    """The IR by NNCF's OpenVINO path, the ONNX file by its ONNX path: asymmetric activations in both."""
    import nncf
    import onnx
    import openvino as ov

    is_onnx = model.suffix == ".onnx"
    network = onnx.load(model) if is_onnx else ov.Core().read_model(model)
    kinds = (
        {node.op_type for node in network.graph.node}
        if is_onnx
        else {op.get_type_name() for op in network.get_ops()}
    )
    signed = setting.scheme == "gpu-s8"
    quantised = nncf.quantize(
        network,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.PERFORMANCE if signed else nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        fast_bias_correction=setting.bias_correction != "full",
        model_type=nncf.ModelType.TRANSFORMER if "Softmax" in kinds else None,
        ignored_scope=nncf.IgnoredScope(names=list(setting.float_layers), validate=False),
        advanced_parameters=_advanced(setting),
    )
    if is_onnx:
        onnx.save(quantised, to)
        _finish(to)
    else:
        ov.save_model(quantised, to, compress_to_fp16=False)


def _advanced(setting: Setting) -> Any:
    import nncf
    from nncf.quantization import range_estimator as ranges
    from nncf.quantization.advanced_parameters import OverflowFix, QuantizationParameters

    advanced = nncf.AdvancedQuantizationParameters(disable_bias_correction=setting.bias_correction == "none")
    if setting.scheme is not None:
        narrow = setting.scheme == "cpu-u8-narrow"
        advanced.overflow_fix = OverflowFix.ENABLE if narrow else OverflowFix.DISABLE
    if setting.scheme == "gpu-s8":
        advanced.activations_quantization_params = QuantizationParameters(signedness_to_force=True)
    out = (1 - setting.percentile / 100) / 2
    kind = ranges.StatisticsType.QUANTILE
    advanced.activations_range_estimator_params = {
        "min-max": ranges.RangeEstimatorParameters(),  # its default: the mean of the batches' extremes
        "percentile": ranges.RangeEstimatorParameters(
            min=ranges.StatisticsCollectorParameters(statistics_type=kind, quantile_outlier_prob=out),
            max=ranges.StatisticsCollectorParameters(statistics_type=kind, quantile_outlier_prob=out),
        ),
        "histogram": ranges.RangeEstimatorParametersSet.HISTOGRAM,
    }[setting.calibration]
    return advanced


def _finish(path: Path) -> None:
    """What was left in float stays in float, and the same model gives the same bytes."""
    import onnx

    from edgecomp.export.onnx.float_layers import keep_in_float
    from edgecomp.export.onnx.passes import drop_notes

    model = onnx.load(path)
    keep_in_float(model)
    drop_notes(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    _main()
