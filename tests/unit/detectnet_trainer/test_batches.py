from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detectnet_trainer.augment import Augmentation
from detectnet_trainer.batches import Batch, BatchMaker
from tests.unit.detectnet_trainer.small_data import SIDE, picture, pictures, split_of


def maker_of(tmp_path: Path, count: int = 7, seed: int = 0, augment: bool = True) -> BatchMaker:
    split = split_of(pictures(count), tmp_path)
    return BatchMaker(split, 2, Augmentation() if augment else None, seed)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_shows_every_picture_and_fills_the_last_batch_from_its_beginning(tmp_path: Path) -> None:
    batches = maker_of(tmp_path).epoch_indices(0, 3)
    shown = np.concatenate(batches)

    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert sorted(shown[:7]) == list(range(7))
    assert shown[7:].tolist() == shown[:2].tolist()


def test_a_batch_larger_than_the_split_repeats_it(tmp_path: Path) -> None:
    (indices,) = maker_of(tmp_path, count=2).epoch_indices(0, 5)

    assert len(indices) == 5
    assert set(indices.tolist()) == {0, 1}


def test_the_order_depends_on_seed_and_epoch(tmp_path: Path) -> None:
    order = np.concatenate(maker_of(tmp_path, seed=1).epoch_indices(0, 1))

    assert order.tolist() == np.concatenate(maker_of(tmp_path, seed=1).epoch_indices(0, 1)).tolist()
    assert order.tolist() != np.concatenate(maker_of(tmp_path, seed=1).epoch_indices(1, 1)).tolist()
    assert order.tolist() != np.concatenate(maker_of(tmp_path, seed=2).epoch_indices(0, 1)).tolist()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_are_the_same_whatever_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    maker = maker_of(tmp_path)
    indices = maker.epoch_indices(3, 2)
    one_by_one = [maker.train_batch(3, each) for each in indices]

    assert same(list(maker.prefetch(3, indices, workers)), one_by_one)


def test_batches_from_the_middle_of_an_epoch_are_those_of_the_whole_epoch(tmp_path: Path) -> None:
    maker = maker_of(tmp_path)
    indices = maker.epoch_indices(3, 2)
    whole = list(maker.prefetch(3, indices))

    assert same(list(maker.prefetch(3, indices[2:])), whole[2:])


def test_an_error_in_a_worker_reaches_the_training(tmp_path: Path) -> None:
    maker = maker_of(tmp_path)

    with pytest.raises(IndexError):
        list(maker.prefetch(0, [np.array([99])]))


def test_training_pictures_change_from_epoch_to_epoch_and_validation_ones_do_not(tmp_path: Path) -> None:
    maker = maker_of(tmp_path)
    first, second = (maker.train_batch(epoch, np.array([0])) for epoch in (0, 1))

    assert not torch.equal(first.images, second.images)
    assert same(list(maker.validation_batches(3)), list(maker.validation_batches(3)))


def test_a_batch_is_floats_of_pixels_and_targets(tmp_path: Path) -> None:
    batch = next(iter(maker_of(tmp_path, augment=False).validation_batches(4)))

    assert batch.images.shape == (4, 3, SIDE, SIDE)
    assert batch.targets.shape == (4, 10, SIDE // 16, SIDE // 16)
    assert batch.images.dtype == batch.targets.dtype == torch.float32
    assert batch.images.max() > 200


def test_the_channels_are_blue_green_red(tmp_path: Path) -> None:
    split = split_of([picture(0)], tmp_path)
    batch = next(iter(BatchMaker(split, 2, None, 0).validation_batches(1)))
    left, top, right, bottom = (int(side) for side in split.boxes[0][0])
    block = batch.images[0, :, top + 2 : bottom - 2, left + 2 : right - 2].mean(dim=(1, 2))

    assert block.tolist() == [40, 60, 220]
