"""Hugging Face models as networks from tensors to logits: loaded, checked against the data, described."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checkpoints import (
    changed_config,
    fields,
    from_checkpoint,
    from_scratch,
    optimum,
    quiet,
    stored_config,
)
from edgecomp.models.checks import said_by
from edgecomp.models.references import PREFIX, check_reference, resolve

TEXT, TOKENS, IMAGES = "text-classification", "token-classification", "image-classification"
TEXTS = (TEXT, TOKENS)
INPUTS = dict.fromkeys(TEXTS, ("input_ids", "attention_mask")) | {IMAGES: ("pixel_values",)}


@dataclass(frozen=True)
class Facts:
    """What a model says of itself; None where it does not.

    max_positions: tokens in the longest text. image_size: height, width. layers: of the repeated list that a student
    may be cut from. labels: what the head was trained for. pretrained_head: the checkpoint held a head of that many
    classes; without it, and without training, logits are chance.
    """

    task: str
    model_type: str
    classes: int
    labels: tuple[str, ...]
    pretrained_head: bool
    layers: int | None
    vocabulary: int | None
    max_positions: int | None
    pad_token: int | None
    image_size: tuple[int, int] | None
    channels: int | None


class Classifier(nn.Module):
    """input_ids, attention_mask [N, L], or pixel_values [N, C, H, W], by position → logits [N, classes], or [N, L, classes]."""

    def __init__(self, network: nn.Module, names: Sequence[str], labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.network = network  # parameters keep transformers' names, after `network.`
        self.names = tuple(names)
        self.labels = tuple(labels)  # of the checkpoint's head; none where that is new

    @property
    def config(self) -> Any:
        return self.network.config

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def build_huggingface(
    reference: str,
    given: Mapping[str, Any],
    arguments: Mapping[str, Any],
    folder: Path,
    of_each: str = "example",
) -> Classifier:
    """The model at `reference` (see `resolve`) with a head for `given["classes"]`, or the one it has. Raises UsageError.

    given: what the data say, which decides between text- and image-classification; of_each: `token` for a
    class of each. arguments: `pretrained` (default true), and fields of the model's config; from scratch,
    vocabulary and channels are the data's unless given here. folder: the recipe's, where a relative reference
    is looked for.
    """
    check_reference(reference, folder)
    task = _task(reference, given, of_each)
    source = resolve(reference, folder)
    pretrained = arguments.get("pretrained", True)
    if not isinstance(pretrained, bool):
        raise UsageError(f"{PREFIX}{reference}: argument 'pretrained' is {pretrained!r}; write true or false")
    wanted = {name: value for name, value in arguments.items() if name != "pretrained"}
    with quiet():
        stored = stored_config(reference, source)
        _check_head(reference, task, stored.model_type)
        if not pretrained:
            sized = {"vocab_size": given.get("vocabulary"), "num_channels": given.get("channels")}
            known = fields(stored)
            wanted = {name: size for name, size in sized.items() if size and name in known} | wanted
        config = changed_config(reference, source, stored, wanted, given.get("classes", stored.num_labels))
        _check_channels(reference, config, given, pretrained)
        auto = optimum("exporters.tasks").TasksManager.get_model_class_for_task(
            task, model_type=config.model_type
        )
        labels: list[str] = []
        if pretrained:
            network, headed = from_checkpoint(reference, source, auto, config)
            labels = list(stored.id2label.values()) if headed else []
        else:
            network = from_scratch(reference, auto, config)
    classifier = Classifier(network, INPUTS[task], labels).train()
    if task in TEXTS:
        check_vocabulary(classifier, given["vocabulary"], given["max_length"])
    return classifier


def describe(network: Classifier) -> Facts:
    """What is known of the network by its config: of what task, sizes and labels it is."""
    config = network.config
    task = optimum("exporters.tasks").TasksManager.infer_task_from_model(network.network)
    normalised = normalise(config, task)

    def number(name: str) -> int | None:
        value = getattr(normalised, name) if normalised.has_attribute(name) else None
        return value if isinstance(value, int) else None

    text = task in TEXTS
    return Facts(
        task=task,
        model_type=config.model_type,
        classes=config.num_labels,
        labels=network.labels,
        pretrained_head=bool(network.labels),
        layers=getattr(config, layers_field(config), None),
        vocabulary=number("vocab_size") if text else None,
        max_positions=_max_positions(network) if text else None,
        pad_token=number("pad_token_id") if text else None,
        image_size=None if text else _image_size(normalised),
        channels=None if text else number("num_channels"),
    )


def check_ready_made(network: Classifier, classes: Sequence[str]) -> None:
    """Raises UsageError where a model that is not to be trained, `network`, has no head for these classes, or
    one in another order. classes: none where whatever the head says is wanted."""
    facts = describe(network)
    name = f"the {facts.model_type} model"
    if not facts.pretrained_head:
        head = (
            f"no head for {len(classes)} classes ({', '.join(classes[:5])})"
            if classes
            else "no head that was trained"
        )
        remedy = "; train it (teacher.epochs=3)" if classes else ": name one that answers"
        raise UsageError(
            f"{name} is taken as it is (teacher.epochs: 0), and its file has {head}: its logits would be chance{remedy}"
        )
    own = [label.lower() for label in network.labels]
    wanted = [label.lower() for label in classes]
    if set(own) == set(wanted) and own != wanted:
        raise UsageError(
            f"{name}'s head gives {', '.join(network.labels)}, the data's classes are {', '.join(classes)}, in that "
            "order: number the data's labels as the model does, or train it (teacher.epochs=3)"
        )


def check_vocabulary(
    network: Classifier, tokenizer_size: int, max_length: int, pad_token: int | None = None
) -> None:
    """Raises UsageError where a tokenizer and a model, `network`, disagree.

    tokenizer_size: its tokens, added ones too. max_length: of a text, in tokens. pad_token: its id, where known.
    """
    facts = describe(network)
    if facts.vocabulary is not None and tokenizer_size > facts.vocabulary:
        raise UsageError(
            f"the tokenizer has {tokenizer_size:,} tokens, the {facts.model_type} model embeddings for "
            f"{facts.vocabulary:,}: take the tokenizer that belongs to the model, or train from scratch with arguments "
            f"{{pretrained: false, vocab_size: {tokenizer_size}}}"
        )
    if facts.max_positions is not None and max_length > facts.max_positions:
        raise UsageError(
            f"texts of up to {max_length:,} tokens are asked for, and the {facts.model_type} model has "
            f"{facts.max_positions:,} positions: lower the data's max_length to that"
        )
    if facts.pad_token is None:
        _check_unpadded(network, facts, pad_token)
    elif facts.vocabulary is not None and not 0 <= facts.pad_token < facts.vocabulary:
        raise UsageError(
            f"the {facts.model_type} model pads with token {facts.pad_token}, and its embeddings are 0 to "
            f"{facts.vocabulary - 1:,}: say the tokenizer's in arguments {{pad_token_id: ID}}"
        )
    elif pad_token is not None and pad_token != facts.pad_token:
        raise UsageError(
            f"the tokenizer pads with token {pad_token}, the {facts.model_type} model with {facts.pad_token}: take the "
            f"tokenizer that belongs to the model, or say arguments {{pad_token_id: {pad_token}}}"
        )


def dummy_inputs(network: Classifier, *, batch: int = 2, length: int = 8) -> dict[str, torch.Tensor]:
    """Random inputs of `network`, by name, [batch, ...], of the shapes and ranges that its config names; the
    random state is left as it was. length: of a text, in tokens."""
    facts = describe(network)
    kind = "DummyTextInputGenerator" if facts.task in TEXTS else "DummyVisionInputGenerator"
    generator = getattr(optimum("utils.input_generators"), kind)(
        facts.task, normalise(network.config, facts.task), batch_size=batch, sequence_length=length
    )
    with torch.random.fork_rng(devices=[]):
        return {name: generator.generate(name, framework="pt") for name in network.names}


def normalise(config: Any, task: str) -> Any:
    """The config under names that all models share (optimum's NormalizedConfig); task: optimum's name of it,
    which tells a text's from an image's where the model is not known."""
    configs = optimum("utils.normalized_config")
    try:
        kind = configs.NormalizedConfigManager.get_normalized_config_class(config.model_type)
    except KeyError:
        kind = configs.NormalizedTextConfig if task in TEXTS else configs.NormalizedVisionConfig
    return kind(config)


def layers_field(config: Any) -> str:
    """What the config calls its number of layers: `num_hidden_layers`, DistilBERT's `n_layers`."""
    names = [getattr(normalise(config, TEXT), "NUM_LAYERS", None), "num_hidden_layers", "num_layers"]
    return next(
        (name for name in names if name and isinstance(getattr(config, name, None), int)), str(names[1])
    )


def _task(reference: str, given: Mapping[str, Any], of_each: str) -> str:
    if of_each == "pixel":
        raise UsageError(f"{PREFIX}{reference} is taken with a classifier's head, and the task asks for none: write a factory "
                         "'package.module:function' that returns what it should")  # fmt: skip
    if "vocabulary" in given:
        return TOKENS if of_each == "token" else TEXT
    if "channels" in given:
        return IMAGES
    raise UsageError(
        f"{PREFIX}{reference} is for texts or images, and the data give {', '.join(given)}: "
        "for rows of numbers there is 'mlp', or a factory of your own"
    )


def _check_head(reference: str, task: str, model_type: str) -> None:
    manager = optimum("exporters.tasks").TasksManager
    heads = manager._TRANSFORMERS_TASKS_TO_MODEL_MAPPINGS
    if model_type not in heads[task]:
        others = [name for name in (*TEXTS, IMAGES) if model_type in heads[name]]
        has = f"it has one for {others[0]}" if others else "transformers has no classifier of that type"
        raise UsageError(
            f"{PREFIX}{reference}: a model of type {model_type!r} has no head for {task}, which the data ask for; {has}"
        )


def _check_channels(reference: str, config: Any, given: Mapping[str, Any], pretrained: bool) -> None:
    channels = getattr(config, "num_channels", None)
    if "channels" not in given or channels is None or channels == given["channels"]:
        return
    advice = ", or train from scratch with arguments {pretrained: false}" if pretrained else ""
    raise UsageError(
        f"{PREFIX}{reference} takes images of {channels} channels, the data have {given['channels']}: "
        f"give the data {channels}{advice}"
    )


def _max_positions(network: Classifier) -> int | None:
    """Tokens that have a position; RoBERTa and its kin count theirs from the one after the padding's."""
    for name, part in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding):
            return part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
    value = getattr(network.config, "max_position_embeddings", None)
    return value if isinstance(value, int) and value > 0 else None


def _image_size(normalised: Any) -> tuple[int, int] | None:
    size = next(
        (getattr(normalised, n) for n in ("image_size", "input_size") if normalised.has_attribute(n)), None
    )
    if isinstance(size, int):
        return size, size
    return (int(size[-2]), int(size[-1])) if isinstance(size, Sequence) and len(size) >= 2 else None


@torch.no_grad()
def _check_unpadded(network: Classifier, facts: Facts, pad_token: int | None) -> None:
    """A model whose head looks for the last token that is no padding needs to know that one: a batch of two shows it."""
    was_training = network.training
    try:
        network.eval()(*dummy_inputs(network).values())
    except Exception as error:  # transformers raises ValueError, a model of one's own anything
        raise UsageError(
            f"the {facts.model_type} model has no padding token and cannot take a batch without ({said_by(error)}): "
            f"say the tokenizer's in arguments {{pad_token_id: {'ID' if pad_token is None else pad_token}}}"
        ) from error
    finally:
        network.train(was_training)
