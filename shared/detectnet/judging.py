"""Judges a network on labelled pictures under any of the three decoders: seen, counted and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.average_precision import average_precision, figures_of
from detectnet.clustering import ClusterOptions, cluster_detections, cluster_ground_truth
from detectnet.coverage import encode_targets
from detectnet.decoders import Decoder, Detection, Network, detect, prepare
from detectnet.images import decode_image
from detectnet.metrics import Counts, class_score, score_image
from detectnet.samples import InputOptions, SourceImage, labelled_boxes
from detectnet.samples import prepare as prepare_sample

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SeenClass:
    """One class on one picture."""

    counts: Counts
    """By DIGITS's matching."""
    truth: FloatArray
    """[n,4], every labelled box."""
    found: FloatArray
    """[m,5], confidence last."""


def see_picture(
    network: Network, source: SourceImage, options: InputOptions, decoder: Decoder, threshold: float
) -> list[SeenClass]:
    """What one picture adds for each class.

    ``digits`` sees and counts as the training's own validation does, padded, and with what the grid kept of
    the truth. A Jetson's decoders get the picture as a camera would give it, and all labelled boxes count.
    Raises samples.BadData and images.ImageError.
    """
    classes = len(options.classes.names)
    if decoder == "digits":
        size = (options.width, options.height)
        image, boxes, indices = prepare_sample(source, options)
        coverage, bboxes = network(prepare(image, size, decoder))
        found = cluster_detections(coverage, bboxes, ClusterOptions(coverage_threshold=threshold))
        kept = cluster_ground_truth(encode_targets(boxes, indices, *size, classes))
        return [
            SeenClass(score_image(kept[index], found[index]), boxes[indices == index], found[index])
            for index in range(classes)
        ]
    boxes, indices = labelled_boxes(source, options)
    image = decode_image(source.image)
    detections = detect(network, image, (options.width, options.height), decoder, threshold)
    seen = [(boxes[indices == index], _rows(detections, index)) for index in range(classes)]
    return [SeenClass(score_image(truth, found), truth, found) for truth, found in seen]


def figures(pictures: Sequence[Sequence[SeenClass]], names: Sequence[str]) -> dict[str, Any]:
    """Figures by class from what was seen on each picture, and their means; ratios 0-1."""
    scores, precisions = {}, {}
    for index, name in enumerate(names):
        seen = [picture[index] for picture in pictures]
        scores[name] = class_score([one.counts for one in seen])
        precisions[name] = average_precision([one.truth for one in seen], [one.found for one in seen])
    return figures_of(scores, precisions)


def _rows(detections: Sequence[Detection], index: int) -> Any:
    rows = [(*found.xyxy, found.confidence) for found in detections if found.class_index == index]
    return np.array(rows, np.float32).reshape(-1, 5)
