from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from detectnet import network
from detectnet_trainer.initialise import initialise
from detectnet_trainer.model import DetectNet, weights_of


def images() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255


def initialised(method: str, seed: int = 0) -> DetectNet:
    model = DetectNet(2)
    initialise(model, method, images(), seed)
    return model


def test_lsuv_gives_every_convolution_unit_output() -> None:
    model = initialised("lsuv").eval()
    deviations: dict[str, float] = {}
    for layer in network.convolutions(2):
        module = model.convolutions[layer.name]

        def note(_module: nn.Module, _inputs: object, output: torch.Tensor, name: str = layer.name) -> None:
            deviations[name] = output.std().item()

        module.register_forward_hook(note)
    with torch.no_grad():
        model(images())
    backbone = {name: value for name, value in deviations.items() if name != network.COVERAGE_HEAD}

    assert len(backbone) == 58
    assert all(value == pytest.approx(1, abs=0.05) for value in backbone.values()), backbone


def test_lsuv_starts_the_coverage_at_5_percent_everywhere() -> None:
    with torch.no_grad():
        coverage, _ = initialised("lsuv").eval()(images())

    assert coverage.mean().item() == pytest.approx(1 / (1 + math.exp(3)), abs=0.01)
    assert coverage.std() < 0.01


def test_xavier_fills_as_the_published_network_file_asks() -> None:
    weights = weights_of(initialised("xavier"))
    limit = math.sqrt(3 / (96 * 9))

    assert abs(weights["inception_3a/3x3.weight"]).max() == pytest.approx(limit, rel=0.01)
    assert weights["inception_3a/3x3.bias"] == pytest.approx(0.2)
    assert not weights["bbox/regressor.bias"].any()


def test_first_weights_depend_on_the_seed_only() -> None:
    first, again, other = (weights_of(initialised("lsuv", seed)) for seed in (3, 3, 4))

    assert all((first[name] == again[name]).all() for name in first)
    assert (first["conv1/7x7_s2.weight"] != other["conv1/7x7_s2.weight"]).any()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="lsuv"):
        initialise(DetectNet(1), "magic", images(), 0)
