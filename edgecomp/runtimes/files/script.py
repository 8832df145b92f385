"""Whether a TorchScript file is a trace that only computes, told from its text before torch reads it.

TorchScript is a language: its code can write files (torch.save), and runs when a file is read where a class has __setstate__. A trace
needs none of that: its classes have tensors and `forward`, and that calls operators, and other modules' forward. What is
more than that is refused here, and so is text that Python's grammar and TorchScript's could read differently. Torch is then
given a copy of the members that were looked at. Its reader of data.pkl is its own, in C++: it makes nothing but tensors and objects
of the file's classes, which the names in it are held against; and it takes a tensor's length on trust, beyond the end of its bytes
(2.13), so that lengths are held against the members as well.
"""

import ast
import io
import pickle
import pickletools
import re
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecomp.errors import FileError, ModelFileError
from edgecomp.files import archives
from edgecomp.runtimes.files.torch_operators import computes

# Below the archive's one folder. Sample inputs and stack traces are not copied.
COPIED = re.compile(
    r"version|\.data/version|byteorder|data\.pkl|constants\.pkl|(data|constants)/\d+|code/__torch__(/\w+)*\.py",
    re.ASCII,
)
CODE, PICKLES = re.compile(r"code/.*\.py"), ("data.pkl", "constants.pkl")

TEXT = re.compile(r'"[\w:. ]*"', re.ASCII)
STRANGE = re.compile(r"""[^\x20-\x7e\n]|["'\\#;`]""")

MODULES = ("torch", "ops")
NAMES = {"annotate", "bool", "float", "getattr", "int", "len", "unchecked_cast", "uninitialized"}
PRIM = {
    "NumToTensor",
    "TupleConstruct",
    "TupleIndex",
    "TupleUnpack",
    "data",
    "device",
    "dtype",
    "is_cuda",
    "layout",
    "max",
    "min",
    "shape",
}
# Whose forms with a text do nothing but to the text itself.
WITH_TEXT = {
    "Float",
    "Int",
    "add",
    "any",
    "device",
    "eq",
    "ge",
    "gt",
    "index",
    "le",
    "len",
    "lt",
    "ne",
    "slice",
    "sort",
    "split",
}

GLOBALS = re.compile(
    r"__torch__(\.\w+)+|torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.(\w+Storage|device)|collections\.OrderedDict|"
    r"torch\.jit\._pickle\.(build_\w+list|restore_type_tag)", re.ASCII,
)  # fmt: skip


