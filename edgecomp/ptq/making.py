"""The files of candidates for post-training quantisation, each made once."""

import itertools
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import fx

from edgecomp.errors import EdgecompError
from edgecomp.export.onnx.programs import Programs
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.ptq import tools as ptq
from edgecomp.ptq.grid import Candidate, setting_of, suffix
from edgecomp.ptq.ours import PostTraining
from edgecomp.quantization.capture import DynamicAxes
from edgecomp.quantization.folding import fold
from edgecomp.training.loop import network_inputs

Made = Mapping[Candidate, Path | EdgecompError]


class Limit:
    """How long candidates may take to be made: seconds from now on, None: as long as it takes. One is made in any case."""

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self.why_not = EdgecompError(
            "" if seconds is None else f"not tried: the {seconds / 60:.3g} minutes for candidates were over"
        )

    @property
    def is_set(self) -> bool:
        return self._end is not None

    @property
    def left_s(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def is_over(self, made: Collection[Path | EdgecompError]) -> bool:
        """made: so far."""
        return self.left_s == 0 and any(isinstance(one, Path) and one.exists() for one in made)


class Costs:
    """How many seconds each candidate's file took to be made, kept beside the files: what is there already is not made again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds.json"
        self._known: dict[str, float] = read_mapping(self._file) if self._file.is_file() else {}

    def of(self, candidate: Candidate, runtime: str) -> float | None:
        """Of the file of `candidate` for `runtime`; None: it was never begun."""
        return self._known.get(file_name(candidate, runtime))

    def keep(self, to: Path, seconds: float) -> None:
        """Keeps that the file `to` took so many `seconds`, whether it could be made or not."""
        self._known[to.name] = round(seconds, 2)
        write_json(self._file, self._known)


def file_name(candidate: Candidate, runtime: str) -> str:
    """Of the file of `candidate` for `runtime`, in the folder of all; two runtimes may read the same."""
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', candidate.name)}{suffix(candidate, runtime)}"


def make(
    candidates: Sequence[Candidate],
    captured: fx.GraphModule,
    batches: Sequence[ptq.Inputs],
    *,
    scheme: str,
    runtime: str,
    dynamic_axes: DynamicAxes,
    folder: Path,
    float_layers: Collection[str] = (),
    weight_bits: int = 8,
    activation_bits: int = 8,
    limit: Limit | None = None,
) -> dict[Candidate, Path | EdgecompError]:
    """Every candidate's file in the folder, or why there is none; what is there already is not made again.

    captured: the fp32 network's graph; batches: calibration inputs by name, in its order, two examples at
    least; scheme: a name of SCHEMES; runtime: for OpenVINO NNCF quantises the IR, its better path; all others
    are ONNX files, which OpenVINO reads, so that runtimes may share a folder; dynamic_axes: by input; float_layers: stay in float; limit: of time, in which the
    simplest come first. Fewer `weight_bits` or `activation_bits` than 8 are for candidates of `ours` alone: EdgecompError.
    """
    others = [one.tool for one in candidates if one.tool != "ours"]
    if others and (weight_bits, activation_bits) != (8, 8):
        raise EdgecompError(f"{others[0]} quantises to 8 bits, not to weights of {weight_bits} and activations of "
                            f"{activation_bits}: ask for the tool `ours` alone")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    limit = Limit() if limit is None else limit
    example = [tensor[:2] for tensor in network_inputs(batches[0])]
    programs, costs = Programs(), Costs(folder)
    ours = PostTraining(
        captured,
        batches,
        scheme=scheme,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        float_layers=float_layers,
    )

    def export(network: fx.GraphModule, to: Path) -> None:
        unfinished = to.with_name(f"unfinished-{to.name}")
        export_onnx(
            fold(network),
            example,
            unfinished,
            input_names=list(batches[0]),
            dynamic_axes=dynamic_axes,
            programs=programs,
        )
        unfinished.replace(to)

    def fp32(candidate: Candidate) -> Path:
        """The network that a tool is given, as it takes it."""
        corrections = candidate.corrections
        base = folder / "-".join(["fp32", *(name for name, wanted in corrections.items() if wanted)])
        file = base.with_suffix(".onnx")
        if not file.exists():
            export(ours.corrected_fp32(**corrections), file)
        if suffix(candidate, runtime) == ".onnx":
            return file
        if not (base / "model.bin").exists():  # it is written last
            ir.convert(file, base)
        return base / "model.xml"

    made: dict[Candidate, Path | EdgecompError] = {}
    # A process of the tools' own takes seconds to start: one for all, but where the simplest are to be whole before others begin.
    waves = itertools.groupby(candidates, lambda one: one.corrected if limit.is_set else 0)
    for _, wave in waves:
        jobs: dict[Candidate, ptq.Job] = {}
        for candidate in wave:
            to = folder / file_name(candidate, runtime)
            if to.exists():
                made[candidate] = to
                continue
            if limit.is_over(made.values()):
                made[candidate] = limit.why_not
                continue
            made[candidate], began = to, time.monotonic()
            try:
                if candidate.tool == "ours":
                    calibration, corrections = candidate.calibration, candidate.corrections
                    export(ours.student(calibration, candidate.percentile, **corrections), to)  # type: ignore[arg-type]  # a mapping of the keywords that it takes
                else:
                    jobs[candidate] = ptq.Job(
                        setting_of(candidate, scheme, float_layers), fp32(candidate), to
                    )
            except EdgecompError as error:
                made[candidate] = error
            costs.keep(to, time.monotonic() - began)
        if jobs and limit.is_over(made.values()):
            made |= dict.fromkeys(jobs, limit.why_not)
            continue
        found = ptq.quantise_all(list(jobs.values()), batches, limit.left_s)
        for candidate, job, done in zip(jobs, jobs.values(), found, strict=True):
            costs.keep(job.to, done.seconds + (costs.of(candidate, runtime) or 0.0))
            if done.error is not None:
                made[candidate] = done.error
    return made
