"""A small MobileNetV2 for 32×32 images: inverted residuals around depthwise convolutions (Sandler et al. 2018,
arXiv:1801.04381), hard-swish as in MobileNetV3 (Howard et al. 2019, arXiv:1905.02244)."""

import torch
from torch import nn

from edgecomp.errors import UsageError, nearest
from edgecomp.models.checks import positive

# ReLU6 runs inside the convolution before it in integers; hard-swish runs in float between two integer convolutions.
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu6": nn.ReLU6, "hardswish": nn.Hardswish}

# Width in units of the first layer's, blocks, stride: the paper's table cut to four stages, as images are small; the
# first widens nothing.
STAGES = ((1, 1, 1), (1.5, 2, 2), (2.5, 2, 2), (5, 2, 2))


class InvertedResidual(nn.Module):
    """[N, channels_in, H, W] → [N, channels_out, H/stride, W/stride]: widened, filtered by channel, narrowed."""

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, expansion: int, activation: type[nn.Module]
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = nn.Sequential(
                nn.Conv2d(channels_in, hidden, 1, bias=False), nn.BatchNorm2d(hidden), activation()
            )
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
        )
        self.project = nn.Sequential(
            nn.Conv2d(hidden, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
        )
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class MobileNet(nn.Module):
    """[N, channels, H, W] → logits [N, classes]; 133,226 parameters and 7.5 million multiply-accumulates at 3×32×32."""

    def __init__(
        self, channels: int, classes: int, width: int = 16, expansion: int = 4, activation: str = "relu6"
    ) -> None:
        super().__init__()
        positive(channels=channels, classes=classes, width=width, expansion=expansion)
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"activation {activation!r} is none of {', '.join(ACTIVATIONS)}{nearest(str(activation), ACTIVATIONS)}"
            )
        act = ACTIVATIONS[activation]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), act()
        )
        layers: list[nn.Module] = []
        channels_in = width
        for stage, (times, blocks, stride) in enumerate(STAGES):
            for block in range(blocks):
                layers.append(
                    InvertedResidual(
                        channels_in,
                        channels_out := int(width * times),
                        stride if block == 0 else 1,
                        expansion if stage > 0 else 1,
                        act,
                    )
                )
                channels_in = channels_out
        self.layers = nn.Sequential(*layers)
        last = 16 * width
        self.top = nn.Sequential(nn.Conv2d(channels_in, last, 1, bias=False), nn.BatchNorm2d(last), act())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.top(self.layers(self.stem(x)))
        logits: torch.Tensor = self.head(torch.flatten(self.pool(x), 1))
        return logits
