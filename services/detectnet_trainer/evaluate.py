"""A validation pass: losses and DIGITS's figures, always in full precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detectnet.average_precision import AveragePrecision, average_precision, figures_of
from detectnet.clustering import DEFAULT_CLUSTERING, ClusterOptions, cluster_detections, cluster_ground_truth
from detectnet.coverage import COVERAGE_START
from detectnet.decoders import Decoder
from detectnet.metrics import DIGITS_VALIDATION_BATCH, ClassScore, Counts, class_score, score_image
from detectnet_trainer.arithmetic import use_exact_arithmetic
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.dataset import Split
from detectnet_trainer.losses import all_zero_coverage_loss, detectnet_losses
from detectnet_trainer.model import DetectNet

FloatArray = npt.NDArray[np.float32]

DECODER: Decoder = "digits"
"""Whose boxes training is judged by; other decoders find others."""


@dataclass(frozen=True)
class Evaluation:
    """Figures over a whole validation split; ratios 0-1, losses before their weights."""

    loss_bbox: float
    loss_coverage: float
    all_zero_coverage_loss: float
    classes: dict[str, ClassScore]
    constant_coverage_loss: float = 0.0
    """``loss_coverage`` of the best answer that is the same everywhere."""
    max_coverage: float = 0.0
    """The highest coverage in any cell of any picture."""
    average_precision: dict[str, AveragePrecision] = field(default_factory=dict)
    """COCO's, of the same detections against all labelled boxes."""

    def as_dict(self) -> dict[str, Any]:
        """As it goes into progress records and checkpoints; the maps at the top are means over classes."""
        return {
            "decoder": DECODER,
            "loss_bbox": self.loss_bbox,
            "loss_coverage": self.loss_coverage,
            **figures_of(self.classes, self.average_precision),
        }


def evaluate(
    model: DetectNet,
    maker: BatchMaker,
    names: tuple[str, ...],
    device: torch.device,
    batch: int = DIGITS_VALIDATION_BATCH,
    clustering: ClusterOptions = DEFAULT_CLUSTERING,
) -> Evaluation:
    """Run the network over all pictures of the split, in order, without augmentation, in float32."""
    use_exact_arithmetic()
    losses: list[tuple[float, float, float]] = []
    sizes: list[int] = []
    tally = _Tally(names)
    training = model.training
    model.eval()
    with torch.inference_mode():
        for item in maker.validation_batches(batch):
            targets = item.targets.to(device)
            images = item.images.to(device, memory_format=torch.channels_last)
            coverage, bboxes = model(images)
            bbox, cover = detectnet_losses(coverage, bboxes, targets)
            losses.append((float(bbox), float(cover), all_zero_coverage_loss(targets)))
            sizes.append(len(images))
            for grids in zip(coverage.cpu().numpy(), bboxes.cpu().numpy(), item.targets.numpy(), strict=True):
                tally.add(cluster_detections(*grids[:2], clustering), grids[2], float(grids[0].max()))
    model.train(training)
    means = np.average(np.array(losses), axis=0, weights=sizes) if sizes else np.zeros(3)
    return Evaluation(
        float(means[0]), float(means[1]), float(means[2]), tally.scores(), tally.constant_loss(),
        tally.max_coverage, tally.average_precision(maker.split),
    )  # fmt: skip


class _Tally:
    """What is counted picture by picture."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.max_coverage = 0.0
        self._names = names
        self._counts: list[list[Counts]] = [[] for _ in names]
        self._found: list[list[FloatArray]] = [[] for _ in names]
        self._covered = np.zeros(len(names))
        self._cells = 0

    def add(self, found: list[FloatArray], targets: FloatArray, max_coverage: float) -> None:
        """One picture's detections [m,5] by class, and its ground truth [8+C,GH,GW]."""
        self.max_coverage = max(self.max_coverage, max_coverage)
        for index, truth in enumerate(cluster_ground_truth(targets)):
            self._counts[index].append(score_image(truth, found[index]))
            self._found[index].append(found[index])
        self._covered += targets[COVERAGE_START:].sum(axis=(1, 2))
        self._cells += targets[0].size

    def scores(self) -> dict[str, ClassScore]:
        """DIGITS's figures: against what the grid kept of the truth."""
        return {name: class_score(self._counts[index]) for index, name in enumerate(self._names)}

    def constant_loss(self) -> float:
        """Coverage is 0 or 1, so the best constant is its mean and the rest its variance."""
        pictures = len(self._counts[0]) if self._counts else 0
        rest = self._covered - self._covered**2 / max(self._cells, 1)
        return float(rest.sum()) / (2 * max(pictures, 1))

    def average_precision(self, split: Split) -> dict[str, AveragePrecision]:
        """COCO's figures: against all labelled boxes."""
        labelled = list(zip(split.boxes, split.class_indices, strict=True))
        return {
            name: average_precision(
                [boxes[indices == index] for boxes, indices in labelled], self._found[index]
            )
            for index, name in enumerate(self._names)
        }
