"""Sets up one training from its options: threads, device, precision, first weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from detectnet import means
from detectnet_trainer.arithmetic import use_exact_arithmetic
from detectnet_trainer.augment import Augmentation
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.dataset import Split
from detectnet_trainer.engine import Trainer
from detectnet_trainer.export import network_input
from detectnet_trainer.initialise import initialise
from detectnet_trainer.model import DetectNet
from detectnet_trainer.pretrained import fitting, read_weights
from detectnet_trainer.world import World

INITIAL_IMAGES = 6
"""Pictures on which LSUV measures the layers' outputs."""


@dataclass
class Session:
    """A training that is ready to run."""

    trainer: Trainer
    validation: BatchMaker
    names: tuple[str, ...]
    training: dict[str, Any]
    """The options as they are carried out; a checkpoint keeps them."""
    device: torch.device
    warnings: list[str]
    notes: list[str] = field(default_factory=list)
    """What else people want to read in the log."""
    pretrained: bool = False
    """Whether the first weights are another network's."""


def start_session(
    train: Split,
    validation: Split,
    names: tuple[str, ...],
    training: Mapping[str, Any],
    world: World | None = None,
    weights: bytes | None = None,
) -> Session:
    """Make model, solver and batches; the first weights depend on the seed only.

    With a ``world`` of several processes each trains on its share of every batch. ``weights`` is the file of
    a pretrained network to begin with.

    Raises:
        BadData: ``weights`` cannot be read or belong to another network.
        ValueError: an option has a value that does not exist.
    """
    torch.set_num_threads(training["threads"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    use_exact_arithmetic()
    world = world or World()
    carried_out, warnings = _within_capability(dict(training) | {"ranks": world.size}, device)
    options = training["augmentation"]
    augmentation = None if options is None else Augmentation.of_options(options)
    kind = training.get("subtract_mean", "none")
    if (mean := means.mean_of(train.images, kind)) is not None:
        warnings.append(means.WARNING.format(kind=kind))
    maker = BatchMaker(train, len(names), augmentation, training["seed"], mean)
    model = DetectNet(len(names))
    first = torch.from_numpy(network_input(train.images[:INITIAL_IMAGES], mean))
    pretrained, told = ({}, []) if weights is None else fitting(read_weights(weights), len(names))
    initialise(model, training["initialisation"], first, training["seed"], pretrained)
    trainer = Trainer(model, maker, carried_out, device, world)
    plain = BatchMaker(validation, len(names), None, training["seed"], mean)
    return Session(trainer, plain, names, carried_out, device, warnings, told, bool(pretrained))


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by itself rather than by emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))


def _within_capability(training: dict[str, Any], device: torch.device) -> tuple[dict[str, Any], list[str]]:
    wanted, is_gpu = training["precision"], device.type == "cuda"
    if wanted == "bf16" and not bf16_is_fast(device):
        instead = "fp16" if is_gpu else "fp32"
        warning = f"this device has no fast bfloat16; training goes on in {instead}"
        return training | {"precision": instead}, [warning]
    if wanted == "fp16" and not is_gpu:
        return training | {"precision": "fp32"}, ["float16 is for GPUs; training goes on in fp32"]
    return training, []
