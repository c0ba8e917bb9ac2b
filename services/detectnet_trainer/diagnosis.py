"""Hands the doctor what a training shows: see :mod:`detectnet.doctor`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectnet.clustering import DEFAULT_CLUSTERING
from detectnet.coverage import cells_owned
from detectnet.doctor import BoxSigns, Doctor, Finding, Signs
from detectnet.sizes import STRIDE
from detectnet_trainer.dataset import Split
from detectnet_trainer.evaluate import Evaluation
from detectnet_trainer.session import Session

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Diagnosis:
    """The doctor of one session; the labelled boxes are measured once."""

    def __init__(self, session: Session) -> None:
        self._doctor = Doctor(session.training, pretrained=session.pretrained)
        self._boxes = measure_boxes(session.trainer.split, session.names)

    def examine(self, evaluation: Evaluation, epoch: float, step: int) -> list[Finding]:
        """What is new to say after a validation."""
        scores = evaluation.classes
        return self._doctor.examine(
            Signs(
                epoch=epoch,
                step=step,
                loss_bbox=evaluation.loss_bbox,
                loss_coverage=evaluation.loss_coverage,
                empty_loss=evaluation.all_zero_coverage_loss,
                constant_loss=evaluation.constant_coverage_loss,
                max_coverage=evaluation.max_coverage,
                recall={name: score.recall for name, score in scores.items()},
                digits_map=max((score.digits_map for score in scores.values()), default=0.0),
                boxes=self._boxes,
            )
        )


def measure_boxes(split: Split, names: tuple[str, ...]) -> dict[str, BoxSigns]:
    """The labelled boxes of each class, at the network's size."""
    height, width = split.images.shape[1:3]
    sides: list[FloatArray] = [np.zeros((0, 2), np.float32)]
    cells: list[IntArray] = [np.zeros(0, np.int64)]
    classes: list[IntArray] = [np.zeros(0, np.int64)]
    for boxes, indices in zip(split.boxes, split.class_indices, strict=True):
        kept = boxes[indices >= 0]
        sides.append(kept[:, 2:] - kept[:, :2])
        cells.append(cells_owned(kept, width, height))
        classes.append(indices[indices >= 0])
    every_side, every_cell, every_class = (
        np.concatenate(sides),
        np.concatenate(cells),
        np.concatenate(classes),
    )
    return {
        name: _signs_of(every_side[every_class == index], every_cell[every_class == index])
        for index, name in enumerate(names)
    }


def _signs_of(sides: FloatArray, cells: IntArray) -> BoxSigns:
    if not len(sides):
        return BoxSigns(0, 0.0, 0.0, 0.0)
    low = sides[:, 1] < DEFAULT_CLUSTERING.min_height
    small = sides.max(axis=1) < STRIDE
    return BoxSigns(len(sides), float(low.mean()), float(small.mean()), float(np.median(cells)))
