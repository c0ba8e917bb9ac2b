"""Everything a training needs to go on bit for bit, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from detectnet_trainer.engine import Trainer


class BadCheckpoint(ValueError):
    """The file is damaged, or belongs to another training."""


def save_checkpoint(trainer: Trainer, training: dict[str, Any], path: Path) -> None:
    """Write the file whole or not at all."""
    state = {
        "step": trainer.step,
        "model": trainer.model.state_dict(),
        "solver": trainer.solver.state_dict(),
        "training": training,
    }
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load_checkpoint(trainer: Trainer, training: dict[str, Any], path: Path) -> None:
    """Take up where the checkpoint was made.

    Raises:
        BadCheckpoint: the file cannot be read, or was made with other options.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error}") from error
    differing = sorted(name for name in training if state["training"].get(name) != training[name])
    if differing:
        raise BadCheckpoint(f"{path.name} was made with another {', '.join(differing)}")
    trainer.model.load_state_dict(state["model"])
    trainer.solver.load_state_dict(state["solver"])
    trainer.step = int(state["step"])
