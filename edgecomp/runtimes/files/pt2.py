"""A file that torch.export wrote, as a network: read as data, and not with torch's own loader, which runs what the file holds.

torch.export.load (2.11 to 2.13) unpickles sample inputs, custom objects and such weights as say that they are pickled; it evaluates
sizes and guards as Python, imports what a tree of inputs names, calls whatever is found under a name below `torch`, and pastes the file's
names into source code. Here the graph is built anew, of operators in torch_operators and of tensors from their raw bytes, with names of
our own: no pickle is opened, and nothing is evaluated. What such a graph does not need, sample inputs among it, is not looked at.

The format: torch/_export/serde/schema.py, major version 8, and torch/export/pt2_archive.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from edgecomp.errors import FileError, ModelFileError
from edgecomp.files import archives, json_files
from edgecomp.runtimes.base import Port, Signature
from edgecomp.runtimes.files.torch_operators import find

FORMAT = 8
"""Major version of the graph's schema."""

# By their numbers in the schema.
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 10: torch.complex64, 11: torch.complex128, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
MEMORY_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format,
}  # fmt: skip
STRIDED = 7
KEYWORD = 2

AUTOCAST = "torch.ops.higher_order.wrap_with_autocast"
BLOCKS = ("torch.ops.higher_order.wrap_with_set_grad_enabled", AUTOCAST)

# Below the archive's one folder. What torch.export.save writes for one network of tensors; `extra` is the writer's own text.
MEMBERS = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|extra/.*|"
    r"data/(weights/(weight_\d+|model_weights_config\.json)|constants/(tensor_\d+|model_constants_config\.json)|"
    r"sample_inputs/model\.pt)"
)

SYMBOL = re.compile(r"Symbol\('(\w+)'(?:, \w+=\w+)*\)|([a-z]+\d+)", re.ASCII)

TORCH_S_OWN = (
    "PyTorch's own loader would read it, and run what such a file holds: name it with --trust (of `bench` and `compare`) if you trust "
    "whoever made it"
)


class Axis(NamedTuple):
    """A free axis of an input, and what its length may be."""

    input: int
    axis: int
    symbol: str
    fewest: int
    most: int | None


class Program(NamedTuple):
    module: fx.GraphModule
    signature: Signature
    axes: list[Axis]


class Refused(Exception):  # noqa: N818 - it says what is not read here
    """Something in the file that is not among what is read here."""


def read(path: Path, device: str) -> Program:
    """The network in the file `path`, its tensors on `device`. Raises ModelFileError."""
    try:
        with archives.opened(path) as archive:
            return _read(path, archive, device)
    except FileError as error:
        raise ModelFileError(f"PyTorch cannot load {error}") from error
    except Refused as error:
        raise ModelFileError(f"{path} is not loaded: {error}. {TORCH_S_OWN}") from error
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        StopIteration,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"PyTorch cannot load {path}: it is not what torch.export.save writes ({type(error).__name__}: {reason})"
        ) from error


def _read(path: Path, archive: zipfile.ZipFile, device: str) -> Program:
    root = archive.namelist()[0].split("/")[0]
    for member in archive.infolist():
        inside = member.filename.removeprefix(f"{root}/")
        if not member.filename.startswith(f"{root}/") or not MEMBERS.fullmatch(inside):
            raise Refused(f"it holds {member.filename!r}, which is no part of a network of tensors alone")
        if member.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"its member {member.filename!r} is compressed, which torch does not write")

    def content(name: str) -> Any:
        return json_files.parse_json(archives.read(path, archive, f"{root}/{name}"), f"{path}: {name}")

    def tensors(kind: str) -> dict[str, torch.Tensor]:
        described = content(f"data/{kind}/model_{kind}_config.json")["config"]
        return _tensors(
            described, lambda file: archives.read(path, archive, f"{root}/data/{kind}/{file}"), device
        )

    program = content("models/model.json")
    if program["schema_version"]["major"] != FORMAT:
        raise Refused(
            f"its graph is of format {program['schema_version']['major']}, and {FORMAT} is what is read here"
        )
    if (
        f"{root}/byteorder" in archive.namelist()
        and archives.read(path, archive, f"{root}/byteorder") != b"little"
    ):
        raise Refused("its weights are big-endian")
    held = program["graph_module"]
    graph = Graph(tensors("weights") | tensors("constants"), device)
    module = graph.built(held["graph"], held["signature"]["input_specs"], held["signature"]["output_specs"])
    values, inputs = held["graph"]["tensor_values"], graph.user_inputs
    outputs = [one["as_tensor"]["name"] for one in held["graph"]["outputs"]]
    signature = Signature(
        tuple(_port(name, values[name]) for name in inputs),
        tuple(
            _port(f"output_{index}" if index else "logits", values[name])
            for index, name in enumerate(outputs)
        ),
    )
    return Program(module, signature, list(_axes(inputs, values, program["range_constraints"])))


