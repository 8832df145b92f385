"""Files of PyTorch's that would run code: not one of them does, unless it is trusted, and then each does.

Each makes a file, `ran`, when it has its way; that it does so with torch's own loader proves that the file is what it says.
"""

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Cli, Opened
from torch import nn

from edgecomp import runtimes
from edgecomp.errors import ModelFileError
from edgecomp.runtimes.files import torch_operators

Members = dict[str, bytes]
ROOT = "model"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.shift


@pytest.fixture(scope="module")
def members() -> Members:
    """An ordinary .pt2 of torch.export.save, its sample inputs included."""
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Net().eval(), (torch.ones(2, 4),), dynamic_shapes=(batch,), strict=False)
    torch.export.save(program, content := io.BytesIO())
    with zipfile.ZipFile(content) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(file: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{ROOT}/{name}"), content, compression)
    return file


def pickled(file: Path) -> bytes:
    torch.save(Opened(file), content := io.BytesIO())
    return content.getvalue()


def changed(members: Members, name: str, change: Callable[[Any], None]) -> Members:
    content = json.loads(members[name])
    change(content)
    return members | {name: json.dumps(content).encode()}


GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


def pickled_sample_inputs(members: Members, ran: Path) -> Members:
    return members | {"data/sample_inputs/model.pt": pickled(ran)}


def pickled_weight(members: Members, ran: Path) -> Members:
    def change(content: Any) -> None:
        content["config"]["layer.weight"] |= {"use_pickle": True}

    name = json.loads(members[WEIGHTS])["config"]["layer.weight"]["path_name"]
    return changed(members, WEIGHTS, change) | {f"data/weights/{name}": pickled(ran)}


def weights_of_the_older_format(members: Members, ran: Path) -> Members:
    return members | {"data/weights/model.pt": pickled(ran)}


def opaque_object(members: Members, ran: Path) -> Members:
    import pickle

    def change(content: Any) -> None:
        content["config"]["more"] = {
            "path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None,
        }  # fmt: skip

    constants = "data/constants/model_constants_config.json"
    return changed(members, constants, change) | {"data/constants/opaque_obj_0": pickle.dumps(Opened(ran))}


def evaluated_size(members: Members, ran: Path) -> Members:
    def change(content: Any) -> None:
        for value in content["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = f"__import__('pathlib').Path({str(ran)!r}).touch()"

    return changed(members, GRAPH, change)


def evaluated_guard(members: Members, ran: Path) -> Members:
    def change(content: Any) -> None:
        content["guards_code"] = [f"__import__('pathlib').Path({str(ran)!r}).touch() is None"]

    return changed(members, GRAPH, change)


def code_for_a_name(members: Members, ran: Path) -> Members:
    """torch pastes the names of inputs into the source of a function."""
    text = members[GRAPH].decode()
    name = f"x = __import__('pathlib').Path({str(ran)!r}).touch() #"
    return members | {
        GRAPH: text.replace('{"name": "x"}', json.dumps({"name": name}))
        .replace('"x": {', f"{json.dumps(name)}: {{")
        .encode()
    }


def function_below_torch(members: Members, ran: Path) -> Members:
    def change(content: Any) -> None:
        node = {"target": "torch.os.system", "outputs": [{"as_none": True}], "metadata": {}, "name": "call",
                "is_hop_single_tensor_return": None,
                "inputs": [{"name": "", "kind": 1, "arg": {"as_string": f"touch {ran}"}}]}  # fmt: skip
        content["graph_module"]["graph"]["nodes"].insert(0, node)

    return changed(members, GRAPH, change)


def mapped_file(members: Members, ran: Path) -> Members:
    def change(content: Any) -> None:
        arguments = {"filename": {"as_string": str(ran)}, "shared": {"as_bool": True}, "size": {"as_int": 4}}
        node = {"target": "torch.ops.aten.from_file.default", "metadata": {}, "name": "mapped",
                "outputs": [{"as_tensor": {"name": "mapped"}}], "is_hop_single_tensor_return": None,
                "inputs": [{"name": name, "kind": 1, "arg": value} for name, value in arguments.items()]}  # fmt: skip
        graph = content["graph_module"]["graph"]
        graph["nodes"].insert(0, node)
        graph["tensor_values"]["mapped"] = graph["tensor_values"]["b_shift"]

    return changed(members, GRAPH, change)


READ = (pickled_sample_inputs, evaluated_size, evaluated_guard, code_for_a_name)
REFUSED = {
    pickled_weight: "layer.weight is a pickle",
    weights_of_the_older_format: "it holds 'model/data/weights/model.pt'",
    opaque_object: "it holds 'model/data/constants/opaque_obj_0'",
    function_below_torch: "it calls 'torch.os.system'",
    mapped_file: "it calls 'torch.ops.aten.from_file.default'",
}


def used(file: Path, *, runtime: str = "pytorch-cpu", trusted: bool = False) -> None:
    loaded: Any = runtimes.adapter(runtime)
    session = loaded.load(file, threads=1, options={}, trusted=trusted)
    (port,) = session.signature().inputs
    (answer,) = session.run({port.name: np.ones((2, 4), np.float32)}).values()
    assert answer.shape == (2, 3)


@pytest.mark.parametrize("attack", [*READ, *REFUSED])
def test_a_pt2_runs_no_code(attack: Any, members: Members, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    file = write(tmp_path / "model.pt2", attack(members, ran))
    if attack in READ:
        used(file)
    else:
        with pytest.raises(ModelFileError, match=f"is not loaded: {REFUSED[attack]}.*--trust"):
            used(file)
    assert not ran.exists()


# The two others torch 2.13 does not get to run: Python's grammar and a list of its own stop them.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "attack", [one for one in (*READ, *REFUSED) if one not in (code_for_a_name, function_below_torch)]
)
def test_with_torch_s_own_loader_it_would(attack: Any, members: Members, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    file = write(tmp_path / "model.pt2", attack(members, ran))
    with contextlib.suppress(Exception):  # what it was to do, it has done before
        used(file, trusted=True)
    assert ran.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"../../x": b""}, "it holds 'model/../../x'"),
        ({"byteorder": b"big"}, "big-endian"),
        ({GRAPH: b'{"schema_version": {"major": 9}}'}, "its graph is of format 9"),
        ({GRAPH: b"[" * 100_000}, "nested too deeply; the most is 64 levels"),
        ({GRAPH: b"{}"}, "not what torch.export.save writes (KeyError"),
        ({GRAPH: None}, "There is no item named 'model/models/model.json'"),
    ],
)
def test_a_pt2_that_is_not_what_torch_writes_is_refused(
    members: Members, tmp_path: Path, changes: dict[str, bytes | None], words: str
) -> None:
    content = {name: value for name, value in (members | changes).items() if value is not None}
    with pytest.raises(ModelFileError) as caught:
        used(write(tmp_path / "model.pt2", content))
    assert words in str(caught.value)


