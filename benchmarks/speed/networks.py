"""The networks of the table: the recipes' students, and some that are known to be hard to make faster."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from edgecomp.models.networks.mobilenet import MobileNet
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.capture import DynamicAxes

IMAGE: DynamicAxes = ({0: "batch"},)
TEXT: DynamicAxes = ({0: "batch", 1: "sequence"},) * 2


class Logits(nn.Module):
    """A transformers network as a function of tensors."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network.eval(), names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def images(kind: str, **settings: object) -> Logits:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**settings, num_labels=10)
    return Logits(getattr(transformers, f"{kind}ForImageClassification")(config), ("pixel_values",))


def minilm() -> Logits:
    """MiniLM's layers, three of its six."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=384, num_hidden_layers=3, num_attention_heads=12, intermediate_size=1536, num_labels=2,
        attn_implementation="eager",
    )  # fmt: skip
    return Logits(BertForSequenceClassification(config), ("input_ids", "attention_mask"))


class Made(NamedTuple):
    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    names: tuple[str, ...] = ("input",)
    axes: DynamicAxes = IMAGE

    def inputs(self, count: int) -> dict[str, np.ndarray]:
        chance = np.random.default_rng(0)
        if len(self.names) == 2:
            ids = chance.integers(1000, 30000, (count, *self.shape))
            return {self.names[0]: ids, self.names[1]: np.ones_like(ids)}
        return {self.names[0]: chance.normal(size=(count, *self.shape)).astype(np.float32)}


NETWORKS = {
    "digits' ResNet-8": Made(lambda: ResNet(1, 10, blocks=1, width=16), (1, 16, 16)),
    "cifar10's ResNet-8": Made(lambda: ResNet(3, 10, blocks=1, width=16), (3, 32, 32)),
    "depthwise MobileNet": Made(lambda: MobileNet(3, 10), (3, 32, 32)),
    "MobileNetV2, 96 pixels": Made(
        lambda: images("MobileNetV2", depth_multiplier=0.35, image_size=96), (3, 96, 96), ("pixel_values",)
    ),
    "MobileNetV2, 224 pixels": Made(
        lambda: images("MobileNetV2", depth_multiplier=1.0, image_size=224), (3, 224, 224), ("pixel_values",)
    ),
    "sst2's MiniLM, 64 tokens": Made(minilm, (64,), ("input_ids", "attention_mask"), TEXT),
    "ViT, 64 pixels": Made(
        lambda: images(
            "ViT", hidden_size=192, num_hidden_layers=4, num_attention_heads=3, intermediate_size=768, image_size=64,
            patch_size=8,
        ),
        (3, 64, 64),
        ("pixel_values",),
    ),
}  # fmt: skip
