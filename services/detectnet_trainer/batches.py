"""Batches in an order that depends on seed and epoch only, made ahead in threads of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectnet.coverage import encode_targets
from detectnet_trainer.augment import Augmentation, apply_to_boxes, apply_to_image, draw, sample_generator
from detectnet_trainer.dataset import Split

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Network input and ground truth."""

    images: Tensor
    """float32 [N,3,H,W], B,G,R 0-255, less the mean if one is subtracted."""
    targets: Tensor
    """float32 [N,8+C,GH,GW]."""


class BatchMaker:
    """Makes training and validation batches of one split."""

    def __init__(
        self,
        split: Split,
        classes: int,
        augmentation: Augmentation | None,
        seed: int,
        mean: FloatArray | None = None,
    ) -> None:
        self.split = split
        self.mean = mean
        """[3,1,1] or [3,H,W] B,G,R, taken off every picture; the network takes off its own 127 besides."""
        self._mean = None if mean is None else np.ascontiguousarray(mean.transpose(1, 2, 0))
        self._classes = classes
        self._augmentation = augmentation
        self._seed = seed

    def epoch_indices(self, epoch: int, batch: int) -> list[npt.NDArray[np.int64]]:
        """Indices of each training batch of an epoch; the last one is filled from the epoch's beginning."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.split))
        count = -(-len(order) // batch)
        return np.split(np.resize(order, count * batch).astype(np.int64), count)

    def train_batch(self, epoch: int, indices: npt.NDArray[np.int64]) -> Batch | None:
        """Augmented pictures and targets; None without indices."""
        if not len(indices):
            return None
        return _stack([self._augmented(epoch, int(index)) for index in indices])

    def validation_batches(self, batch: int) -> Iterator[Batch]:
        """All pictures in order, as they are."""
        for start in range(0, len(self.split), batch):
            stop = min(start + batch, len(self.split))
            yield _stack([self._plain(index) for index in range(start, stop)])

    def prefetch(
        self, epoch: int, batches: list[npt.NDArray[np.int64]], workers: int = 1
    ) -> Generator[Batch | None]:
        """Training batches in order; as many as there are workers are made ahead, one by each."""
        with ThreadPoolExecutor(workers) as pool:
            following = iter(batches)
            ahead = deque(
                pool.submit(self.train_batch, epoch, indices) for indices in islice(following, workers)
            )
            while ahead:
                made = ahead.popleft().result()
                ahead.extend(
                    pool.submit(self.train_batch, epoch, indices) for indices in islice(following, 1)
                )
                yield made

    def _augmented(self, epoch: int, index: int) -> tuple[FloatArray, FloatArray]:
        if self._augmentation is None:
            return self._plain(index)
        image, boxes = self.split.images[index], self.split.boxes[index]
        size = (image.shape[1], image.shape[0])
        draws = draw(self._augmentation, sample_generator(self._seed, epoch, index), size)
        return apply_to_image(image, draws, self._mean), self._targets(
            index, apply_to_boxes(boxes, draws, size)
        )

    def _plain(self, index: int) -> tuple[FloatArray, FloatArray]:
        pixels = self.split.images[index].astype(np.float32)
        pixels = pixels if self._mean is None else pixels - self._mean
        return pixels, self._targets(index, self.split.boxes[index])

    def _targets(self, index: int, boxes: FloatArray) -> FloatArray:
        height, width = self.split.images.shape[1:3]
        return encode_targets(boxes, self.split.class_indices[index], width, height, self._classes)


def _stack(samples: list[tuple[FloatArray, FloatArray]]) -> Batch:
    images = np.stack([image for image, _ in samples]).transpose(0, 3, 1, 2)
    targets = np.stack([target for _, target in samples])
    return Batch(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(targets))
