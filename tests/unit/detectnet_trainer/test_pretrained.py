"""torchvision's own modules say what its weights compute; Caffe files are taken by name."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from detectnet import network
from detectnet.caffemodel import CaffeLayer, write_caffemodel
from detectnet.samples import BadData
from detectnet_trainer.initialise import initialise
from detectnet_trainer.model import DetectNet, load_weights, weights_of
from detectnet_trainer.pretrained import fitting, fold_googlenet, read_weights

pytestmark = pytest.mark.slow

BRANCHES = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
NAMES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    """torchvision's network with random weights and random statistics in its batch norms."""
    from torchvision.models import googlenet as build

    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(weights=None, init_weights=False, aux_logits=False, transform_input=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def ours(weights: dict[str, Any], name: str, given: torch.Tensor) -> torch.Tensor:
    conv = next(layer for layer in network.convolutions(1) if layer.name == name)
    weight, bias = (torch.from_numpy(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return torch.relu(nn.functional.conv2d(given, weight, bias, conv.stride, conv.pad))


def test_57_layers_compute_what_torchvisions_do(googlenet: nn.Module) -> None:
    weights = fold_googlenet(googlenet.state_dict())
    pairs = {"conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3"} | {
        f"inception{module.name}.{branch}": f"inception_{module.name}/{name}"
        for module in network.MODULES
        for branch, name in zip(BRANCHES, NAMES, strict=True)
    }
    assert len(weights) == 2 * (len(pairs) + 1) == 2 * 57
    with torch.inference_mode():
        for theirs, name in pairs.items():
            module = googlenet.get_submodule(theirs)
            given = torch.randn(1, module.conv.in_channels, 9, 9)
            torch.testing.assert_close(ours(weights, name, given), module(given), atol=2e-5, rtol=1e-4)


def test_the_first_layer_sees_the_same_picture_away_from_the_border(googlenet: nn.Module) -> None:
    weights = fold_googlenet(googlenet.state_dict())
    picture = torch.randint(0, 256, (1, 3, 32, 32)).float()  # B,G,R
    with torch.inference_mode():
        normalised = picture.flip(1) / 255
        for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
            normalised[:, channel] = (normalised[:, channel] - mean) / std
        theirs = googlenet.conv1(googlenet._transform_input(normalised))
        found = ours(weights, "conv1/7x7_s2", picture - 127)

    torch.testing.assert_close(found[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-4, rtol=1e-3)


def test_a_torch_file_is_recognised_and_nothing_in_it_is_run(googlenet: nn.Module) -> None:
    file = io.BytesIO()
    torch.save(googlenet.state_dict(), file)
    assert len(read_weights(file.getvalue())) == 114

    class Evil:
        def __reduce__(self) -> Any:
            return print, ("run",)

    evil = io.BytesIO()
    torch.save({"conv1.conv.weight": Evil()}, evil)
    with pytest.raises(BadData, match="cannot be read"):
        read_weights(evil.getvalue())
    other = io.BytesIO()
    torch.save({"fc.weight": torch.zeros(2)}, other)
    with pytest.raises(BadData, match="conv1"):
        read_weights(other.getvalue())


def caffe_file(*layers: tuple[str, tuple[int, ...]]) -> bytes:
    rng = np.random.default_rng(0)
    return write_caffemodel(
        [
            CaffeLayer(
                name,
                "Convolution",
                (),
                (),
                (
                    rng.normal(size=shape).astype(np.float32),
                    rng.normal(size=(1, 1, 1, shape[0])).astype(np.float32),
                ),
            )
            for name, shape in layers
        ]
    )


def test_layers_of_a_caffe_file_are_taken_by_name_and_others_keep_their_first_values() -> None:
    content = caffe_file(("conv1/7x7_s2", (64, 3, 7, 7)), ("loss3/classifier", (1000, 1024, 1, 1)))
    taken, told = fitting(read_weights(content), 2)
    images = torch.rand(2, 3, 64, 64) * 255
    plain, begun = DetectNet(2), DetectNet(2)
    initialise(plain, "xavier", images, 3)
    initialise(begun, "xavier", images, 3, taken)

    assert set(taken) == {"conv1/7x7_s2.weight", "conv1/7x7_s2.bias"}
    assert told == ["1 of 59 layers begin with pretrained weights"]
    for name, value in weights_of(begun).items():
        expected = taken[name] if name in taken else weights_of(plain)[name]
        np.testing.assert_array_equal(value, expected)


def test_lsuv_leaves_pretrained_layers_alone_and_scales_those_behind_them() -> None:
    taken, _ = fitting(read_weights(caffe_file(("conv1/7x7_s2", (64, 3, 7, 7)))), 1)
    images, model = torch.rand(2, 3, 64, 64) * 255, DetectNet(1)
    initialise(model, "lsuv", images, 3, taken)

    found = weights_of(model)
    np.testing.assert_array_equal(found["conv1/7x7_s2.weight"], taken["conv1/7x7_s2.weight"])
    deviations = []
    hook = model.convolutions["conv2/3x3_reduce"].register_forward_hook(
        lambda _module, _given, output: deviations.append(float(output.std()))
    )
    with torch.no_grad():
        model.eval()(images)
    hook.remove()
    assert deviations == [pytest.approx(1.0, abs=0.02)]
    assert (found[f"{network.COVERAGE_HEAD}.bias"] == -3).all()


def test_heads_for_other_classes_are_left_out_aloud_and_another_backbone_is_refused() -> None:
    other_heads = caffe_file(("conv1/7x7_s2", (64, 3, 7, 7)), (network.COVERAGE_HEAD, (3, 1024, 1, 1)))
    taken, told = fitting(read_weights(other_heads), 2)
    assert network.COVERAGE_HEAD + ".weight" not in taken
    assert any("3 outputs" in line for line in told)

    with pytest.raises(BadData, match=r"conv1/7x7_s2.weight .* \(64, 1, 7, 7\)"):
        fitting(read_weights(caffe_file(("conv1/7x7_s2", (64, 1, 7, 7)))), 1)
    with pytest.raises(BadData, match="no layer"):
        fitting(read_weights(caffe_file(("fc6", (2, 2, 1, 1)))), 1)
    with pytest.raises(BadData, match="cannot be read"):
        read_weights(b"nothing of the kind")


def test_an_epoch_of_an_earlier_job_gives_every_layer() -> None:
    from detectnet.caffemodel import detectnet_layers

    model = DetectNet(2)
    initialise(model, "xavier", torch.zeros(1, 3, 64, 64), 9)
    content = write_caffemodel(detectnet_layers(weights_of(model), 2))
    taken, told = fitting(read_weights(content), 2)
    again = DetectNet(2)

    assert load_weights(again, taken) == []
    assert told == ["59 of 59 layers begin with pretrained weights"]
    assert all((weights_of(again)[name] == value).all() for name, value in weights_of(model).items())
