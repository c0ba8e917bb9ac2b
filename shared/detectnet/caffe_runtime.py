"""Runs an exported Caffe pair with OpenCV: the second opinion on what was exported."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

COVERAGE_LAYER = "coverage/sig"
BBOXES_LAYER = "bboxes"
"""OpenCV finds the coverage under its layer's name only, and the boxes under their blob's."""


class CaffeNetError(ValueError):
    """OpenCV cannot load or run the pair."""


class CaffeNet:
    """``deploy.prototxt`` and ``.caffemodel`` on the CPU. Not safe for use by several threads at once."""

    def __init__(self, prototxt: str | bytes, caffemodel: bytes) -> None:
        text = prototxt.encode() if isinstance(prototxt, str) else prototxt
        try:
            self._net = cv2.dnn.readNetFromCaffe(
                np.frombuffer(text, np.uint8), np.frombuffer(caffemodel, np.uint8)
            )
        except cv2.error as error:
            raise CaffeNetError(f"OpenCV cannot load the Caffe pair: {error}") from error

    def run(self, image_chw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """From one image float32 [3,H,W] B,G,R 0-255 to coverage [C,GH,GW] and bboxes [4,GH,GW]."""
        try:
            self._net.setInput(np.ascontiguousarray(image_chw[None], np.float32))
            coverage, bboxes = self._net.forward([COVERAGE_LAYER, BBOXES_LAYER])
        except cv2.error as error:
            raise CaffeNetError(f"OpenCV cannot run the Caffe pair: {error}") from error
        return np.asarray(coverage[0], np.float32), np.asarray(bboxes[0], np.float32)
