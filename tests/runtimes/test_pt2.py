"""A .pt2 read as data computes, to the bit, what torch's own loader makes of it."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp import runtimes
from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.export.stage import model_file
from edgecomp.models import build
from edgecomp.runtimes.files import pt2

DYNAMIC = torch.export.Dim.DYNAMIC


class Pieces(nn.Module):
    """Several outputs, lists and tuples inside, infinities, indices, sizes."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first, second = x.split(2, 1)
        values, places = x.max(1)
        hidden = x.masked_fill(x > 0, float("-inf")).clamp(min=-9.0)
        return first + second, values, places, hidden, torch.topk(x, 2).values, x.new_zeros(x.shape[0], 1)


class Shared(nn.Module):
    """Weights under two names, a buffer that is not stored with them, a constant, channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 3, 3, padding="same").to(memory_format=torch.channels_last)
        self.other = self.one
        self.register_buffer("order", torch.tensor([2, 0, 1]), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.gelu(self.other(self.one(x)[:, self.order]), approximate="tanh")
        return nn.functional.pad(y, (1, 1, 1, 1), mode="reflect") + torch.tensor([1.5])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(x)
        return self.attention(y, y, y)[0].mean(1)  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """Parts without gradients and without autocast, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            a, b = x * 2, y + 1
        with torch.autocast("cpu", enabled=False):
            c = (x @ y.T).float()
        return self.inner(a) + b, c


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))  # type: ignore[no-any-return]


TEXT = (torch.randint(1, 50, (3, 8)), torch.ones(3, 8, dtype=torch.int64))
OURS: dict[str, tuple[dict[str, Any], tuple[torch.Tensor, ...]]] = {
    "airbench": ({"channels": 3, "classes": 4}, (torch.rand(3, 3, 16, 16),)),
    "mobilenet": ({"channels": 3, "classes": 4}, (torch.rand(3, 3, 16, 16),)),
    "resnet": ({"channels": 1, "classes": 4}, (torch.rand(3, 1, 16, 16),)),
    "mlp": ({"features": 5, "classes": 4}, (torch.rand(3, 5),)),
    "transformer": ({"vocabulary": 50, "max_length": 16, "classes": 4}, TEXT),
}
NETWORKS: dict[str, tuple[Any, tuple[torch.Tensor, ...]]] = {
    **{name: (lambda name=name: build(name, {}, Path(), OURS[name][0]), example) for name, (_, example) in OURS.items()},
    "pieces": (Pieces, (torch.randn(3, 4),)),
    "shared": (Shared, (torch.randn(3, 3, 8, 8),)),
    "recurrent": (Recurrent, (torch.randn(3, 5, 4),)),
    "blocks": (Blocks, (torch.randn(3, 4), torch.randn(3, 4))),
}  # fmt: skip


def exported(network: nn.Module, example: tuple[torch.Tensor, ...], file: Path, shapes: Any = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of a GRU's weights, which it keeps in a list as well, and of channels last
        program = torch.export.export(network.eval(), example, dynamic_shapes=shapes, strict=False)
        torch.export.save(program, file)
    return file


def loaded(file: Path, **more: Any) -> Any:
    adapter: Any = runtimes.adapter("pytorch-cpu")
    return adapter.load(file, threads=1, options={}, **more)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_torch_s_own_loader_does(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, example = NETWORKS[name]
    file = exported(make(), example, tmp_path / "m.pt2", tuple({0: DYNAMIC} for _ in example))
    ours, theirs = loaded(file), loaded(file, trusted=True)
    assert ours.signature() == theirs.signature()
    for batch in (1, 2, 5):
        names = [port.name for port in ours.signature().inputs]
        some = [one[torch.arange(batch) % 3].numpy() for one in example]
        feed = dict(zip(names, some, strict=True))
        answers, expected = ours.run(feed), theirs.run(feed)
        assert list(answers) == list(expected)
        for output, values in answers.items():
            np.testing.assert_array_equal(values, expected[output])


def test_what_is_not_read_here_says_how_it_would_be(tmp_path: Path) -> None:
    file = exported(Branches(), (torch.ones(3),), tmp_path / "m.pt2")
    with pytest.raises(
        ModelFileError, match=r"calls 'torch.ops.higher_order.cond', which is not .*: name it with --trust"
    ):
        loaded(file)
    session = loaded(file, trusted=True)
    (port,) = session.signature().inputs
    np.testing.assert_array_equal(session.run({port.name: np.ones(3, np.float32)})["logits"], [2, 2, 2])


def test_lengths_that_the_file_is_not_for_are_refused(tmp_path: Path) -> None:
    """A graph may compute something else with them, and say nothing."""

    class Both(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.sum(0) + y.sum(0)

    batch = torch.export.Dim("batch", min=3, max=6)
    example = (torch.ones(4, 2), torch.ones(4, 2))
    session = loaded(exported(Both(), example, tmp_path / "m.pt2", ({0: batch}, {0: batch})))

    def run(*shapes: tuple[int, int]) -> Any:
        return session.run(
            {name: np.ones(shape, np.float32) for name, shape in zip("xy", shapes, strict=True)}
        )

    np.testing.assert_array_equal(run((5, 2), (5, 2))["logits"], [10, 10])
    for shapes, words in (
        (((2, 2), (2, 2)), "axis 0 of x is 2 long; the file is for 3 to 6"),
        (((7, 2), (7, 2)), "axis 0 of x is 7 long"),
        (((4, 2), (5, 2)), "axis 0 of y is 5 long; the file is for 3 to 6, and for inputs that agree"),
        (((4, 3), (4, 3)), r"x is of \[4, 3\], the file is for \[None, 2\]"),
    ):
        with pytest.raises(InferenceError, match=words):
            run(*shapes)


def test_everything_is_on_the_device_that_is_asked_for(tmp_path: Path) -> None:
    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + torch.arange(4, device=x.device) + torch.tensor([1.0])

    program = pt2.read(exported(Made(), (torch.ones(2, 4),), tmp_path / "m.pt2"), "meta")
    (answer,) = program.module(torch.ones(2, 4, device="meta"))
    assert answer.device.type == "meta"


def test_a_run_s_own_files_have_no_pickle(pytorch_run: Path) -> None:
    for arm in ("teacher", "student_fp32", "student_int8"):
        with zipfile.ZipFile(pytorch_run / model_file(arm, "pytorch-cpu")) as archive:
            empty = [
                member.file_size == 0
                for member in archive.infolist()
                if member.filename.endswith((".pt", ".pkl"))
            ]
        assert empty == [True]  # sample inputs, which torch would pickle
    assert (
        not list(pytorch_run.rglob("*.pkl"))
        + list(pytorch_run.rglob("*.pickle"))
        + list(pytorch_run.rglob("*.pt"))
    )
