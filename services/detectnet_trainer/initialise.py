"""First weights. From random ones, Caffe's fillers tend to end at zero coverage everywhere; LSUV does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from detectnet import network
from detectnet_trainer.model import DetectNet, load_weights

FloatArray = npt.NDArray[np.float32]

COVERAGE_WEIGHT_STD = 1e-3
COVERAGE_BIAS = -3.0
"""The coverage head begins at 5 % everywhere, so that the many empty cells do not saturate the sigmoid."""


def initialise(
    model: DetectNet,
    method: str,
    images: Tensor,
    seed: int,
    pretrained: Mapping[str, FloatArray] | None = None,
) -> None:
    """Fill all parameters by ``xavier`` or ``lsuv``. ``images`` float32 [N,3,H,W], 0-255, serve LSUV.

    ``pretrained`` parameters are taken as they are; LSUV then scales the other layers behind them.

    Raises:
        ValueError: there is no such method.
    """
    generator = torch.Generator().manual_seed(seed)
    _fill_as_caffe(model, generator)
    given = {name.rpartition(".")[0] for name in pretrained or {}}
    load_weights(model, pretrained or {})
    if method == "lsuv":
        _scale_to_unit_output(model, images, given)
        if network.COVERAGE_HEAD not in given:
            weight, bias = model.weight_and_bias(network.COVERAGE_HEAD)
            with torch.no_grad():
                weight.normal_(0, COVERAGE_WEIGHT_STD, generator=generator)
                bias.fill_(COVERAGE_BIAS)
    elif method != "xavier":
        raise ValueError(f"there is no initialisation {method!r}; there are xavier and lsuv")


def _fill_as_caffe(model: DetectNet, generator: torch.Generator) -> None:
    """Weights uniform within sqrt(3 / fan_in), biases constant: the published network file's fillers."""
    with torch.no_grad():
        for layer in network.convolutions(model.classes):
            weight, bias = model.weight_and_bias(layer.name)
            limit = math.sqrt(3 / (layer.inputs * layer.kernel**2))
            weight.uniform_(-limit, limit, generator=generator)
            bias.fill_(layer.bias_value)


def _scale_to_unit_output(model: DetectNet, images: Tensor, given: Set[str]) -> None:
    """Layer-sequential unit variance: each convolution's output gets standard deviation 1 on the images."""

    def scaler(weight: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def scale(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            deviation = output.std().clamp_min(1e-8)
            weight.div_(deviation)
            return output / deviation

        return scale

    training = model.training
    model.eval()
    hooks = []
    with torch.no_grad():
        for layer in network.convolutions(model.classes):
            if layer.name in given:
                continue
            weight, bias = model.weight_and_bias(layer.name)
            bias.zero_()
            hooks.append(model.convolutions[layer.name].register_forward_hook(scaler(weight)))
        # One pass does it: each hook mends its layer before the next one sees the output.
        model(images)
    for hook in hooks:
        hook.remove()
    model.train(training)
