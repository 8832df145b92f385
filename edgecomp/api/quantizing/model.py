"""What `edgecomp quantize` takes for a model: an ONNX file, a .pt2, a Hugging Face folder or name, a factory. One row a kind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from edgecomp.errors import ModelFileError, UsageError, nearest_there
from edgecomp.files.json_files import read_mapping
from edgecomp.files.packages import PACKAGE
from edgecomp.models import find_factory
from edgecomp.models.onnx_files import ONNX
from edgecomp.models.pt2_files import PT2
from edgecomp.models.references import HUB_NAME, PREFIX, resolve

PREPROCESSOR = "preprocessor_config.json"
KINDS = (
    "an ONNX file (.onnx), a file of torch.export.save (.pt2), a Hugging Face folder or name, or a factory `module:function` of the "
    "current folder or of what is installed"
)


class Input(NamedTuple):
    """An input of a network: shape: of an example, None for a free axis."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def declared(self) -> str:
        """As `data.tensors` says it."""
        return f"{self.dtype}[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


class Model(NamedTuple):
    """network: as a recipe names it; called: what its run folder is called; inputs: where the file says them, else none; output: the
    name of its first output, of an ONNX file; folder: of a Hugging Face model, here or in the cache; fixed: by name of an axis or of an input
    of one number, what it always is, of an ONNX file."""

    network: str
    called: str
    inputs: tuple[Input, ...] = ()
    output: str = ""
    folder: Path | None = None
    fixed: Mapping[str, int] = MappingProxyType({})

    @property
    def is_code(self) -> bool:
        """Whether it is a factory, which may lie in the current folder."""
        return not self.network.startswith((ONNX, PT2, PREFIX))


def recognised(model: str, fixed: Mapping[str, int] | None = None) -> Model:
    """What `model` names. fixed: of an ONNX file, as Model has it. Raises UsageError, ModelFileError, UserCodeError."""
    path = Path(model).expanduser()
    suffix = path.suffix.lower()
    if fixed and suffix != ".onnx":
        raise UsageError(
            f"--fixed: what is always so is said of an ONNX file, and {model} is none: take it out"
        )
    if suffix in FILES:
        if not path.is_file():
            raise ModelFileError(f"no such model file: {path}{nearest_there(path)}")
        return FILES[suffix](path.absolute(), fixed or {})
    if path.is_dir() or model.startswith(PACKAGE):
        return _hugging_face(model)
    if path.is_file():
        raise ModelFileError(f"{path}: what is quantised is {KINDS}")
    if ":" in model:
        return Model(find_factory(model, Path.cwd()), model.rpartition(":")[2])
    if "." not in path.name and HUB_NAME.fullmatch(model):
        return _hugging_face(model)
    raise ModelFileError(f"no such model: {model}{nearest_there(path)}; what is quantised is {KINDS}")


def _onnx(file: Path, fixed: Mapping[str, int]) -> Model:
    from edgecomp.onnx_import import from_onnx, interface_of
    from edgecomp.onnx_import.reading import load

    output = str(load(file).graph.output[0].name)
    known = interface_of(from_onnx(file, [output], fixed))
    inputs = map(Input, known.inputs, known.dtypes, (shape[1:] for shape in known.shapes))
    return Model(f"{ONNX}{file}", file.stem, tuple(inputs), output, fixed=dict(fixed))


def _pt2(file: Path, _: Mapping[str, int]) -> Model:
    from edgecomp.runtimes.files import pt2

    signature = pt2.read(file, "cpu").signature
    inputs = (Input(port.name, port.dtype or "", (port.shape or ())[1:]) for port in signature.inputs)
    return Model(f"{PT2}{file}", file.stem, tuple(inputs))


def _hugging_face(reference: str) -> Model:
    found = find_factory(f"{PREFIX}{reference}", Path.cwd())
    source = Path(resolve(reference, Path.cwd()))
    if not source.is_dir():
        return _of_the_hub(found, reference)
    return Model(found if reference.startswith(PACKAGE) else f"{PREFIX}{source}", source.name, folder=source)


def _of_the_hub(network: str, name: str) -> Model:
    """Raises UsageError where the hub's model `name` is neither in the cache nor to be fetched, before anything is asked of its tokenizer or of data."""
    from edgecomp.models.checkpoints import fetched_beside, stored_config

    stored_config(name, name)
    return Model(network, name.rpartition("/")[2], folder=fetched_beside(name, PREPROCESSOR))


FILES: dict[str, Callable[[Path, Mapping[str, int]], Model]] = {".onnx": _onnx, ".pt2": _pt2}
"""By suffix."""


class Pictures(NamedTuple):
    """How a model wants images: pixels a side, L or RGB, and what is subtracted and divided by; None where it does not say."""

    size: int | None
    mode: str | None
    mean: list[float] | None
    std: list[float] | None


def pictures(model: Model) -> Pictures:
    """What `model` says of its images: an ONNX file or a .pt2 by the shape of its one input, a Hugging Face folder by its
    preprocessor_config.json. Raises UsageError where it takes no images."""
    if model.inputs:
        return _by_shape(model)
    file = model.folder / PREPROCESSOR if model.folder else None
    if file is None or not file.is_file():
        return Pictures(None, "RGB" if model.network.startswith(PREFIX) else None, None, None)
    said = read_mapping(file)
    size = said.get("size")
    sides = {one for one in size.values() if isinstance(one, int)} if isinstance(size, dict) else {size}
    (side,) = sides if len(sides) == 1 else (None,)
    mean, std = (
        said.get(name) if said.get("do_normalize", True) else default
        for name, default in (("image_mean", [0.0]), ("image_std", [1.0]))
    )
    return Pictures(side if isinstance(side, int) else None, "RGB", mean, std)


def _by_shape(model: Model) -> Pictures:
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(shape) != 3 or shape[0] not in (1, 3, None):
        taken = ", ".join(f"{one.name} {one.declared}" for one in model.inputs)
        raise UsageError(
            f"the model takes {taken}, and images are [N, 1 or 3, height, width] for one input: bring its inputs by name in an .npz"
        )
    channels, height, width = shape
    if height != width:
        raise UsageError(f"the model takes images of {height}×{width}, and a folder's are made square: bring them as they should be in an .npz, "
                         f"{model.inputs[0].name} [N, {channels}, {height}, {width}]")  # fmt: skip
    return Pictures(height, {1: "L", 3: "RGB"}.get(channels or 0), None, None)
