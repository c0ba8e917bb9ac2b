"""A validation pass: losses and DIGITS's figures, always in full precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from detectnet.clustering import DEFAULT_CLUSTERING, ClusterOptions, cluster_detections, cluster_ground_truth
from detectnet.metrics import DIGITS_VALIDATION_BATCH, ClassScore, Counts, class_score, score_image
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.losses import all_zero_coverage_loss, detectnet_losses
from detectnet_trainer.model import DetectNet


@dataclass(frozen=True)
class Evaluation:
    """Figures over a whole validation split; ratios 0-1, losses before their weights."""

    loss_bbox: float
    loss_coverage: float
    all_zero_coverage_loss: float
    classes: dict[str, ClassScore]

    def as_dict(self) -> dict[str, Any]:
        """As it goes into progress records and checkpoints; the maps at the top are means over classes."""
        scores = list(self.classes.values())
        return {
            "loss_bbox": self.loss_bbox,
            "loss_coverage": self.loss_coverage,
            "digits_map": float(np.mean([score.digits_map for score in scores])),
            "pooled_map": float(np.mean([score.pooled_map for score in scores])),
            "classes": {name: asdict(score) for name, score in self.classes.items()},
        }


def evaluate(
    model: DetectNet,
    maker: BatchMaker,
    names: tuple[str, ...],
    device: torch.device,
    batch: int = DIGITS_VALIDATION_BATCH,
    clustering: ClusterOptions = DEFAULT_CLUSTERING,
) -> Evaluation:
    """Run the network over all pictures of the split, in order, without augmentation."""
    losses: list[tuple[float, float, float]] = []
    sizes: list[int] = []
    counts: list[list[Counts]] = [[] for _ in names]
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
                found, truth = cluster_detections(*grids[:2], clustering), cluster_ground_truth(grids[2])
                for index in range(len(names)):
                    counts[index].append(score_image(truth[index], found[index]))
    model.train(training)
    means = np.average(np.array(losses), axis=0, weights=sizes) if sizes else np.zeros(3)
    scores = {name: class_score(counts[index]) for index, name in enumerate(names)}
    return Evaluation(float(means[0]), float(means[1]), float(means[2]), scores)
