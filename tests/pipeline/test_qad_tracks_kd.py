"""Quantisation-aware distillation from scratch learns as fp32 distillation does, because batch statistics are
re-estimated before calibration; without that it never recovers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.data.sources import Wanted, read
from edgecomp.distill.losses.soft_and_hard_labels import distillation_loss
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate, reestimate_batchnorm
from edgecomp.quantization.capture import capture
from edgecomp.quantization.placement import place

pytestmark = pytest.mark.slow

STEPS = 50


def losses(quantised: bool) -> list[float]:
    """The loss of each step, on the same batches, from the same weights, against the same soft labels."""
    torch.manual_seed(0)
    raw = read(Wanted("digits", image_size=16), Path()).splits["train"]
    images = ((np.asarray(raw.values, np.float32) / 255 - 0.3) / 0.35)[:1024]
    labels = torch.from_numpy(raw.labels[:1024])
    soft = torch.nn.functional.one_hot(labels, 10).float() * 8 + torch.randn(1024, 10)
    student: torch.nn.Module = ResNet(1, 10, blocks=1, width=8)
    if quantised:
        calibration = [{"input": images[start : start + 128]} for start in range(0, 1024, 128)]
        reestimate_batchnorm(student, calibration)
        student = place(capture(student, [torch.from_numpy(images[:2])], [{0: "batch"}]), "cpu-u8")
        calibrate(student, calibration)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    chance = np.random.default_rng(0)
    student.train()
    found = []
    for _ in range(STEPS):
        index = chance.choice(1024, 64, replace=False)
        logits = student(torch.from_numpy(images[index]))
        loss = distillation_loss(logits, soft[index], labels[index], temperature=4.0, hard_label_weight=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_qad_from_scratch_tracks_fp32_distillation_over_fifty_steps() -> None:
    fp32, qad = losses(quantised=False), losses(quantised=True)
    learnt = np.mean(fp32[:5]) - np.mean(fp32[-10:])
    assert learnt > 0.5 * np.mean(fp32[:5]), "the task is learnt at all"
    assert np.mean(qad[-10:]) < np.mean(fp32[-10:]) + 0.25 * learnt  # 0.18; without re-estimation 1.05
