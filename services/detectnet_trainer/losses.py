"""DetectNet's two losses. Both are divided by the batch size only, as Caffe's layers do."""

from __future__ import annotations

import torch
from torch import Tensor

from detectnet.coverage import BBOX, COVERAGE_START, FOREGROUND, OBJ, SIZE

BBOX_LOSS_WEIGHT = 2.0


def detectnet_losses(coverage: Tensor, bboxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """``loss_bbox`` and ``loss_coverage``, before their weights.

    ``coverage`` [N,C,GH,GW] after the sigmoid, ``bboxes`` [N,4,GH,GW], ``targets`` [N,8+C,GH,GW] as
    :func:`detectnet.coverage.encode_targets` writes them. All float32.
    """
    batch = targets.shape[0]
    foreground = targets[:, FOREGROUND : FOREGROUND + 1]
    scale = targets[:, SIZE].repeat(1, 2, 1, 1) * targets[:, OBJ : OBJ + 1]
    predicted = bboxes * foreground * scale
    wanted = targets[:, BBOX] * scale
    loss_bbox = (predicted - wanted).abs().sum() / batch
    loss_coverage = (coverage - targets[:, COVERAGE_START:]).square().sum() / (2 * batch)
    return loss_bbox, loss_coverage


def total_loss(loss_bbox: Tensor, loss_coverage: Tensor) -> Tensor:
    """What is minimised, without weight decay."""
    return BBOX_LOSS_WEIGHT * loss_bbox + loss_coverage


def all_zero_coverage_loss(targets: Tensor) -> float:
    """``loss_coverage`` of a network that finds nothing anywhere: where a dead training ends up."""
    return float(torch.count_nonzero(targets[:, COVERAGE_START:])) / (2 * max(len(targets), 1))
