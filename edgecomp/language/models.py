"""Hugging Face's causal language models, from a folder or a GGUF file: read, cut to some layers, and kept."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checkpoints import quiet
from edgecomp.models.references import GGUF

FAMILIES = ("llama", "qwen2", "qwen3")
"""Those that both GenAI runtimes take: OpenVINO GenAI reads these from GGUF."""


class Tied(nn.Module):
    """The last layer of a model that reads its logits off its embeddings: it has no weights of its own, so that they are kept, and learn, once."""

    def __init__(self, table: nn.Module, place: str) -> None:
        super().__init__()
        self.place = place
        object.__setattr__(self, "_table", table)  # no submodule: nothing of it is this layer's

    def follow(self, network: nn.Module) -> None:
        """Reads off the table that `network` has now in the same place."""
        object.__setattr__(self, "_table", network.get_submodule(self.place))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        table: Any = self._table
        return nn.functional.linear(hidden, table.weight)


class LanguageModel(nn.Module):
    """A causal language model as training takes it: tokens [N, length] in, logits [N, length, vocabulary] out.

    What is behind a text's end is padding, which nothing before it reads: the mask changes no logit that counts, and is not handed on.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        if model.config.tie_word_embeddings:
            place = next(name for name, part in self.named_modules() if part is model.get_input_embeddings())
            model.lm_head = Tied(model.get_input_embeddings(), place)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        found: torch.Tensor = self.model(input_ids=input_ids, use_cache=False).logits
        return found


def check_gguf(file: Path) -> None:
    """Raises UsageError where a GGUF `file` cannot be read, or is of an architecture that transformers does not know."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UsageError(
            f"{file} needs gguf, which is not installed: pip install 'edgecomp[language]'"
        ) from error
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    try:
        found = GGUFReader(file).get_field("general.architecture")
        named = "nothing" if found is None else str(found.contents())
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise UsageError(f"{file}: is no GGUF file, or cut short ({error})") from error
    if named not in GGUF_SUPPORTED_ARCHITECTURES:
        raise UsageError(
            f"{file}: its architecture is {named!r}, which transformers does not read from GGUF; it reads {', '.join(GGUF_SUPPORTED_ARCHITECTURES)}"
        )


def load(place: Path) -> tuple[LanguageModel, Any]:
    """The model at `place`, in fp32 and not training, and its tokenizer. Raises UsageError where it cannot be read, or is no causal language model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, asked = (place.parent, {"gguf_file": place.name}) if place.suffix == GGUF else (place, {})
    if asked:
        check_gguf(place)
    try:
        with quiet(), redirect_stderr(StringIO()):  # a progress bar that nothing else turns off
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **asked)
            read = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, **asked
            )
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"{place}: cannot be read as a causal language model: {' '.join(str(error).split())[:400]}"
        ) from error
    return LanguageModel(_plain(read, read.state_dict())).eval(), tokenizer


def _plain(model: Any, weights: Mapping[str, torch.Tensor]) -> Any:
    """A model of the same config with these weights, which says nothing of the file that it came from."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):  # of the GGUF, which is in float now
        del config.quantization_config
    built: Any = AutoModelForCausalLM
    made = built.from_config(config, dtype=torch.float32)
    lacks = made.load_state_dict(dict(weights), strict=False)
    if lacks.unexpected_keys or set(lacks.missing_keys) - {"lm_head.weight"}:
        raise UsageError(
            f"a model of type {config.model_type} has other weights than its config says: {[*lacks.missing_keys, *lacks.unexpected_keys][:4]}"
        )
    made.tie_weights()
    made.generation_config = copy.deepcopy(model.generation_config)
    return made


def save(
    network: LanguageModel, tokenizer: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Writes a Hugging Face folder of `network` and its tokenizer into `folder`. weights: by name, in place of its own, as `state_dict` gives them."""
    own = network.state_dict() if weights is None else weights
    with quiet():
        _plain(network.model, {own_name(name): tensor for name, tensor in own.items()}).save_pretrained(
            folder
        )
        tokenizer.save_pretrained(folder)


def own_name(name: str) -> str:
    """What a weight of a LanguageModel, `name`, is called in the Hugging Face model."""
    return name.removeprefix("model.")


def keep_layers(network: LanguageModel, layers: Sequence[int]) -> LanguageModel:
    """A student of these layers of `network`, in their order, with copies of its weights; its embeddings come along. Raises UsageError."""
    student = copy.deepcopy(network)
    stack = student.model.model.layers
    kept = [stack[place] for place in chosen(layers, len(stack))]
    for place, layer in enumerate(kept):  # where its keys and values are cached
        layer.self_attn.layer_idx = place
    student.model.model.layers = nn.ModuleList(kept)
    for config in {
        id(one): one for one in (student.config, student.model.config, student.model.model.config)
    }.values():
        _told_of(config, chosen(layers, len(stack)), len(stack))
    return student


def _told_of(config: Any, layers: Sequence[int], count: int) -> None:
    """The config says how many layers there are now; a list of something for each layer is cut alike."""
    for name, value in config.to_dict().items():
        if "layer" in name and isinstance(value, list | tuple) and len(value) == count:
            setattr(config, name, [value[place] for place in layers])
    config.num_hidden_layers = len(layers)


def chosen(layers: Any, count: int) -> list[int]:
    """The numbers of the layers to keep of `count`: as they are listed, or, of a number n, n of them from the first to the last, evenly. Raises UsageError."""
    has = f"the teacher has layers 0 to {count - 1}"
    if type(layers) is int:
        if not 1 <= layers <= count:
            raise UsageError(f"student.arguments.layers: {layers} layers cannot be kept: {has}")
        return [round(place * (count - 1) / max(layers - 1, 1)) for place in range(layers)]
    if not isinstance(layers, list | tuple) or not layers or any(type(one) is not int for one in layers):
        raise UsageError(
            f"student.arguments.layers: {layers!r} is no number of layers and no list of their numbers; {has}"
        )
    wrong = [one for one in layers if not 0 <= one < count]
    if wrong or list(layers) != sorted(set(layers)):
        raise UsageError(
            f"student.arguments.layers: {list(layers)} does not name layers once each, in order; {has}"
        )
    return list(layers)


def check_family(network: LanguageModel, runtimes: Sequence[str]) -> None:
    """Raises UsageError where `network` is of a family that a runtime among `runtimes` is not made folders for."""
    family = str(network.config.model_type)
    if family not in FAMILIES:
        raise UsageError(
            f"teacher.network: models of type {family!r} are not exported to {' and '.join(runtimes)}; those of {', '.join(FAMILIES)} are"
        )


def context_of(network: LanguageModel) -> int:
    """Tokens of the longest text that `network` was made for."""
    return int(network.config.max_position_embeddings)


def parameters(network: nn.Module) -> int:
    """How many there are of `network`."""
    return sum(one.numel() for one in network.parameters())
