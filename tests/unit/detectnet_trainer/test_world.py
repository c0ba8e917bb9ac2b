"""Several processes on shares of one batch take the step that one process takes, and end with one exit code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from detectnet import network
from detectnet_trainer.model import weights_of
from detectnet_trainer.ranks import INTERNAL, KILLED, ON_TERM, combined_code
from detectnet_trainer.session import Session, start_session
from detectnet_trainer.world import World
from tests.unit.detectnet_trainer.small_data import NAMES, options, pictures, split_of


class Meeting:
    """Where threads that stand for processes add up what they bring."""

    def __init__(self, size: int) -> None:
        self._barrier = threading.Barrier(size, timeout=60)
        self._brought: dict[int, torch.Tensor] = {}

    def add_up(self, rank: int, value: torch.Tensor) -> torch.Tensor:
        self._brought[rank] = value.clone()
        self._barrier.wait()
        total = sum((self._brought[key] for key in sorted(self._brought)), torch.zeros_like(value))
        self._barrier.wait()
        return total


class ThreadWorld(World):
    """A world of threads: the sums are real, only the wire is not."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "_meeting", meeting)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self._meeting.add_up(self.rank, gradient)  # type: ignore[attr-defined]

    def sum(self, values: Iterable[float], device: torch.device) -> list[float]:
        total = self._meeting.add_up(self.rank, torch.tensor(list(values), dtype=torch.float64))  # type: ignore[attr-defined]
        return [float(value) for value in total]


def trained(folder: Path, world: World, **given: object) -> Session:
    split = split_of(pictures(6), folder / str(world.rank))
    session = start_session(split, split, NAMES, options(**given), world)
    session.trainer.run(lambda report: report.step < 2)
    return session


def in_threads(size: int, train: Callable[[World], Session]) -> list[Session]:
    meeting = Meeting(size)
    sessions: dict[int, Session] = {}

    def run(rank: int) -> None:
        sessions[rank] = train(ThreadWorld(rank, size, meeting))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [sessions[rank] for rank in range(size)]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "batch", "accumulation"), [(2, 4, 1), (2, 3, 2), (3, 2, 1)])
def test_shares_of_a_batch_make_the_step_of_the_whole(
    size: int, batch: int, accumulation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its draws belong to the process.
    monkeypatch.setattr(network, "DROPOUT_RATIO", 0.0)
    given = {"batch_size": batch, "batch_accumulation": accumulation, "learning_rate": 1e-4, "solver": "sgd"}
    alone = trained(tmp_path / "alone", World(), **given)

    together = in_threads(size, lambda world: trained(tmp_path / "together", world, **given))

    for name, expected in weights_of(alone.trainer.model).items():
        for session in together:
            np.testing.assert_allclose(
                weights_of(session.trainer.model)[name], expected, rtol=0, atol=1e-5, err_msg=name
            )


@pytest.mark.parametrize(("batch", "size"), [(5, 2), (8, 4), (1, 3)])
def test_every_picture_belongs_to_one_share(batch: int, size: int) -> None:
    indices: npt.NDArray[np.int64] = np.arange(batch)

    shares = [World(rank, size).share(indices) for rank in range(size)]

    assert np.concatenate(shares).tolist() == indices.tolist()


@pytest.mark.parametrize(
    ("codes", "asked_to_end", "expected"),
    [
        ([0, 0], False, 0),
        ([0, 0], True, 0),
        ([143, 143], True, ON_TERM),
        ([0, 143], True, ON_TERM),
        ([143, 143], False, INTERNAL),
        ([65, INTERNAL], False, 65),
        ([INTERNAL, 75], False, 75),
        ([73, None], False, 73),
        ([65, 78], False, 65),
        ([INTERNAL, None], False, INTERNAL),
        ([0, None], False, INTERNAL),
        ([None, None], True, KILLED),
        ([143, None], True, KILLED),
    ],
)
def test_many_ends_come_to_one_exit_code(codes: list[int | None], asked_to_end: bool, expected: int) -> None:
    assert combined_code(codes, asked_to_end) == expected
