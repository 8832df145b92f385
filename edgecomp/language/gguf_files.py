"""A student as one GGUF file, whose integers are those that it was trained through: OpenVINO GenAI makes its folder of that.

Q4_0 and Q8_0 have groups of 32 weights with a scale in fp16; a larger group is several of them with one scale, and is the same function.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; blocks: ggml-common.h, block_q4_0 and block_q8_0.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import CaptureError
from edgecomp.language.weights import Integers

BLOCK = 32  # weights of a block
NORMAL, CONTROL = 1, 3  # kinds of tokens


def blocks(stored: Integers) -> npt.NDArray[np.uint8]:
    """The rows of a layer that is `stored`, as Q4_0 or Q8_0 have them: uint8 [out, in / 32 · bytes of a block]; a block is its scale, then its weights, in Q4_0 the first half of them
    in low nibbles and the second in high ones, from 0 to 15."""
    rows = len(stored.values)
    values = stored.values.reshape(rows, -1, BLOCK)
    scales = np.repeat(stored.scales, stored.group // BLOCK, axis=1)[:, :, None].view(np.uint8)
    if stored.bits == 8:
        packed: npt.NDArray[np.uint8] = values.view(np.uint8)
    else:
        raised = (values + 8).astype(np.uint8)
        packed = np.asarray(raised[:, :, : BLOCK // 2] | raised[:, :, BLOCK // 2 :] << 4, np.uint8)
    return np.concatenate((scales, packed), axis=2).reshape(rows, -1)


def rotated(values: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """The rows of a Llama's query or key projection as GGUF orders them: of each of its `heads` the two halves that Hugging Face rotates together take turns.
    values: [heads · width, ...]."""
    halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def write(
    file: Path,
    config: Any,
    tokenizer: Any,
    weights: Mapping[str, npt.NDArray[np.float32]],
    stored: Mapping[str, Integers],
) -> None:
    """Writes `file`. config, tokenizer: of the Hugging Face model; weights: all of its own, by its names; stored: those of them that are in integers; matrices that
    are not are in fp16. Raises CaptureError where GGUF has no name for a weight."""
    import gguf

    family = str(config.model_type)
    writer = gguf.GGUFWriter(file, family)
    heads, keys = int(config.num_attention_heads), int(config.num_key_value_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(int(config.vocab_size))
    bits = {one.bits for one in stored.values()}
    kind = (
        gguf.LlamaFileType.MOSTLY_Q4_0
        if 4 in bits
        else gguf.LlamaFileType.MOSTLY_Q8_0
        if bits
        else gguf.LlamaFileType.MOSTLY_F16
    )
    writer.add_file_type(kind)
    _add_tokenizer(writer, tokenizer, int(config.vocab_size))
    architecture = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(architecture, int(config.num_hidden_layers))
    for name, values in weights.items():
        own = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if own is None:
            raise CaptureError(f"{file.name}: GGUF has no name for {name} of a model of type {family}")
        turns = heads if ".q_proj." in name else keys if ".k_proj." in name else 0
        turns = turns if family == "llama" else 0  # the other families keep Hugging Face's order
        if name in stored:
            one = stored[name]
            if turns:
                one = Integers(rotated(one.values, turns), rotated(one.scales, turns), one.bits)
            kinds = gguf.GGMLQuantizationType
            writer.add_tensor(own, blocks(one), raw_dtype=kinds.Q4_0 if one.bits == 4 else kinds.Q8_0)
        else:
            values = rotated(values, turns) if turns else values
            writer.add_tensor(own, values if values.ndim == 1 else values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: Any, vocabulary: int) -> None:
    """Of a byte-pair tokenizer: its tokens, merges, special tokens and chat template. Raises CaptureError of another."""
    told = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if told["type"] != "BPE":
        raise CaptureError(f"a tokenizer of type {told['type']} is not written as GGUF: byte-pair ones are")
    special = set(tokenizer.all_special_tokens)
    tokens = [
        tokenizer.convert_ids_to_tokens(place) if place < len(tokenizer) else f"[PAD{place}]"
        for place in range(vocabulary)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in special else NORMAL for token in tokens])
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in told["merges"]])
    for add, token in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
    ):
        if token is not None:
            add(int(token))
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
