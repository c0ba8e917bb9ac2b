"""DetectNet as a PyTorch module, built from the layer table that the exporters use too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from detectnet import network
from detectnet_trainer.normalise import normalise

FloatArray = npt.NDArray[np.float32]


class DetectNet(nn.Module):
    """From pictures B,G,R 0-255 to coverage and boxes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self._layers = network.layers(classes)
        self.convolutions = nn.ModuleDict(
            {
                layer.name: nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.pad)
                for layer in network.convolutions(classes)
            }
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coverage float32 [N,C,GH,GW] in 0-1 and boxes float32 [N,4,GH,GW] from float32 [N,3,H,W].

        Boxes are corners relative to the cell's top-left corner, in pixels of the input.
        """
        blobs = self.blobs(images)
        return blobs[network.COVERAGE], blobs[network.BBOXES].float()

    def blobs(self, images: Tensor) -> dict[str, Tensor]:
        """Every layer's output under Caffe's name; a convolution's is its ReLU's, which works in place."""
        blobs = {network.INPUT: images}
        for layer in self._layers:
            match layer:
                case network.Concatenation(_, bottoms, top):
                    blobs[top] = torch.cat([blobs[bottom] for bottom in bottoms], dim=1)
                case network.Dropout(_, bottom, top):
                    blobs[top] = functional.dropout(
                        blobs[bottom], network.DROPOUT_RATIO, training=self.training
                    )
                case _:
                    blobs[layer.top] = self._step(layer, blobs[layer.bottom])
        return blobs

    def weight_and_bias(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """A convolution's parameters: [out,in,kh,kw] and [out]."""
        prefix = f"convolutions.{layer}"
        return self.get_parameter(f"{prefix}.weight"), self.get_parameter(f"{prefix}.bias")

    def _step(self, layer: network.Layer, below: Tensor) -> Tensor:
        match layer:
            case network.Convolution(name=name, relu=relu):
                result: Tensor = self.convolutions[name](below)
                return functional.relu(result) if relu is not None else result
            case network.Pooling(kernel=kernel, stride=stride, pad=pad):
                return functional.max_pool2d(below, kernel, stride, pad, ceil_mode=True)
            case network.Normalisation():
                return normalise(below)
            case network.Shift():
                return below - network.MEAN_PIXEL
            case network.Sigmoid():
                # In full precision: the loss of a sure cell lives in the last digits.
                return torch.sigmoid(below.float())
            case _:
                raise TypeError(f"{layer.name} has more than one input")


def weights_of(model: DetectNet) -> dict[str, FloatArray]:
    """All parameters under Caffe's names: ``<layer>.weight`` [out,in,kh,kw] and ``<layer>.bias``."""
    return {
        name.removeprefix("convolutions."): np.ascontiguousarray(value.detach().cpu().float().numpy())
        for name, value in model.state_dict().items()
    }


def load_weights(model: DetectNet, weights: Mapping[str, FloatArray]) -> list[str]:
    """Copy parameters by name, as Caffe does; return the names that were not given and keep their values.

    Raises:
        ValueError: a parameter of the same name has another shape.
    """
    missing = []
    with torch.no_grad():
        for name, value in model.state_dict().items():
            given = weights.get(name.removeprefix("convolutions."))
            if given is None:
                missing.append(name.removeprefix("convolutions."))
                continue
            if tuple(given.shape) != tuple(value.shape):
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, the file {tuple(given.shape)}")
            value.copy_(torch.from_numpy(np.array(given, np.float32)))
    return missing
