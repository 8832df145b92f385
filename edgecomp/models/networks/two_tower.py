"""A recommender of two towers (Covington et al. 2016; Yi et al. 2019): users and items as vectors of one space, a score their product."""

import torch
from torch import nn

from edgecomp.models.checks import positive


class TwoTower(nn.Module):
    """What a user did, [N, features], → a score of every item, [N, classes].

    The tower of users is a perceptron of `layers` hidden layers; that of items is a table, as items are known beforehand.
    """

    def __init__(
        self, features: int, classes: int, layers: int = 1, width: int = 128, space: int = 32
    ) -> None:
        super().__init__()
        positive(features=features, classes=classes, layers=layers, width=width, space=space)
        reads = [features] + [width] * (layers - 1)
        hidden = [nn.Sequential(nn.Linear(size, width), nn.ReLU()) for size in reads]
        self.users = nn.Sequential(*hidden, nn.Linear(width, space))
        self.items = nn.Linear(space, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.items(self.users(torch.flatten(x, 1)))
        return scores
