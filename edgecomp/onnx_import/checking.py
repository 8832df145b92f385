"""Whether an imported network is the same function as its file: by ONNX Runtime, and at which node it is not."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import fx

from edgecomp.errors import EdgecompError, InferenceError, ModelFileError, UsageError
from edgecomp.onnx_import.made_inputs import made
from edgecomp.onnx_import.network import PROBABILITIES, Interface, before_probabilities, interface_of
from edgecomp.onnx_import.reading import load
from edgecomp.runtimes import onnxruntime_cpu

Arrays = Mapping[str, npt.NDArray[Any]]

TOLERANCE = 1e-4
"""Of an output's deviation: what sums in another order differ by in float32."""
ROUNDING = 2.0**-24
"""What float32 rounds a number by, at most, of the number."""


class Agreement(NamedTuple):
    """error: the largest difference at any of the shapes over the output's deviation; shapes: of the inputs, at each; any_batch: whether
    the network takes any number of examples where the file takes one."""

    error: float
    shapes: tuple[dict[str, tuple[int, ...]], ...]
    any_batch: bool


def check(file: Path | str, module: fx.GraphModule, inputs: Sequence[Arrays] | None = None) -> Agreement:
    """How far `module`, of `from_onnx`, is from `file` as ONNX Runtime runs it in float32.

    inputs: sets of arrays by input's name, at two shapes; made up where None. Raises ModelFileError where they differ by more than
    TOLERANCE, with the first operator that does, where the file gives another answer each time, and where none of the shapes that are
    made up fits.
    """
    file = Path(file)
    with tempfile.TemporaryDirectory() as folder:
        reference = _Reference(file, module, Path(folder))
        if inputs is None and _fixed_to_one(reference.model, reference.interface):
            try:
                return _agreement(reference, *_answered(reference, one_by_one=True), any_batch=True)
            except ModelFileError:
                pass  # it takes one example, as it says
        given = _answered(reference) if inputs is None else _twice(reference, inputs, reference.run)
        return _agreement(reference, *given, any_batch=False)


def _agreement(
    reference: "_Reference", sets: Sequence[Arrays], answers: Sequence[Arrays], *, any_batch: bool
) -> Agreement:
    errors = [reference.error(one, answer) for one, answer in zip(sets, answers, strict=True)]
    worst = max(errors)
    if not worst <= TOLERANCE:
        at = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        raise ModelFileError(f"{reference.file}: as a PyTorch network it is another function: its outputs differ by {worst:.2g} of their "
                             f"deviation, and the most is {TOLERANCE}{reference.first_difference(sets[at])}{reference.unsteady(sets[at], answers[at], worst)}")  # fmt: skip
    return Agreement(
        worst, tuple({name: one.shape for name, one in given.items()} for given in sets), any_batch
    )


