"""COCO's average precision against another implementation of COCO's evaluation."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.average_precision import AveragePrecision, average_precision

FloatArray = npt.NDArray[np.float32]


def reference(truth: list[FloatArray], found: list[FloatArray]) -> tuple[float, float]:
    """AP and AP50 by faster-coco-eval."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (boxes, detections) in enumerate(zip(truth, found, strict=True)):
        for box in boxes.astype(float):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": xywh,
                    "area": xywh[2] * xywh[3],
                    "iscrowd": 0,
                }
            )
        for row in detections.astype(float):
            xywh = [row[0], row[1], row[2] - row[0], row[3] - row[1]]
            results.append({"image_id": image, "category_id": 1, "bbox": xywh, "score": row[4]})
    images = [{"id": image, "width": 1000, "height": 1000} for image in range(len(truth))]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "buoy"}]})
        evaluation = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=lambda *_: None)
        evaluation.run()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def scene(
    seed: int, images: int, objects: int, false_alarms: int, jitter: float
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Boxes, and detections of most of them that are more or less beside, some twice, with a few false ones."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        corner = rng.uniform(0, 700, (rng.integers(0, objects + 1), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 200, corner.shape)], axis=1)
        seen = np.repeat(boxes[rng.random(len(boxes)) < 0.8], rng.integers(1, 3), axis=0)
        seen = seen + rng.normal(0, jitter, seen.shape)
        seen[:, 2:] = np.maximum(seen[:, 2:], seen[:, :2] + 1)
        wrong = rng.uniform(0, 700, (rng.integers(0, false_alarms + 1), 2))
        rows = np.concatenate(
            [seen, np.concatenate([wrong, wrong + rng.uniform(20, 200, wrong.shape)], axis=1)]
        )
        truth.append(boxes.astype(np.float32))
        found.append(np.concatenate([rows, rng.random((len(rows), 1))], axis=1).astype(np.float32))
    return truth, found


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.integers(1, 8),
    st.integers(0, 6),
    st.sampled_from([0.5, 3.0, 15.0]),
)
def test_it_equals_another_implementation(
    seed: int, images: int, objects: int, false_alarms: int, jitter: float
) -> None:
    truth, found = scene(seed, images, objects, false_alarms, jitter)
    own = average_precision(truth, found)
    if own.coco_ap is None:
        assert not any(len(boxes) for boxes in truth)
        return
    if not any(len(rows) for rows in found):
        assert own == AveragePrecision(0.0, 0.0)
        return

    np.testing.assert_allclose((own.coco_ap, own.coco_ap50), reference(truth, found), atol=1e-6)


@pytest.mark.slow
def test_only_the_hundred_surest_detections_of_a_picture_count() -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 900, (130, 2))
    boxes = np.concatenate([corner, corner + 40], axis=1).astype(np.float32)
    found = np.concatenate([boxes, rng.random((130, 1)).astype(np.float32)], axis=1)
    own = average_precision([boxes], [found])

    np.testing.assert_allclose((own.coco_ap, own.coco_ap50), reference([boxes], [found]), atol=1e-6)
    assert own.coco_ap is not None
    assert own.coco_ap < 0.8


def test_perfect_boxes_have_the_figure_one_and_a_class_without_objects_has_none() -> None:
    boxes = np.array([[0, 0, 50, 50], [100, 100, 180, 160]], np.float32)
    found = np.concatenate([boxes, np.array([[0.9], [0.8]], np.float32)], axis=1)
    nothing = np.zeros((0, 4), np.float32), np.zeros((0, 5), np.float32)

    assert average_precision([boxes], [found]) == AveragePrecision(1.0, 1.0)
    assert average_precision([boxes], [nothing[1]]) == AveragePrecision(0.0, 0.0)
    assert average_precision([nothing[0]], [found]) == AveragePrecision(None, None)


def test_a_sure_false_alarm_costs_more_than_an_unsure_one() -> None:
    boxes = np.array([[0, 0, 50, 50]], np.float32)

    def with_false_alarm(confidence: float) -> float | None:
        rows = np.array([[0, 0, 50, 50, 0.5], [200, 200, 250, 250, confidence]], np.float32)
        return average_precision([boxes], [rows]).coco_ap50

    assert (with_false_alarm(0.9), with_false_alarm(0.1)) == (0.5, 1.0)
