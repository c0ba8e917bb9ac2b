from __future__ import annotations

import numpy as np
import pytest

from detectnet.coverage import BBOX, COVERAGE_START, encode_targets
from detectnet.decoders import DECODERS, Decoder, default_threshold, detect
from detectnet.ssd_onnx import ssd_outputs

SIZE = (320, 160)
OBJECT = (40.0, 32.0, 136.0, 128.0)


def perfect_network(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grids as the truth has them; a picture's own content plays no part."""
    assert given.shape == (3, SIZE[1], SIZE[0])
    targets = encode_targets(np.array([OBJECT], np.float32), np.array([1]), *SIZE, classes=2)
    return targets[COVERAGE_START:], targets[BBOX]


def perfect_ssd(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    coverage, bboxes = perfect_network(given)
    return ssd_outputs((coverage - 0.5) * 20, bboxes)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_finds_the_object_in_the_pixels_of_the_picture(decoder: Decoder) -> None:
    image = np.zeros((320, 640, 3), np.uint8)
    network = perfect_ssd if decoder == "jetson-onnx" else perfect_network

    found = detect(network, image, SIZE, decoder)

    assert {item.class_index for item in found} == {1}
    np.testing.assert_allclose(np.array(found[0].xyxy), np.array(OBJECT) * 2, atol=0.5)


def test_confidences_are_votes_for_digits_and_coverage_on_a_jetson() -> None:
    image = np.zeros((160, 320, 3), np.uint8)
    (votes,) = detect(perfect_network, image, SIZE, "digits")
    (sure,) = detect(perfect_network, image, SIZE, "jetson-caffe")
    cells = int((perfect_network(np.zeros((3, 160, 320)))[0][1] >= 0.6).sum())

    assert votes.confidence == pytest.approx(np.log(cells), abs=0.01)
    assert sure.confidence == 1.0


def test_a_threshold_above_everything_leaves_nothing() -> None:
    image = np.zeros((160, 320, 3), np.uint8)
    weak = lambda given: (perfect_network(given)[0] * 0.7, perfect_network(given)[1])  # noqa: E731

    assert detect(weak, image, SIZE, "digits", threshold=0.8) == []
    assert len(detect(weak, image, SIZE, "digits")) == 1
    assert [default_threshold(decoder) for decoder in DECODERS] == [0.6, 0.5, 0.5]
