"""The processes that train one network together, each on its share of every batch.

The shares' gradients are summed, so a step does what one process would do with the whole batch, but for the
order of the sums. One process is a world too, in which nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

PATIENCE = timedelta(minutes=30)
"""How long the others wait for the first, which validates and writes to the store between two steps."""


@dataclass(frozen=True)
class World:
    """Which process of how many this is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """The process's number on its machine."""

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it validates, commits and reports."""
        return self.rank == 0

    def share(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's part of a batch; may be empty."""
        return np.array_split(indices, self.size)[self.rank]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by the sum over all processes, in one exchange."""
        if self.size == 1:
            return
        held = list(parameters)
        for parameter in held:
            if parameter.grad is None:  # Its share was empty.
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in held if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def sum(self, values: Iterable[float], device: torch.device) -> list[float]:
        """Each value summed over all processes."""
        given = list(values)
        if self.size == 1:
            return given
        total = torch.tensor(given, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return [float(value) for value in total]

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()


def join_world(environ: Mapping[str, str] = os.environ) -> World:
    """The world that torchrun's variables describe; one process where there are none.

    With CUDA each process takes the device of its local rank and NCCL carries the sums; else gloo.
    """
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl", timeout=PATIENCE)
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    return World(int(environ["RANK"]), size, int(environ["LOCAL_RANK"]))


def leave_world(world: World) -> None:
    """Let the others know that this process ends on purpose."""
    if world.size > 1:
        distributed.destroy_process_group()
