"""Everything a training needs to go on bit for bit, as one file's content."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detectnet_trainer.engine import Trainer
from detectnet_trainer.model import DetectNet

PARTS = ("step", "classes", "model", "solver", "training")
OF_THE_MACHINE = ("precision", "ranks")
"""Options that the machine decides in the end."""
ADDED_SINCE = {"subtract_mean": "none", "clip_gradients": None}
"""What options that earlier checkpoints do not name were then."""


class BadCheckpoint(ValueError):
    """The file is damaged, or belongs to another training."""


def dump_checkpoint(trainer: Trainer, training: Mapping[str, Any]) -> bytes:
    """Weights, solver state, position and the options that all of it depends on.

    There is no random generator's state in it: whatever is drawn depends on the seed and the step's number.
    """
    state = {
        "step": trainer.step,
        "classes": trainer.model.classes,
        "model": trainer.model.state_dict(),
        "solver": trainer.solver.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "training": dict(training),
        "mean": None if trainer.mean is None else torch.from_numpy(trainer.mean),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def restore_checkpoint(trainer: Trainer, training: Mapping[str, Any], content: bytes) -> list[str]:
    """Take up where the checkpoint was made; return warnings.

    Another precision or number of processes, as another machine may give, is such a warning: the training
    goes on well, but no longer bit for bit.

    Raises:
        BadCheckpoint: the content cannot be read, or was made with other options.
    """
    state = _read(content)
    earlier = ADDED_SINCE | state["training"]
    differing = sorted(name for name in training if earlier.get(name) != training[name])
    warnings = [
        f"this machine goes on with {name} {training[name]}; until here it was {earlier.get(name)}"
        for name in differing
        if name in OF_THE_MACHINE
    ]
    differing = [name for name in differing if name not in OF_THE_MACHINE]
    if differing:
        raise BadCheckpoint(f"the checkpoint was made with another {', '.join(differing)}")
    _require_our_solver(trainer, state["solver"])
    try:
        trainer.model.load_state_dict(state["model"])
        trainer.solver.load_state_dict(state["solver"])
        trainer.scaler.load_state_dict(state.get("scaler") or {})
    except (RuntimeError, ValueError, KeyError) as error:
        raise BadCheckpoint(f"the checkpoint belongs to another network or solver: {error}") from error
    trainer.step = int(state["step"])
    return warnings


def _require_our_solver(trainer: Trainer, state: Mapping[str, Any]) -> None:
    # PyTorch takes over whatever a group holds, and misses the rest at the next step only.
    for ours, kept in zip(trainer.solver.param_groups, state.get("param_groups", []), strict=False):
        if missing := ours.keys() - kept.keys():
            raise BadCheckpoint(
                "the checkpoint is of an older program, whose solver did not keep "
                f"{', '.join(sorted(missing))}; begin a new training with its last epoch as `pretrained`"
            )


def model_of_checkpoint(content: bytes) -> tuple[DetectNet, int, npt.NDArray[np.float32] | None]:
    """A checkpoint's network, step and subtracted mean, for exporting. Raises BadCheckpoint."""
    state = _read(content)
    model = DetectNet(int(state["classes"]))
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise BadCheckpoint(f"the checkpoint holds another network: {error}") from error
    mean = state.get("mean")
    return model.eval(), int(state["step"]), None if mean is None else mean.numpy()


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and have it on the disk on return."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(content: bytes) -> dict[str, Any]:
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # The library's own text is long, and advises to read the file without its safeguards.
        raise BadCheckpoint("the checkpoint cannot be read; is it cut off, or another program's?") from error
    if not isinstance(state, dict) or any(part not in state for part in PARTS):
        raise BadCheckpoint("the checkpoint is not one of this program")
    return state
