"""The formats of model files: one row a format. Which step of a run makes a file, where it lies, and what belongs to it.

To add one: a row here, and a row of MAKERS in edgecomp.export.formats, which writes the file of a captured network.
"""

from dataclasses import dataclass
from pathlib import Path

from edgecomp.errors import ModelFileError
from edgecomp.files import sealed
from edgecomp.runtimes import TABLE

PYTORCH = "pytorch"
"""The step that writes PyTorch's own files."""

CONTRACT = "contract.json"
"""What a deployed folder says of itself."""


@dataclass(frozen=True)
class Format:
    """suffix: of the file that a run exports; reads: suffixes of what its runtimes load. step: of a run, that exports it, and place, in that
    step's folder, `{}` being the arm. parts: suffixes of files beside it, without which it is not whole. target: the profile that a file
    is benched on where none is named. runs_code: a file may be a program, and is refused unless it is trusted.
    """

    suffix: str
    reads: tuple[str, ...]
    step: str
    place: str
    parts: tuple[str, ...] = ()
    target: str = ""
    runs_code: bool = False


FORMATS: dict[str, Format] = {
    one.suffix: one
    for one in (
        Format(".onnx", (".onnx",), "export", "onnx/{}.onnx", target="onnxruntime-cpu"),
        Format(
            ".xml",
            (".xml", ".onnx"),
            "export",
            "openvino/{}/model.xml",
            parts=(".bin",),
            target="openvino-cpu",
        ),
        Format(".pt2", (".pt2",), PYTORCH, "{}.pt2", target="pytorch-cpu", runs_code=True),
        Format(".ts", (".ts", ".pt"), PYTORCH, "{}.ts", target="torchscript-cpu", runs_code=True),
        Format(".kserve", (".kserve",), "", "", target="kserve"),  # an address (edgecomp.runtimes.endpoints)
        Format(".json", (".json",), "", ""),  # of the fake runtime
    )
}


def format_of(runtime: str) -> Format:
    """The format that a runtime's file has. runtime: a row of edgecomp.runtimes.TABLE."""
    return FORMATS[Path(TABLE[runtime].model_file).suffix]


def is_pytorch(runtime: str) -> bool:
    """Whether a runtime takes PyTorch's own files. runtime: as in `format_of`."""
    return format_of(runtime).step == PYTORCH


def target_for(file: Path) -> str:
    """The profile that a model file is benched on where none is named; empty where its suffix tells nothing."""
    suffix = suffix_of(file)
    own = FORMATS.get(suffix) or next((one for one in FORMATS.values() if suffix in one.reads), None)
    return own.target if own else ""


def suffix_of(file: Path) -> str:
    """Of what `file` holds: of `model.onnx.aes`, an encrypted one, `.onnx`."""
    return Path(sealed.plain_name(file)).suffix


def parts_of(file: Path) -> list[Path]:
    """The files that must lie beside a model's file."""
    own = FORMATS.get(suffix_of(file))
    stem, end = Path(sealed.plain_name(file)).stem, sealed.SUFFIX if sealed.is_sealed(file) else ""
    return [file.with_name(f"{stem}{suffix}{end}") for suffix in own.parts] if own else []


def all_parts(file: Path) -> list[Path]:
    """A model's file, and those beside it that hold its weights: an IR's .bin, and what an ONNX file calls external data."""
    if beside := parts_of(file):
        return [file, *beside]
    if file.suffix != ".onnx":
        return [file]
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    try:
        graph = onnx.load(file, load_external_data=False).graph
    except DecodeError:
        return [file]  # its runtime says what is wrong with it
    names = {ExternalDataInfo(one).location for one in graph.initializer if uses_external_data(one)}
    return [file, *(file.parent / name for name in sorted(names) if (file.parent / name).is_file())]


def deployed_in(folder: Path, runtime: str) -> Path:
    """The model's file in a deployed `folder`, as it is or encrypted. runtime: as in `format_of`. Raises ModelFileError where it is none."""
    if runtime not in TABLE:
        raise ModelFileError(f"{folder / CONTRACT}: runtime is {runtime!r}, and there are {', '.join(TABLE)}")
    plain = folder / TABLE[runtime].model_file
    encrypted = plain.with_name(f"{plain.name}{sealed.SUFFIX}")
    return encrypted if encrypted.is_file() and not plain.is_file() else plain


RUNS_CODE = tuple(dict.fromkeys(suffix for one in FORMATS.values() if one.runs_code for suffix in one.reads))