class _Reference:
    """A file in ONNX Runtime, beside its network."""

    def __init__(self, file: Path, module: fx.GraphModule, folder: Path) -> None:
        self.file, self.module, self._folder = file, module, folder
        self.interface = interface_of(module)
        self.model = load(file)
        known = {name for node in self.model.graph.node for name in node.output}
        # Where all probabilities are near 0, their deviation is less than what ONNX Runtime's own sigmoid rounds by.
        self._before = {name: one for name, (_, one) in before_probabilities(module).items() if one in known}
        self._session = self._open([*self.interface.outputs, *self._before.values()])

    def _open(self, outputs: Sequence[str]) -> onnxruntime_cpu.OnnxRuntimeSession:
        """A session that gives these values too, which may be any of the graph's."""
        own = {value.name for value in self.model.graph.output}
        settings = ort.SessionOptions()
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.intra_op_num_threads = 1
        settings.log_severity_level = 4  # what does not fit is tried in another shape
        file = self.file
        if not set(outputs) <= own:
            more = onnx.ModelProto()
            more.CopyFrom(self.model)
            added = [name for name in dict.fromkeys(outputs) if name not in own]
            more.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
            file = self._folder / f"{len(list(self._folder.iterdir()))}.onnx"
            large = more.ByteSize() > onnxruntime_cpu.LARGEST
            onnx.save(more, file, save_as_external_data=large, location=f"{file.name}.weights")
        return onnxruntime_cpu.OnnxRuntimeSession(onnxruntime_cpu.open_session(file, settings))

    def _feed(self, inputs: Arrays) -> dict[str, Any]:
        fixed = {
            value.name: np.array(self.interface.fixed[value.name], _numpy_kind(value))
            for value in self.model.graph.input
            if value.name in self.interface.fixed
        }
        return {**{name: inputs[name] for name in self.interface.inputs}, **fixed}

    def run(self, inputs: Arrays) -> dict[str, Any]:
        return self._session.run(self._feed(inputs))

    def run_one_by_one(self, inputs: Arrays) -> dict[str, Any]:
        """The answers for each example alone, of a file that takes no more at once."""
        count = len(next(iter(inputs.values())))
        rows = [self.run({name: one[row : row + 1] for name, one in inputs.items()}) for row in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def error(self, inputs: Arrays, answers: Arrays) -> float:
        """Of the output that is furthest off. Probabilities are compared as such, and what they are made of by its deviation."""
        recorder = _Recorder(self.module, {*self._before.values()})
        try:
            found = recorder.answers(inputs)
        except Exception as error:  # whatever torch raises over shapes that do not fit
            raise ModelFileError(f"{self.file}: as a PyTorch network it cannot take inputs of {_shapes(inputs)}, at {recorder.at}: "
                                 f"{_said(error)}") from error  # fmt: skip
        names = self.interface.outputs
        errors = [
            distance(_array(one), answers[name], 1.0 if name in self._before else None)
            for name, one in zip(names, found, strict=True)
        ]
        errors += [distance(_array(recorder.values[one][2]), answers[one]) for one in self._before.values()]
        return max(errors)

    def unsteady(self, inputs: Arrays, answers: Arrays, worst: float) -> str:
        """`. But ...`, where the file's own answers, `answers`, move by as much as `worst`, what the network's differ by, with the rounding of `inputs` or
        ONNX Runtime's optimisations; nothing where they do not."""
        random = np.random.default_rng(0)
        rounded = {
            name: (one * (1 + ROUNDING * random.choice([-1, 1], one.shape))).astype(one.dtype)
            if one.dtype.kind == "f"
            else one
            for name, one in inputs.items()
        }
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.log_severity_level = 4
        try:
            optimised = onnxruntime_cpu.OnnxRuntimeSession(onnxruntime_cpu.open_session(self.file, settings))
            others = {
                f"its inputs are rounded, by {ROUNDING:.1g} of each": self.run(rounded),
                "ONNX Runtime optimises it": optimised.run(self._feed(inputs)),
            }
        except EdgecompError:
            return ""
        moved = {
            why: max(distance(again[name], answers[name]) for name in self.interface.outputs if name in again)
            for why, again in others.items()
        }
        why = max(moved, key=lambda one: moved[one])
        if moved[why] <= max(TOLERANCE, worst / 10):  # a wrong conversion of an unsteady file is wrong
            return ""
        return (
            f". But its own answers move by {moved[why]:.2g} where {why}: it computes what float32 does not tell, such as the logarithm of "
            "nearly nothing, and nobody can tell whether another file is the same function. Make it steadier before it is exported (a larger ε, for one)"
        )

    def first_difference(self, inputs: Arrays) -> str:
        """`; the first operator to differ is KIND (node NAME), ...`, or nothing where that cannot be found."""
        wanted = {name for node in self.model.graph.node for name in node.output}
        recorder = _Recorder(self.module, wanted)
        try:
            recorder.answers(inputs)
            answers = self._open([*recorder.values]).run(self._feed(inputs))
        except (EdgecompError, RuntimeError, ValueError, TypeError, KeyError):
            return ""
        for name, (kind, node, value) in recorder.values.items():
            error = distance(_array(value), answers[name])
            if not error <= TOLERANCE and kind not in PROBABILITIES:
                return f"; the first operator to differ is {kind} (node {node or '?'}), by {error:.2g}"
        return ""


class _Recorder(fx.Interpreter):
    """values: name of what an ONNX node gives, where it is wanted → the operator, the node's name, the value."""

    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self.values: dict[str, tuple[str, str, Any]] = {}
        self._wanted = wanted
        self.at = "its inputs"

    @torch.no_grad()
    def answers(self, inputs: Arrays) -> tuple[Any, ...]:
        found = self.run(
            *(torch.from_numpy(np.array(inputs[name])) for name in interface_of(self.module).inputs)
        )
        return found if isinstance(found, tuple) else (found,)

    def run_node(self, n: fx.Node) -> Any:
        if "onnx" in n.meta:
            self.at = f"{n.meta['onnx'][0]} (node {n.meta['onnx'][1] or '?'})"
        found = super().run_node(n)
        if "onnx" in n.meta:
            kind, node, outputs = n.meta["onnx"]
            parts = found if isinstance(found, tuple) else (found,)
            for name, value in zip(outputs, parts, strict=False):
                if name in self._wanted:
                    self.values[name] = (kind, node, value)
        return found


def _answered(reference: _Reference, one_by_one: bool = False) -> tuple[Sequence[Arrays], Sequence[Arrays]]:
    """Inputs that are made up, and the answers to them, each example asked alone or all at once. Raises ModelFileError where none fits."""
    said = ""
    for sets in made(reference.model, reference.interface, one_by_one):
        try:
            return _twice(reference, sets, reference.run_one_by_one if one_by_one else reference.run)
        except InferenceError as error:
            said = said or str(error)
    raise ModelFileError(f"{reference.file}: none of the inputs that are made up fits it, so it cannot be checked: {said}. Fix the lengths "
                         "of its axes, with fixed: {AXIS: LENGTH} in a recipe's arguments or --fixed AXIS=LENGTH of edgecomp quantize, or give inputs")  # fmt: skip


def _twice(
    reference: _Reference, sets: Sequence[Arrays], run: Any
) -> tuple[Sequence[Arrays], Sequence[Arrays]]:
    missing = [name for given in sets for name in reference.interface.inputs if name not in given]
    if missing:
        raise UsageError(
            f"{reference.file}: its input {missing[0]!r} is not given; it has {', '.join(reference.interface.inputs)}"
        )
    answers = [run(given) for given in sets]
    again = run(sets[0])
    for name in reference.interface.outputs:
        if not np.array_equal(answers[0][name], again[name], equal_nan=True):
            raise ModelFileError(f"{reference.file} is no function of its inputs: run twice on the same, its output {name!r} differs. "
                                 "Export it without operators that draw random numbers")  # fmt: skip
    return sets, answers


def _fixed_to_one(model: onnx.ModelProto, interface: Interface) -> bool:
    """Whether every input takes one example and no more."""
    axes = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name in interface.inputs]
    return bool(axes) and all(len(one) > 1 and one[0].dim_value == 1 for one in axes)


def distance(found: npt.NDArray[Any], answer: npt.NDArray[Any], scale: float | None = None) -> float:
    """The largest difference over `scale`, or the deviation of `answer`; of whole numbers the share that differs; infinite for another
    shape. found: what is compared with it."""
    if found.shape != answer.shape:
        return float("inf")
    if answer.dtype.kind not in "fc":
        return float(np.mean(found != answer)) if answer.size else 0.0
    finite = np.isfinite(answer)
    if not np.array_equal(found[~finite], answer[~finite].astype(found.dtype), equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    a, b = found[finite].astype(np.float64), answer[finite].astype(np.float64)
    scale = scale or (b.std() if b.std() > 1e-6 * np.abs(b).max() else np.abs(b).max())
    return float(np.abs(a - b).max() / scale) if scale > 0 else float(np.abs(a - b).max())


def _numpy_kind(value: onnx.ValueInfoProto) -> Any:
    return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _array(value: Any) -> npt.NDArray[Any]:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _shapes(inputs: Arrays) -> str:
    return ", ".join(f"{name} {list(one.shape)}" for name, one in inputs.items())


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")