def test_a_compressed_pt2_is_refused(members: Members, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is compressed, which torch does not write"):
        used(write(tmp_path / "model.pt2", members, zipfile.ZIP_DEFLATED))


def test_a_tensor_larger_than_its_bytes_is_refused(members: Members, tmp_path: Path) -> None:
    def change(content: Any) -> None:
        content["config"]["layer.weight"]["tensor_meta"] |= {
            "sizes": [{"as_int": 2**20}, {"as_int": 2**20}],
            "strides": [{"as_int": 0}, {"as_int": 0}],
        }

    file = write(tmp_path / "model.pt2", changed(members, WEIGHTS, change))
    with pytest.raises(ModelFileError, match="the file has 12 numbers for it"):
        used(file)


def test_the_command_line_refuses_it_and_says_how_to_trust(
    cli: Cli, members: Members, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    good = write(tmp_path / "good.pt2", members)
    bad = write(tmp_path / "bad.pt2", pickled_weight(members, ran))
    quick = ("-t", "pytorch-cpu", "--max-time", "1")
    for arguments in (["bench", str(bad), "--restarts", "1"], ["compare", str(good), str(bad)]):
        done = cli(*arguments, *quick, cwd=tmp_path)
        assert done.code == 2, done.err
        assert "bad.pt2 is not loaded: layer.weight is a pickle" in " ".join(done.err.split())
        assert not ran.exists()
        assert (
            cli(*arguments, *quick, "--trust", str(bad), cwd=tmp_path).code != 0
        )  # what is opened is no weight
        assert ran.exists()
        ran.rmdir()


def test_what_is_trusted_is_a_model_that_is_given_and_can_run_code(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    for trusted, words in (
        ("other.pt2", "--trust other.pt2 is none of the models: m.onnx"),
        ("m.onnx", "--trust m.onnx: only .pt2, .ts, .pt files can run code"),
    ):
        done = cli("bench", "m.onnx", "--trust", trusted, cwd=tmp_path)
        assert done.code == 2
        assert words in " ".join(done.err.split())


# -- TorchScript ------------------------------------------------------------------------------------


def traced(file: Path) -> Members:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's own, of its age
        torch.jit.save(torch.jit.trace(Net().eval(), (torch.ones(2, 4),)), str(file))
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def with_line(members: Members, line: str) -> Members:
    """A trace that does something more before it answers."""
    first = b"    shift = self.shift\n"
    (name,) = (name for name, content in members.items() if first in content and name.endswith(".py"))
    return members | {name: members[name].replace(first, line.encode() + first)}


SCRIPTS = {
    '    torch.save(x, "ran")\n': "it calls torch.save",
    '    _9 = torch.from_file("ran", True, 4, dtype=6)\n    x = torch.add(x, _9)\n': "it calls torch.from_file",
    '    save = torch.save\n    save(x, "ran")\n': "it calls save",
    '    int = torch.save\n    int(x, "ran")\n': "it gives (int|torch) another name",
    '    torch.save(x, "./ran")\n': """its code has '"' in it""",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("line", SCRIPTS)
def test_a_script_that_writes_files_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "hostile.ts", with_line(traced(tmp_path / "model.ts"), line))
    with pytest.raises(ModelFileError, match=f"is not loaded: {SCRIPTS[line]}.*--trust"):
        used(file, runtime="torchscript-cpu")
    assert not Path("ran").exists()
    used(file, runtime="torchscript-cpu", trusted=True)
    assert Path("ran").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_script_that_would_run_when_it_is_read_is_refused(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Restored(nn.Module):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path
            self.training = False

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return self.path, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.path, self.training = state
            torch.save(torch.ones(1), self.path)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    file = tmp_path / "restored.ts"
    torch.jit.save(torch.jit.script(Restored(str(ran))), str(file))
    with pytest.raises(ModelFileError, match=r"it (has a function __\w+__|calls torch.save)"):
        used(file, runtime="torchscript-cpu")
    assert not ran.exists()
    torch.jit.load(str(file))
    assert ran.exists()


def test_members_of_a_script_that_torch_does_not_write_do_not_reach_it(tmp_path: Path) -> None:
    members = traced(tmp_path / "model.ts")
    for name, words in (
        ("code/../x.py", "it has code in 'code/../x.py'"),
        ("data.pkl", "its data name os.system"),
    ):
        file = write(tmp_path / "hostile.ts", members | {name: b"cos\nsystem\n."})
        with pytest.raises(ModelFileError) as caught:
            used(file, runtime="torchscript-cpu")
        assert words in str(caught.value)
    used(write(tmp_path / "more.ts", members | {"extra/notes.txt": b"x"}), runtime="torchscript-cpu")


def test_a_tensor_of_a_script_that_says_it_is_longer_is_refused(tmp_path: Path) -> None:
    """torch 2.13 believes it, and reads and writes what lies behind it in memory."""
    members = traced(tmp_path / "model.ts")
    name, longer = "data.pkl", b"cpuq\x06K\xff"
    assert members[name].count(b"cpuq\x06K\x03") == 1
    members |= {name: members[name].replace(b"cpuq\x06K\x03", longer)}
    with pytest.raises(
        ModelFileError, match=r"tensor \d is of 255 numbers, and the file has 12 bytes for it"
    ):
        used(write(tmp_path / "hostile.ts", members), runtime="torchscript-cpu")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R.", "its data name posix.system"),
        (b"\x80\x02c__torch__.torch.classes.a\nB\n)\x81.", "its data name __torch__.torch.classes.a.B"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "its data are written with SHORT_BINUNICODE"),
        (b"\x80\x02\x8a\x01\x05.", "its data are written with LONG1"),
        (b"\x80\x02(U\x01xtQ.", "its data are written with SHORT_BINSTRING"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "its data are written with LONG_BINPUT"),
        (b"\x80\x02)Q.", "it has a tensor of a kind that is not read here"),
        (b"\x80\x02.", "TorchScript cannot load"),
        (b"\x80\x02N", "TorchScript cannot load"),
    ],
)
def test_data_of_a_script_that_torch_does_not_write_are_refused(
    content: bytes, words: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "hostile.ts", traced(tmp_path / "model.ts") | {"data.pkl": content})
    with pytest.raises(ModelFileError, match=words):
        used(file, runtime="torchscript-cpu")


def test_operators_that_reach_the_system_or_memory_may_not_be_named() -> None:
    assert torch_operators.find("torch.ops.aten.gelu.default") is torch.ops.aten.gelu.default
    for name in (
        "torch.ops.aten.from_file.default", "torch.ops.aten.save.default", "torch.ops.aten._sparse_coo_tensor_unsafe.default",
        "torch.ops.aten._unsafe_index.Tensor", "torch.ops.aten.__init__.__globals__", "torch.ops.aten.nothing.default",
        "torch.ops.prim.device.default", "torch.ops.load_library", "torch.os.system", "torch.hub.load", "_operator.methodcaller",
        "_operator.attrgetter", "math.__loader__", "#x:y", "aten::add", "",
    ):  # fmt: skip
        assert torch_operators.find(name) is None, name
    assert torch_operators.computes("add_")
    for name in ("save", "from_file", "_print", "warn", "format", "nothing", "_unsafe_index"):
        assert not torch_operators.computes(name), name
