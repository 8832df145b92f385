"""What a loss would change by where a trained network's weights were other ones: its gradients, of labels."""

import numpy as np
import torch
from torch import nn

from edgecomp.distill.data import DistillationData

BATCHES = 8  # that tell it


def label_gradients(network: nn.Module, data: DistillationData, batch_size: int) -> None:
    """Leaves in `network` the gradients of the loss on the labels of `data`, summed over the first batches of `batch_size` examples: of its own
    soft labels a teacher has none. Nothing is learnt. Raises EdgecompError where nothing is labelled."""
    examples = data.epoch(0)
    network.eval()
    with torch.enable_grad():
        for first in range(0, min(len(examples), BATCHES * batch_size), batch_size):
            batch = examples.batch(np.arange(first, min(first + batch_size, len(examples))))
            data.task.hard_label_loss(network(*batch.inputs), batch.labels).backward()  # type: ignore[no-untyped-call]  # torch's