# By the names of their storages.
ITEM_BYTES = {
    "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ShortStorage": 2, "HalfStorage": 2, "BFloat16Storage": 2, "IntStorage": 4,
    "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip

# Of a pickle that torch writes: both its reader and Python's understand them alike, a LONG1 of eight bytes included.
INSTRUCTIONS = {
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS",
    "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "NEWOBJ", "REDUCE", "BUILD", "BINPERSID",
}  # fmt: skip
LONG_BYTES = 8


PICKLE_ERRORS = (pickle.UnpicklingError, IndexError, TypeError, AttributeError, RecursionError)


class Refused(Exception):  # noqa: N818 - it says what is more than a trace
    """Something in the file that a trace does not have."""


def checked(model: Path, folder: Path) -> Path:
    """A copy in `folder` of what torch is to read of the file `model`. Raises ModelFileError."""
    copy = folder / "model.ts"
    try:
        with archives.opened(model) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as to:
            root = archive.namelist()[0].split("/")[0]
            for name in archive.namelist():
                inside = name.removeprefix(f"{root}/")
                if not COPIED.fullmatch(inside):
                    if CODE.fullmatch(inside):
                        raise Refused(f"it has code in {inside!r}")
                    continue
                _check(inside, model, archive, name)
                with (
                    archive.open(name) as source,
                    to.open(zipfile.ZipInfo(f"{root}/{inside}"), "w", force_zip64=True) as sink,
                ):
                    shutil.copyfileobj(source, sink)
    except FileError as error:
        raise ModelFileError(f"TorchScript cannot load {error}") from error
    except Refused as error:
        raise ModelFileError(f"{model} is not loaded: {error}, and TorchScript can do what a program can: name it with --trust (of "
                             "`bench` and `compare`) if you trust whoever made it, or export the network as .pt2 or ONNX") from error  # fmt: skip
    except (*archives.ERRORS, *PICKLE_ERRORS) as error:
        raise ModelFileError(
            f"TorchScript cannot load {model}: it may be cut short or damaged ({error})"
        ) from error
    return copy


def _check(inside: str, model: Path, archive: zipfile.ZipFile, name: str) -> None:
    if inside in PICKLES:
        folder = name.removesuffix(".pkl")
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        _Contents(archives.read(model, archive, name), lambda key: sizes.get(f"{folder}/{key}")).check()
    elif CODE.fullmatch(inside):
        _check_code(archives.read(model, archive, name))


class _Inert:
    """In place of whatever a name stands for: it does nothing, whatever it is called with."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _Contents(pickle.Unpickler):
    """What torch will make of a pickle: no name in it is looked up, so that nothing is made here but lists and texts."""

    def __init__(self, content: bytes, size_of: Callable[[str], int | None]) -> None:
        super().__init__(io.BytesIO(content))
        self._content, self._size_of = content, size_of

    def check(self) -> None:
        for instruction, argument, place in pickletools.genops(self._content):
            name = instruction.name
            odd = name == "LONG1" and self._content[(place or 0) + 1] != LONG_BYTES
            odd |= name == "LONG_BINPUT" and int(str(argument)) > len(
                self._content
            )  # a place in a list that grows to it
            if name not in INSTRUCTIONS or odd:
                raise Refused(f"its data are written with {name} as torch does not write it")
        self.load()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if not GLOBALS.fullmatch(full) or ".torch.classes." in full:
            raise Refused(f"its data name {full[:80]}")
        return OrderedDict if name == "OrderedDict" else type(name, (_Inert,), {})

    def persistent_load(self, storage: Any) -> _Inert:
        match storage:
            case ("storage", type(__name__=kind), str(key), str(), int(count)) if kind in ITEM_BYTES:
                if self._size_of(key) == count * ITEM_BYTES[kind]:
                    return _Inert()
                raise Refused(
                    f"tensor {key[:20]} is of {count:,} numbers, and the file has {self._size_of(key)} bytes for it"
                )
        raise Refused("it has a tensor of a kind that is not read here")


def _check_code(code: bytes) -> None:
    text = code.decode("ascii", errors="replace")
    if '"""' in text:
        raise Refused("its code has texts of several lines in it")
    if strange := STRANGE.search(TEXT.sub("", text)):
        raise Refused(f"its code has {strange[0]!r} in it")
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise Refused("its code is not that of a trace") from error
    called = set()  # names where they begin what is called
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _check_call(node)
            called.add(id(_root(node.func)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("forward"):
            raise Refused(f"it has a function {node.name}")
        if isinstance(node, ast.Attribute) and node.attr == "classes":
            raise Refused("it uses classes of torch's own")
        if isinstance(node, ast.Name) and id(node) not in called and _is_renamed(node):
            raise Refused(f"it gives {node.id} another name, or another meaning")
        if isinstance(node, ast.arg) and node.arg in {*NAMES, *MODULES}:
            raise Refused(f"it gives {node.arg} another meaning")


def _is_renamed(name: ast.Name) -> bool:
    return name.id in MODULES or (name.id in NAMES and not isinstance(name.ctx, ast.Load))


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _check_call(call: ast.Call) -> None:
    said = ast.unparse(call.func)
    match call.func:
        case ast.Name(name) if name in NAMES:
            return
        case ast.Attribute(ast.Name("torch"), name) if name in WITH_TEXT or computes(name):
            return
        case ast.Attribute(ast.Attribute(ast.Name("ops"), "prim"), name) if name in PRIM:
            return
        case ast.Attribute(_, name) if name.startswith("forward") and said.split(".")[0] not in MODULES:
            return
    raise Refused(f"it calls {said[:80]}")
