"""The formats of model files: one row a format. Which step of a run makes a file, where it lies, and what belongs to it.

To add one: a row here, and a row of MAKERS in edgecomp.export.formats, which writes the file of a captured network.
"""

from dataclasses import dataclass
from pathlib import Path

from edgecomp.runtimes import TABLE


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
        Format(".pt2", (".pt2",), "pytorch", "{}.pt2", target="pytorch-cpu", runs_code=True),
        Format(".ts", (".ts", ".pt"), "pytorch", "{}.ts", target="torchscript-cpu", runs_code=True),
        Format(".json", (".json",), "", ""),  # of the fake runtime
    )
}


def format_of(runtime: str) -> Format:
    """The format that a runtime's file has. runtime: a row of edgecomp.runtimes.TABLE."""
    return FORMATS[Path(TABLE[runtime].model_file).suffix]


def target_for(file: Path) -> str:
    """The profile that a model file is benched on where none is named; empty where its suffix tells nothing."""
    own = FORMATS.get(file.suffix) or next(
        (one for one in FORMATS.values() if file.suffix in one.reads), None
    )
    return own.target if own else ""


def parts_of(file: Path) -> list[Path]:
    """The files that must lie beside a model's file."""
    own = FORMATS.get(file.suffix)
    return [file.with_suffix(suffix) for suffix in own.parts] if own else []


RUNS_CODE = tuple(dict.fromkeys(suffix for one in FORMATS.values() if one.runs_code for suffix in one.reads))
