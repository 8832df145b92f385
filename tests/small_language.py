"""A language model of random weights, its tokenizer, and texts that it can learn, small enough for a test."""

import json
import random
from pathlib import Path
from typing import Any

WORDS = [
    "the a one this",
    "cat dog bird fox cow",
    "sat ran slept ate",
    "on in near under",
    "mat park tree house",
]


def sentences(count: int, seed: int = 0) -> list[str]:
    """Made of a few words, the next of which can be told from the last."""
    draw = random.Random(seed)
    return [
        " ".join(" ".join(draw.choice(words.split()) for words in WORDS) + "." for _ in range(3))
        for _ in range(count)
    ]


def write_texts(file: Path, count: int = 200) -> None:
    """As JSON lines with a column `text`."""
    file.write_text("".join(json.dumps({"text": one}) + "\n" for one in sentences(count)))


def tokenizer() -> Any:
    """Byte pairs, learnt of these sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    made.train_from_iterator(sentences(50), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", bos_token="<|end|>", pad_token="<|end|>"
    )


def write_model(
    folder: Path, *, family: str = "llama", tied: bool = True, seed: int = 0, inner: int = 128
) -> None:
    """A folder of a model of two layers of 64 channels."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    torch.manual_seed(seed)
    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family](
        vocab_size=320, hidden_size=64, intermediate_size=inner, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