def _tensors(
    described: Mapping[str, Any], raw: Callable[[str], bytes], device: str
) -> dict[str, torch.Tensor]:
    """By name; those that share their bytes in the file share them here."""
    flat: dict[str, torch.Tensor] = {}
    found = {}
    for name, one in described.items():
        if one["use_pickle"]:
            raise Refused(f"{name} is a pickle")
        meta, file = one["tensor_meta"], one["path_name"]
        dtype = _from(DTYPES, meta["dtype"], "a type of numbers")
        sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
        if file not in flat:
            content = bytearray(raw(file))  # copied, for kernels want memory that begins at a multiple of 64
            flat[file] = (
                torch.frombuffer(content, dtype=dtype).clone() if content else torch.empty(0, dtype=dtype)
            )
        if torch.Size(sizes).numel() > flat[file].numel():
            raise Refused(f"{name} is of {sizes}, and the file has {flat[file].numel()} numbers for it")
        view = torch.as_strided(flat[file], sizes, strides, meta["storage_offset"]["as_int"]).to(device)
        # Kernels are chosen by whether a gradient may be wanted.
        found[name] = nn.Parameter(view, bool(meta["requires_grad"])) if one["is_param"] else view
    return found


class Graph:
    """A graph of ours, made of a file's; `user_inputs` are the names of those that are not its own tensors."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], device: str) -> None:
        self._tensors, self._device = tensors, device
        self._root, self._graph = nn.Module(), fx.Graph()
        self._nodes: dict[str, fx.Node] = {}
        self.user_inputs: list[str] = []

    def built(self, graph: Mapping[str, Any], inputs: list[Any], outputs: list[Any]) -> fx.GraphModule:
        """The file's `graph` as a module. inputs, outputs: their specifications. Raises Refused."""
        for place, (spec, given) in enumerate(zip(inputs, graph["inputs"], strict=True)):
            self._input(place, spec, given)
        for node in graph["nodes"]:
            self._call(node)
        if any("user_output" not in spec for spec in outputs):
            raise Refused("it changes tensors of its own, or its inputs")
        self._graph.output(tuple(self._node(one["as_tensor"]) for one in graph["outputs"]))
        return fx.GraphModule(self._root, self._graph)

    def _input(self, place: int, spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        ((kind, what),) = spec.items()
        if kind == "constant_input":  # None, or a number: it is in the graph already
            return
        name = given["as_tensor"]["name"]
        if kind == "user_input":
            self._nodes[name] = self._graph.placeholder(f"input_{place}")
            self.user_inputs.append(name)
            return
        if kind not in ("parameter", "buffer", "tensor_constant"):
            raise Refused(f"it takes a {kind.replace('_', ' ')}")
        own = f"tensor_{place}"
        setattr(self._root, own, self._tensors[what[f"{kind}_name"]])
        self._nodes[name] = self._graph.get_attr(own)

    def _call(self, called: Mapping[str, Any]) -> None:
        if called["target"] in BLOCKS:
            return self._block(called)
        operator = find(called["target"])
        if operator is None:
            raise Refused(
                f"it calls {str(called['target'])[:80]!r}, which is not among the operators that only compute"
            )
        given = [
            (one["kind"] == KEYWORD, one["name"], self._argument(one["arg"])) for one in called["inputs"]
        ]
        node = self._graph.call_function(
            operator,
            tuple(value for by_name, _, value in given if not by_name),
            {str(name): value for by_name, name, value in given if by_name},
        )
        if len(called["outputs"]) == 1:
            self._name(node, called["outputs"][0])
            return
        for index, one in enumerate(called["outputs"]):
            self._name(self._item(node, index), one)

    def _block(self, called: Mapping[str, Any]) -> None:
        """A part of the graph without gradients, or without autocast: as it stands, for here are neither."""
        settings = [one["arg"] for one in called["inputs"]]
        place = next(index for index, one in enumerate(settings) if "as_graph" in one)
        if called["target"] == AUTOCAST and settings[2] != {"as_bool": False}:
            raise Refused("a part of it is under autocast")
        inner, outer = settings[place]["as_graph"]["graph"], self._nodes
        given = [self._argument(one) for one in settings[place + 1 :]]
        self._nodes = {
            one["as_tensor"]["name"]: node for one, node in zip(inner["inputs"], given, strict=True)
        }
        for node in inner["nodes"]:
            self._call(node)
        found = [self._argument(one) for one in inner["outputs"]]
        self._nodes = outer
        for node, output in zip(found, called["outputs"], strict=True):
            self._name(node, output)

    def _name(self, node: fx.Node, output: Mapping[str, Any]) -> None:
        ((kind, value),) = output.items()
        if kind == "as_tensors":
            for index, one in enumerate(value):
                self._nodes[one["name"]] = self._item(node, index)
        elif kind == "as_tensor":
            self._nodes[value["name"]] = node
        elif kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            self._nodes[value["as_name"]] = node
        elif kind != "as_none":
            raise Refused(f"an operator gives {kind.removeprefix('as_').replace('_', ' ')}")

    def _item(self, node: fx.Node, index: int) -> fx.Node:
        getitem = find("_operator.getitem")
        assert getitem is not None
        return self._graph.call_function(getitem, (node, index))

    def _node(self, named: Mapping[str, str]) -> fx.Node:
        return self._nodes[named["name"]]

    def _argument(self, argument: Mapping[str, Any]) -> Any:
        ((kind, value),) = argument.items()
        if kind in ("as_none", "as_bool", "as_int", "as_string"):
            return None if kind == "as_none" else _plain(value)
        if kind == "as_float":
            return float(value)  # Infinity is a text here
        if kind in ("as_ints", "as_bools", "as_strings"):
            return [_plain(one) for one in value]
        if kind == "as_floats":
            return [float(one) for one in value]
        if kind == "as_tensor":
            return self._node(value)
        if kind == "as_tensors":
            return [self._node(one) for one in value]
        if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            return self._size(value)
        if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
            return [self._size(one) for one in value]
        if kind == "as_optional_tensor":
            return self._argument(value)
        if kind == "as_optional_tensors":
            return [self._argument(one) for one in value]
        if kind == "as_scalar_type":
            return _from(DTYPES, value, "a type of numbers")
        if kind == "as_memory_format":
            return _from(MEMORY_FORMATS, value, "a memory format")
        if kind == "as_layout" and value == STRIDED:
            return torch.strided
        if kind == "as_device":
            return torch.device(self._device)
        raise Refused(f"an operator takes {kind.removeprefix('as_').replace('_', ' ')}")

    def _size(self, value: Mapping[str, Any]) -> Any:
        ((kind, size),) = value.items()
        return self._nodes[size] if kind == "as_name" else _plain(size)


def _plain(value: Any) -> int | float | str:
    if not isinstance(value, int | float | str):
        raise Refused(f"an operator takes a {type(value).__name__} for a number")
    return value


def _from(table: Mapping[int, Any], number: Any, what: str) -> Any:
    if number not in table:
        raise Refused(f"it has {what} that is not read here ({number})")
    return table[number]


def _port(name: str, meta: Mapping[str, Any]) -> Port:
    sizes = tuple(size.get("as_int") for size in meta["sizes"])
    return Port(name, sizes, str(_from(DTYPES, meta["dtype"], "a type of numbers")).removeprefix("torch."))


def _axes(inputs: list[str], values: Mapping[str, Any], ranges: Mapping[str, Any]) -> Iterator[Axis]:
    """The free axes that are one symbol; of an axis that is reckoned from others the file says nothing that is read here."""
    for place, given in enumerate(inputs):
        for axis, size in enumerate(values[given]["sizes"]):
            symbol = SYMBOL.fullmatch(size.get("as_expr", {}).get("expr_str", ""))
            if symbol is None:
                continue
            name = symbol[1] or symbol[2]
            known = ranges.get(name, {})
            fewest = known.get("min_val") or 0
            # 2 is what torch.export writes of an axis whose range it was not told, and 1 works as well.
            yield Axis(place, axis, name, fewest if fewest > 2 else 0, known.get("max_val"))
