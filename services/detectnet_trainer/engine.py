"""The training loop.

A step's outcome depends on the weights before it, the seed and the step's number only, so a run that goes
on from any step ends in the same bits as one that never stopped (on a CPU with the same threads and
processes).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from detectnet.learning_rate import solver_rate
from detectnet.plan import make_plan
from detectnet_trainer.batches import Batch, BatchMaker
from detectnet_trainer.dataset import Split
from detectnet_trainer.losses import detectnet_losses, total_loss
from detectnet_trainer.model import DetectNet
from detectnet_trainer.solver import make_solver, set_learning_rate
from detectnet_trainer.world import World

MAX_WORKERS = 16
_STEP_PRIME, _RANK_PRIME = 1_000_003, 998_244_353


class NotFinite(FloatingPointError):
    """A loss is no longer a number; the text says which, and what to do."""


class TooLarge(ValueError):
    """The device's memory does not hold one picture's training step."""


@dataclass(frozen=True)
class StepReport:
    """One training step."""

    step: int
    epoch: float
    learning_rate: float
    loss_bbox: float
    loss_coverage: float
    images_per_second: float


class Trainer:
    """Model, solver and position; ``run`` goes on from ``step``."""

    def __init__(
        self,
        model: DetectNet,
        maker: BatchMaker,
        training: Mapping[str, Any],
        device: torch.device,
        world: World | None = None,
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub
        self.plan = make_plan(len(maker.split), training)
        self.solver = make_solver(
            model, training["solver"], training["weight_decay"], training["bbox_lr_mult"]
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=training["precision"] == "fp16")
        """Lifts gradients into the range that float16 has; does nothing in other precisions."""
        self.step = 0
        self.world = world or World()
        self.piece_images: int = training["batch_size"]
        """Images computed at once; halved when the device's memory is too small, which changes no sum."""
        self._maker = maker
        self._training = training
        self._device = device
        # A CPU computes far slower than one thread can prepare; a GPU needs what the processors give.
        self._workers = min(os.cpu_count() or 1, MAX_WORKERS) if device.type == "cuda" else 1
        self._rate = solver_rate(training["lr_policy"], training["learning_rate"], self.plan.max_step)

    @property
    def mean(self) -> npt.NDArray[np.float32] | None:
        """What is subtracted from every picture; see BatchMaker."""
        return self._maker.mean

    @property
    def split(self) -> Split:
        """The pictures that are trained on."""
        return self._maker.split

    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self._rate(self.step)

    def run(self, after_step: Callable[[StepReport], bool]) -> None:
        """Train until the plan's end, or until ``after_step`` returns False.

        Raises:
            NotFinite: a loss is no number any more.
        """
        self.model.train()
        while self.step < self.plan.max_step:
            epoch, done = divmod(self.step, self.plan.steps_per_epoch)
            accumulation = self._training["batch_accumulation"]
            effective = self._training["batch_size"] * accumulation
            micro = [
                self.world.share(part)
                for indices in self._maker.epoch_indices(epoch, effective)[done:]
                for part in indices.reshape(accumulation, -1)
            ]
            with contextlib.closing(self._maker.prefetch(epoch, micro, self._workers)) as batches:
                while self.step < (epoch + 1) * self.plan.steps_per_epoch:
                    started = time.monotonic()
                    report = self._take_step([next(batches) for _ in range(accumulation)], started)
                    if not after_step(report):
                        return

    def _take_step(self, batches: list[Batch | None], started: float) -> StepReport:
        rate = self.learning_rate()
        set_learning_rate(self.solver, rate)
        bbox, cover = self.world.sum(self._accumulate(batches), self._device)
        self.require_finite(bbox, cover)
        self.world.sum_gradients(self.model.parameters())
        self._change_weights()
        self.step += 1
        images = len(batches) * self._training["batch_size"]
        seconds = max(time.monotonic() - started, 1e-9)
        return StepReport(self.step, self.plan.epoch_of(self.step), rate, bbox, cover, images / seconds)

    def _change_weights(self) -> None:
        """One step of the solver; with float16 none where a gradient went beyond its range."""
        self.scaler.unscale_(self.solver)
        if (limit := self._training.get("clip_gradients")) is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.scaler.step(self.solver)
        self.scaler.update()

    def _accumulate(self, batches: list[Batch | None]) -> tuple[float, float]:
        """Gradients and both losses of this process's share; in smaller pieces where memory is short."""
        while True:
            # Dropout's draws belong to the step and the process, so nothing of the generator need be saved.
            torch.manual_seed(
                self._training["seed"] * _STEP_PRIME + self.step + self.world.rank * _RANK_PRIME
            )
            self.solver.zero_grad(set_to_none=True)
            bbox = cover = 0.0
            try:
                for batch in batches:
                    for piece in _pieces(batch, self.piece_images):
                        losses = self._forward_backward(piece, len(batches))
                        bbox += losses[0]
                        cover += losses[1]
            except torch.OutOfMemoryError:
                self._halve_pieces()
            else:
                return bbox, cover

    def _halve_pieces(self) -> None:
        if self.piece_images == 1:
            raise TooLarge(
                "not even one picture fits into the device's memory; choose a smaller network input"
            )
        self.piece_images = -(-self.piece_images // 2)
        torch.cuda.empty_cache()
        effective = self._training["batch_size"] * self._training["batch_accumulation"]
        print(
            "WARNING: the device's memory is too small for the batch; from here on it is computed in pieces "
            f"of {self.piece_images}, and the effective batch stays {effective}",
            file=sys.stderr,
            flush=True,
        )

    def _forward_backward(self, batch: Batch, parts: int) -> tuple[float, float]:
        """Both losses of this process's share, as its part of the whole step's."""
        images = batch.images.to(self._device, memory_format=torch.channels_last, non_blocking=True)
        targets = batch.targets.to(self._device, non_blocking=True)
        precision = self._training["precision"]
        kind = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(self._device.type, kind, enabled=precision != "fp32"):
            coverage, bboxes = self.model(images)
        loss_bbox, loss_coverage = detectnet_losses(coverage, bboxes, targets)
        part = len(images) / (self._training["batch_size"] * parts)
        self.scaler.scale(total_loss(loss_bbox, loss_coverage) * part).backward()
        return part * float(loss_bbox.detach()), part * float(loss_coverage.detach())

    def require_finite(self, bbox: float, cover: float) -> None:
        """Raise NotFinite when a loss, of training or of validation, is no number."""
        if math.isfinite(bbox) and math.isfinite(cover):
            return
        rate = self._training["learning_rate"]
        raise NotFinite(
            f"the loss is no number any more at step {self.step} (loss_bbox {bbox}, loss_coverage {cover}); "
            f"lower the learning rate {rate:g}, for example to {rate / 3:.1g}"
        )


def _pieces(batch: Batch | None, images: int) -> Iterator[Batch]:
    if batch is not None:
        for start in range(0, len(batch.images), images):
            stop = start + images
            yield Batch(batch.images[start:stop], batch.targets[start:stop])
