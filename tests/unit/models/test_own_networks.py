"""Networks by name: built for the data, refused for other data, captured and quantised."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from edgecomp.errors import UsageError, UserCodeError
from edgecomp.models import TABLE, build, check_output
from edgecomp.quantization.capture import capture
from edgecomp.quantization.placement import left_in_float, place, quantised_parameters, weighted

IMAGES = {"channels": 3, "classes": 4}
TEXTS = {"vocabulary": 50, "max_length": 12, "classes": 4}
BYTES = {"max_bytes": 16, "classes": 4}
ROWS = {"features": 7, "classes": 4}
DATA: dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]] = {
    "images": (IMAGES, {"pixel_values": torch.rand(2, 3, 32, 32)}),
    "texts": (
        TEXTS,
        {
            "input_ids": torch.randint(0, 50, (2, 12)),
            "attention_mask": torch.ones(2, 12, dtype=torch.int64),
        },
    ),
    "bytes": (BYTES, {"bytes": torch.randint(1, 256, (2, 16))}),
    "rows": (ROWS, {"features": torch.rand(2, 7)}),
}
NETWORKS = {
    "airbench": "images",
    "mobilenet": "images",
    "resnet": "images",
    "segmenter": "images",
    "byte-transformer": "bytes",
    "conv-text": "bytes",
    "ngram": "bytes",
    "tagger": "texts",
    "transformer": "texts",
    "mlp": "rows",
    "two-tower": "rows",
}


def made(name: str, arguments: Mapping[str, Any] | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(name, arguments or {}, Path("."), DATA[NETWORKS[name]][0])


def refusal(
    name: str, arguments: Mapping[str, Any], given: Mapping[str, Any], folder: Path = Path(".")
) -> str:
    with pytest.raises(UsageError) as caught:
        build(name, arguments, folder, given)
    return str(caught.value)


def test_every_network_of_the_table_is_tested() -> None:
    assert set(NETWORKS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_network_gives_logits_and_a_gradient_to_every_parameter(name: str) -> None:
    network = made(name)
    given, example = DATA[NETWORKS[name]]
    first = next(iter(example.values())).shape
    shape = {
        "segmenter": (2, given["classes"], *first[2:]),
        "tagger": (*first[:2], given["classes"]),
    }
    check_output(name, network, example, shape.get(name, (2, given["classes"])))
    assert network.training
    network(*example.values()).logsumexp(1).sum().backward()
    assert [key for key, part in network.named_parameters() if part.grad is None] == []


@pytest.mark.parametrize("name", ["airbench", "mobilenet"])
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (28, 40)])
def test_images_of_many_sizes_and_one_channel(name: str, size: tuple[int, int]) -> None:
    network = build(name, {}, Path("."), {"channels": 1, "classes": 2})
    check_output(name, network, {"pixel_values": torch.zeros(2, 1, *size)}, (2, 2))


def test_sizes_are_those_of_the_docstrings() -> None:
    def count(name: str, given: dict[str, Any]) -> int:
        return sum(part.numel() for part in build(name, {}, Path("."), given).parameters())

    assert count("mobilenet", {"channels": 3, "classes": 10}) == 133_226
    assert count("airbench", {"channels": 3, "classes": 10}) == 1_972_792
    assert (
        sum(part.numel() for part in made("airbench", {"widths": [8, 8]}).parameters())
        == (3 * 4 + 1) * 24 + 9 * 8 * (24 + 3 * 8) + 4 * 16 + 8 * 4
    )


@pytest.mark.parametrize(
    ("name", "arguments", "floats"),
    [
        ("mobilenet", {}, set()),
        ("mobilenet", {"activation": "hardswish"}, {"hardswish.default"}),
        ("mlp", {}, set()),
        ("conv-text", {}, set()),
        ("ngram", {}, {"layer_norm.default"}),
        ("resnet", {"blocks": 1}, set()),
        ("airbench", {"widths": [8, 8]}, {"amax.default", "gelu.default", "mul.Tensor"}),
        (
            "byte-transformer",
            {},
            {
                "clamp.default", "div.Tensor", "gelu.default", "layer_norm.default", "mul.Tensor", "rsub.Scalar",
                "scaled_dot_product_attention.default", "sum.dim_IntList", "to.dtype",
            },
        ),
        (
            "transformer",
            {},
            {
                "clamp.default", "div.Tensor", "gelu.default", "layer_norm.default", "mul.Tensor", "rsub.Scalar",
                "scaled_dot_product_attention.default", "sum.dim_IntList", "to.dtype",
            },
        ),
    ],
)  # fmt: skip
def test_every_layer_and_table_is_quantised(name: str, arguments: dict[str, Any], floats: set[str]) -> None:
    example = DATA[NETWORKS[name]][1]
    axes = [{0: "batch", 1: "length"} if name == "transformer" else {0: "batch"}] * len(example)
    network = made(name, arguments).eval()
    captured = capture(network, list(example.values()), axes)
    assert torch.equal(captured(*example.values()), network(*example.values()))
    module = place(captured, "cpu-u8-narrow")
    layers = [part for part in network.modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))]
    assert len(list(weighted(module))) == len(layers)
    tables = {
        key for key in network.state_dict() if key in ("tokens.weight", "positions.weight", "table.weight")
    }
    assert tables <= quantised_parameters(module)
    assert set(left_in_float(module)) == floats


def test_a_transformer_does_not_see_padding() -> None:
    network = made("transformer").eval()
    ids = torch.randint(1, 50, (2, 12))
    mask = torch.ones_like(ids)
    mask[:, 5:] = 0
    padded = network(ids, mask)
    assert torch.allclose(padded, network(ids[:, :5], mask[:, :5]), atol=1e-6)
    assert not torch.allclose(padded, network(ids, torch.ones_like(ids)), atol=1e-3)
    assert torch.isfinite(network(ids, torch.zeros_like(ids))).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(padded, network(ids, mask).float(), atol=0.05)


def test_bytes_behind_a_texts_end_change_no_place_of_it() -> None:
    network = made("byte-transformer").eval()
    text = torch.randint(1, 256, (2, 16))
    text[:, 7:] = 0
    states = network.layers[0].register_forward_hook(lambda _, given, __: seen.append(given[1][:, 0, 0]))
    seen: list[torch.Tensor] = []
    network(text)
    states.remove()
    assert (seen[0] == 0).tolist() == [
        [True, True, False, False]
    ] * 2  # of four bytes each: 7 are in two of them
    assert torch.isfinite(network(torch.zeros_like(text))).all()


def test_a_text_longer_than_max_length_is_refused() -> None:
    example = {
        "input_ids": torch.zeros(2, 13, dtype=torch.int64),
        "attention_mask": torch.ones(2, 13, dtype=torch.int64),
    }
    with pytest.raises(
        UsageError, match=r"cannot take a batch of input_ids \[2, 13\], attention_mask \[2, 13\]: IndexError"
    ):
        check_output("transformer", made("transformer"), example, (2, 4))


@pytest.mark.parametrize(
    "name", ["airbench", "mobilenet", "transformer", "mlp", "byte-transformer", "conv-text", "ngram"]
)
def test_a_network_learns(name: str) -> None:
    """Four classes told apart by the mean of an input, or by one token."""
    network = made(
        name, {"airbench": {"widths": [8, 16]}, "transformer": {"width": 16, "heads": 2}}.get(name)
    )
    labels = torch.arange(32) % 4
    if name == "transformer":
        inputs = [labels[:, None].repeat(1, 6) + 3, torch.ones(32, 6, dtype=torch.int64)]
    elif NETWORKS[name] == "bytes":
        inputs = [torch.randint(97, 123, (32, 16))]
        inputs[0][:, 3:6] = labels[:, None] + 65
    elif name == "mlp":
        inputs = [labels[:, None] + torch.rand(32, 7)]
    else:
        inputs = [labels[:, None, None, None] + torch.rand(32, 3, 16, 16)]
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        losses.append(torch.nn.functional.cross_entropy(network(*inputs), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("name", "arguments", "given", "complaint"),
    [
        ("resnet", {}, TEXTS, "is for other data: it does not take max_length, vocabulary"),
        ("resnet", {}, TEXTS, "networks that take them: tagger, transformer"),
        ("transformer", {}, IMAGES, "networks that take them: airbench, mobilenet, resnet"),
        ("mlp", {}, IMAGES, "does not take channels"),
        (
            "resnet",
            {"bocks": 2},
            IMAGES,
            "has no argument 'bocks'; did you mean 'blocks'?; it has blocks, width",
        ),
        (
            "byte-transformer",
            {"patch": 3},
            BYTES,
            "patch 3: an even number of bytes that divides max_bytes, 16",
        ),
        ("resnet", {"classes": 2}, IMAGES, "argument 'classes' comes from the data (4)"),
        ("resnet", {"blocks": 0}, IMAGES, "argument 'blocks' is 0; write whole numbers of at least 1"),
        ("mobilenet", {"width": 1.5}, IMAGES, "argument 'width' is 1.5"),
        ("mobilenet", {"activation": "hardswich"}, IMAGES, "did you mean 'hardswish'?"),
        ("airbench", {"widths": []}, IMAGES, "argument 'widths' is []"),
        ("airbench", {"widths": "64"}, IMAGES, "argument 'widths' is '64'"),
        ("transformer", {"width": 100, "heads": 3}, TEXTS, "width 100 is no multiple of 3 heads"),
        ("transformer", {"dropout": 2}, TEXTS, "dropout"),
        (
            "transformer",
            {},
            BYTES,
            "does not take max_bytes, and the data give max_bytes, classes; networks that take them: byte-transformer, conv-text, ngram",
        ),
        (
            "ngram",
            {"buckets": 1000},
            BYTES,
            "buckets 1000 is no prime: the hash is even over a prime, such as 997",
        ),
        ("ngram", {"orders": [3, 17]}, BYTES, "orders [3, 17]: lengths of n-grams from 1 to max_bytes, 16"),
        (
            "conv-text",
            {"layers": 5},
            BYTES,
            "layers 5: each halves a text, and 16 bytes are too few for that",
        ),
        ("mlp", {"layers": True}, ROWS, "argument 'layers' is True"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    name: str, arguments: dict[str, Any], given: dict[str, Any], complaint: str
) -> None:
    assert complaint in refusal(name, arguments, given)


def test_a_factory_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own_factories.py").write_text(
        "from torch import nn\n"
        "def net(channels, classes, *, width=3): return nn.Sequential(nn.Flatten(), nn.Linear(channels * 4, classes))\n"
        "def anything(**settings): return nn.Linear(1, settings['classes'])\n"
        "def nothing(channels, classes): return None\n"
        "def broken(channels, classes): raise RuntimeError('no such file')\n"
    )
    network = build("own_factories:net", {"width": 5}, tmp_path, IMAGES)
    check_output("own_factories:net", network, {"image": torch.zeros(2, 3, 2, 2)}, (2, 4))
    assert isinstance(build("own_factories:anything", {"free": 1}, tmp_path, TEXTS), torch.nn.Linear)
    assert "has no argument 'widht'; did you mean 'width'?" in refusal(
        "own_factories:net", {"widht": 1}, IMAGES, tmp_path
    )
    assert "is for other data" in refusal("own_factories:net", {}, ROWS, tmp_path)
    assert "returned NoneType, not a torch.nn.Module" in refusal(
        "own_factories:nothing", {}, IMAGES, tmp_path
    )
    with pytest.raises(UserCodeError) as caught:
        build("own_factories:broken", {}, tmp_path, IMAGES)
    assert (
        f"cannot be built: RuntimeError: no such file (your own code, {tmp_path}/own_factories.py, line 5); "
        "it is called with channels=3, classes=4"
    ) in str(caught.value)


def test_what_is_no_batch_of_logits_is_refused() -> None:
    pair = {"a": torch.zeros(2, 4), "b": torch.zeros(2, 4)}

    class Two(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> Any:
            return (a, b)

    with pytest.raises(UsageError, match="returns tuple, not a tensor of logits"):
        check_output("two", Two(), pair, (2, 4))
    with pytest.raises(UsageError, match=r"cannot take a batch of a \[2, 4\], b \[2, 4\]: TypeError"):
        check_output("linear", torch.nn.Linear(4, 4), pair, (2, 4))
    with pytest.raises(
        UsageError,
        match=r"returns shape \(2, 5\) for a batch of 2; with these data it must be \(2, 4\): 4 classes",
    ):
        check_output("linear", torch.nn.Linear(4, 5), {"a": pair["a"]}, (2, 4))
