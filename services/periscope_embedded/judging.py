"""How the robot's detections stand against the labels. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectnet.jetson import JetsonDetection
from detectnet.metrics import Counts, score_image
from periscope_embedded.pictures import LabelledPicture


@dataclass(frozen=True)
class JudgedPicture:
    """A picture, its labels, and what the robot found in it."""

    picture: LabelledPicture
    detections: tuple[JetsonDetection, ...]


def count_classes(judged: Sequence[JudgedPicture], labels: Sequence[str]) -> dict[str, Counts]:
    """Hits, false alarms and misses of each class over all pictures, at the metrics' IoU."""
    return {
        name: sum((_count(item, name, index) for item in judged), Counts())
        for index, name in enumerate(labels)
    }


def choose_for_show(
    judged: Sequence[JudgedPicture], labels: Sequence[str], count: int
) -> list[JudgedPicture]:
    """Evenly spread pictures that have a labelled object; how well they were detected plays no part."""
    with_objects = [item for item in judged if any(found.type in labels for found in item.picture.objects)]
    candidates = with_objects or list(judged)
    step = max(len(candidates) / count, 1.0)
    return [candidates[int(index * step)] for index in range(min(len(candidates), count))]


def _count(item: JudgedPicture, name: str, index: int) -> Counts:
    truth = [found.xyxy for found in item.picture.objects if found.type == name]
    found = [detection.xyxy for detection in item.detections if detection.class_index == index]
    return score_image(np.array(truth, np.float32).reshape(-1, 4), np.array(found, np.float32).reshape(-1, 4))
