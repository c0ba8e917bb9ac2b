"""The options of a training job, with their limits; the values of what is left out stand in the recipes.

Learning-rate policies count in percent of training.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from periscope.wire.base import RequestModel

MAX_SIDE = 4096
"""Largest network input per side, in pixels."""

Ratio = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(gt=0, lt=100)]


class InputSize(RequestModel):
    """The network's input in pixels; both sides multiples of 16."""

    width: int = Field(ge=16, le=MAX_SIDE)
    height: int = Field(ge=16, le=MAX_SIDE)


class FixedRate(RequestModel):
    """The rate never changes."""

    name: Literal["fixed"]


class StepRate(RequestModel):
    """Times ``gamma`` after each ``step`` percent of training."""

    name: Literal["step"]
    step: Percent = 33.0
    gamma: Positive = 0.1


class MultistepRate(RequestModel):
    """Times ``gamma`` at each of ``values``, in percent of training."""

    name: Literal["multistep"]
    values: list[Percent] = Field(default=[50.0, 85.0], min_length=1, max_length=100)
    gamma: Positive = 0.5


class ExponentialRate(RequestModel):
    """Times ``gamma`` for each percent of training."""

    name: Literal["exp"]
    gamma: Positive = 0.95


class InverseRate(RequestModel):
    """Times (1 + gamma * percent) ** -power."""

    name: Literal["inv"]
    gamma: Positive = 0.1
    power: Positive = 0.5


class PolynomialRate(RequestModel):
    """Times (1 - percent / 100) ** power."""

    name: Literal["poly"]
    power: Positive = 3.0


class SigmoidRate(RequestModel):
    """Times 1 / (1 + exp(gamma * (percent - step)))."""

    name: Literal["sigmoid"]
    step: Percent = 50.0
    gamma: Positive = 0.1


RatePolicy = Annotated[
    FixedRate | StepRate | MultistepRate | ExponentialRate | InverseRate | PolynomialRate | SigmoidRate,
    Field(discriminator="name"),
]


class Augmentation(RequestModel):
    """Random changes of training images; what is left out has the published network file's value."""

    crop_prob: Ratio | None = None
    shift_x: int | None = Field(None, ge=0, le=MAX_SIDE, description="Pixels")
    shift_y: int | None = Field(None, ge=0, le=MAX_SIDE, description="Pixels")
    flip_prob: Ratio | None = None
    rotation_prob: Ratio | None = None
    max_rotate_degree: float | None = Field(None, ge=0, le=180)
    scale_prob: Ratio | None = None
    scale_min: float | None = Field(None, gt=0, le=10)
    scale_max: float | None = Field(None, gt=0, le=10)
    hue_rotation_prob: Ratio | None = None
    hue_rotation: float | None = Field(None, ge=0, le=180, description="Degrees")
    desaturation_prob: Ratio | None = None
    desaturation_max: Ratio | None = None


class TrainingOptions(RequestModel):
    """Options over the recipe's; what is left out has the recipe's value."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    batch_size: int | None = Field(None, ge=1, le=4096)
    batch_accumulation: int | None = Field(
        None, ge=1, le=1024, description="Batches whose gradients are averaged before each step"
    )
    solver: Literal["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"] | None = None
    learning_rate: Positive | None = None
    lr_policy: RatePolicy | None = None
    bbox_lr_mult: Positive | None = Field(
        None, description="How much faster than the rest of the network the box head learns"
    )
    weight_decay: NotNegative | None = Field(None, description="Default: a hundredth of the learning rate")
    initialisation: Literal["lsuv", "xavier"] | None = None
    subtract_mean: Literal["none", "image", "pixel"] | None = Field(
        None,
        description="A mean of the training pictures to subtract besides the network's own 127; "
        "DetectNet's recipes ask for none, and with image no model for a robot can be published",
    )
    clip_gradients: Positive | None = Field(
        None, description="Largest L2 norm of all gradients together; larger ones are scaled down to it"
    )
    augmentation: Augmentation | None = Field(None, description="null switches it off")
    precision: Literal["bf16", "fp16", "fp32"] | None = Field(
        None, description="What the training step computes in; without a device that is fast at it: fp32"
    )
    seed: int | None = Field(None, ge=0, lt=2**31)
    threads: int | None = Field(None, ge=1, le=256, description="Default: the machine's processors")
    validation_interval_epochs: Positive | None = None
    val_batch_size: int | None = Field(
        None, ge=1, le=4096, description="Batch over which digits_map averages"
    )
