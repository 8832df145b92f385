"""`onnx:FILE` as a network by name: where it leads, what may be said of it, and what is built."""

import subprocess
import sys
from pathlib import Path

import numpy as np
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


def test_weights_drawn_anew_are_of_the_same_architecture_and_spread(tmp_path: Path) -> None:
    cnn(tmp_path / "cnn.onnx")
    own = build("onnx:cnn.onnx", {"output": "logits"}, tmp_path, GIVEN)
    torch.manual_seed(3)
    drawn = build("onnx:cnn.onnx", {"output": "logits", "pretrained": False}, tmp_path, GIVEN)
    torch.manual_seed(3)
    again = build("onnx:cnn.onnx", {"output": "logits", "pretrained": False}, tmp_path, GIVEN)
    x = torch.randn(8, 3, 16, 16)
    assert torch.equal(drawn(x), again(x))
    assert drawn.state_dict().keys() == own.state_dict().keys()
    for (name, one), other in zip(own.named_parameters(), drawn.parameters(), strict=True):
        assert one.shape == other.shape
        assert not torch.allclose(one, other), name
        if one.ndim > 1:
            assert 0.5 < other.std() / one.std() < 1.5, name
            assert abs(np.corrcoef(one.detach().ravel(), other.detach().ravel())[0, 1]) < 0.6, name
    assert torch.equal(drawn.get_submodule("bn").running_var, torch.ones(8))
    with pytest.raises(UsageError, match="pretrained is 'no'; write true or false"):
        build("onnx:cnn.onnx", {"pretrained": "no"}, tmp_path, GIVEN)


def test_what_torch_export_wrote_is_a_network_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(288, 4)
    ).eval()
    x = torch.randn(3, 3, 8, 8)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    torch.export.save(program, tmp_path / "net.pt2")
    assert find_factory("pt2:net.pt2", tmp_path) == "pt2:net.pt2"
    assert own_files("pt2:net.pt2", tmp_path) == [tmp_path / "net.pt2"]
    found = build("pt2:net.pt2", {}, tmp_path, GIVEN)
    torch.testing.assert_close(found(x), network(x))
    found(x).sum().backward()
    assert all(one.grad is not None for one in found.parameters())
    assert not torch.allclose(build("pt2:net.pt2", {"pretrained": False}, tmp_path, GIVEN)(x), network(x))
    with pytest.raises(UsageError, match=r"did you mean 'net\.pt2'"):
        find_factory("pt2:nte.pt2", tmp_path)
    (tmp_path / "no.pt2").write_bytes(b"no archive")
    with pytest.raises(UsageError, match="PyTorch cannot load"):
        build("pt2:no.pt2", {}, tmp_path, GIVEN)
