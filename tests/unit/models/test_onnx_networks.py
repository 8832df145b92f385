"""`onnx:FILE` as a network by name: where it leads, what may be said of it, and what is built."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from onnx_files import cnn, text

from edgecomp.errors import UsageError
from edgecomp.models import build, check_arguments, check_output, find_factory, own_files

GIVEN = {"channels": 3, "classes": 4}


def test_a_file_is_found_beside_the_recipe_in_the_current_folder_and_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cnn(tmp_path / "cnn.onnx")
    monkeypatch.chdir(tmp_path)
    for reference, folder in (("cnn.onnx", tmp_path), ("cnn.onnx", Path("/")), (str(file), Path("/"))):
        assert find_factory(f"onnx:{reference}", folder) == f"onnx:{reference}"
        assert own_files(f"onnx:{reference}", folder) == [file]
    with pytest.raises(UsageError, match=r"no file 'cn\.onnx' in .*; did you mean 'cnn\.onnx'"):
        find_factory("onnx:cn.onnx", tmp_path)


def test_a_recipe_is_checked_without_torch_or_onnx(tmp_path: Path) -> None:
    cnn(tmp_path / "cnn.onnx")
    script = (
        "import sys; from pathlib import Path; from edgecomp.models import *\n"
        f"find_factory('onnx:cnn.onnx', Path({str(tmp_path)!r}))\n"
        "check_arguments('onnx:cnn.onnx', {'output': 'logits'}, Path())\n"
        "print({'torch', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_starts_with_its_own_weights_and_gives_logits(tmp_path: Path) -> None:
    cnn(tmp_path / "cnn.onnx")
    first, second = (build("onnx:cnn.onnx", {"output": "logits"}, tmp_path, GIVEN) for _ in range(2))
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(first(x), second(x))
    check_output("onnx:cnn.onnx", first, {"image": x}, (2, 4))
    second.load_state_dict(first.state_dict())


def test_probabilities_are_no_logits_unless_they_are_named(tmp_path: Path) -> None:
    cnn(tmp_path / "cnn.onnx")
    with pytest.raises(
        UsageError, match=r"'probabilities' is probabilities, .* arguments: {output: 'logits'}"
    ):
        build("onnx:cnn.onnx", {}, tmp_path, GIVEN)
    named = build("onnx:cnn.onnx", {"output": "probabilities"}, tmp_path, GIVEN)
    assert torch.allclose(named(torch.randn(2, 3, 16, 16)).sum(1), torch.ones(2))
    build("onnx:cnn.onnx", {}, tmp_path, {"channels": 3})  # outputs that have no known meaning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 3}, "has no argument 'width'; it has fixed, output"),
        ({"output": 3}, "output is 3"),
        ({"output": "logit"}, "no output 'logit'; did you mean 'logits'"),
        ({"fixed": {"batch": "two"}}, "fixed is {'batch': 'two'}"),
        ({"fixed": 3}, "fixed is 3"),
        ({"fixed": {"width": 3}}, "fixed names 'width'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(
    arguments: dict[str, object], words: str, tmp_path: Path
) -> None:
    text(tmp_path / "text.onnx")

    def asked() -> None:
        check_arguments("onnx:text.onnx", arguments, tmp_path)
        build("onnx:text.onnx", arguments, tmp_path, {"vocabulary": 50, "max_length": 12, "classes": 3})

    with pytest.raises(UsageError) as caught:
        asked()
    assert words in str(caught.value)


def test_data_that_do_not_fit_are_told(tmp_path: Path) -> None:
    cnn(tmp_path / "cnn.onnx")
    network = build("onnx:cnn.onnx", {"output": "logits"}, tmp_path, GIVEN)
    with pytest.raises(UsageError, match="cannot take a batch of image"):
        check_output("onnx:cnn.onnx", network, {"image": torch.zeros(2, 1, 16, 16)}, (2, 4))
    with pytest.raises(UsageError, match=r"it must be \(2, 10\)"):
        check_output("onnx:cnn.onnx", network, {"image": torch.zeros(2, 3, 16, 16)}, (2, 10))
