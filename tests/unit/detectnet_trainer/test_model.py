from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from detectnet import network
from detectnet_trainer.model import DetectNet, load_weights, weights_of
from detectnet_trainer.normalise import normalise

CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 48), (48, 112)])
def test_the_outputs_have_a_cell_for_every_16_pixels(width: int, height: int) -> None:
    model = DetectNet(3).eval()
    coverage, bboxes = model(torch.rand(2, 3, height, width) * 255)

    assert coverage.shape == (2, 3, height // 16, width // 16)
    assert bboxes.shape == (2, 4, height // 16, width // 16)
    assert coverage.dtype == bboxes.dtype == torch.float32
    assert coverage.min() > 0
    assert coverage.max() < 1


def test_it_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in DetectNet(1).parameters()) == 5_978_677


def test_weights_have_the_names_and_shapes_of_the_layer_table() -> None:
    shapes = {name: value.shape for name, value in weights_of(DetectNet(2)).items()}

    assert shapes == network.parameter_shapes(2)


def test_weights_survive_the_way_to_arrays_and_back() -> None:
    first, second = DetectNet(2).eval(), DetectNet(2).eval()
    images = torch.rand(1, 3, 64, 64) * 255

    assert load_weights(second, weights_of(first)) == []
    assert torch.equal(first(images)[1], second(images)[1])


def test_weights_are_copied_by_name_and_the_missing_ones_are_told() -> None:
    model = DetectNet(2)
    weights = weights_of(model)
    del weights["cvg/classifier.bias"]

    assert load_weights(model, weights) == ["cvg/classifier.bias"]


def test_a_weight_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="cvg/classifier"):
        load_weights(DetectNet(3), weights_of(DetectNet(2)))


def test_normalisation_equals_torchs_own() -> None:
    below = torch.randn(2, 12, 5, 7, dtype=torch.float64) * 40
    expected = functional.local_response_norm(below, 5, alpha=1e-4, beta=0.75, k=1.0)

    np.testing.assert_allclose(normalise(below).numpy(), expected.numpy(), rtol=1e-12)


def test_normalisations_gradient_is_that_of_its_formula() -> None:
    below = (torch.randn(1, 7, 2, 3, dtype=torch.float64) * 60).requires_grad_()

    assert torch.autograd.gradcheck(normalise, (below,))


def test_the_training_pass_under_bfloat16_stays_near_full_precision() -> None:
    torch.manual_seed(0)
    model = DetectNet(1).eval().to(memory_format=CHANNELS_LAST)
    images = (torch.rand(1, 3, 64, 64) * 255).to(memory_format=CHANNELS_LAST)
    with torch.no_grad():
        exact = model(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(images)

    assert rounded[0].dtype == rounded[1].dtype == torch.float32
    assert (rounded[0] - exact[0]).abs().max() < 0.05
