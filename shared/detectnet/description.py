"""A prototxt in words and numbers: layers, output shapes, parameters."""

from __future__ import annotations

import math
from typing import Any

from detectnet import network
from detectnet.memory import parameter_count
from detectnet.network_import import import_network
from detectnet.sizes import require_grid_size

KINDS: dict[type, str] = {
    network.Convolution: "Convolution",
    network.Pooling: "Pooling",
    network.Normalisation: "LRN",
    network.Concatenation: "Concat",
    network.Shift: "Power",
    network.Dropout: "Dropout",
    network.Sigmoid: "Sigmoid",
}


def describe_network(text: str, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """What ``detectnet describe`` prints; ``size`` (width, height) counts where the file says none.

    Raises PrototxtError, and IllegalSize where the sides are no multiples of 16.
    """
    found = import_network(text)
    width, height = found.size or size or (0, 0)
    require_grid_size(width, height)
    shapes = network.layer_shapes(width, height, found.classes)
    by_name = network.parameter_shapes(found.classes)
    layers = [
        {
            "name": layer.name,
            "type": KINDS[type(layer)],
            "shape": [1, *shape],
            "parameters": sum(
                math.prod(by_name.get(f"{layer.name}.{part}", (0,))) for part in ("weight", "bias")
            ),
        }
        for layer, shape in shapes
    ]
    tops = {layer.top: [1, *shape] for layer, shape in shapes}
    return {
        "input": [1, 3, height, width],
        "classes": found.classes,
        "convolutions": len(network.convolutions(found.classes)),
        "parameters": parameter_count(found.classes),
        "outputs": {name: tops[name] for name in (network.COVERAGE, network.BBOXES)},
        "options": found.options(),
        "layers": layers,
    }


def description_text(described: dict[str, Any]) -> str:
    """The same as a table for people."""
    rows = [
        f"{layer['name']:<28} {layer['type']:<12} {'x'.join(map(str, layer['shape'])):<16} "
        f"{layer['parameters']:>9,}"
        for layer in described["layers"]
    ]
    outputs = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in described["outputs"].items())
    total = (
        f"{described['convolutions']} convolutions, {described['parameters']:,} parameters; "
        f"input {'x'.join(map(str, described['input']))}; {outputs}"
    )
    return "\n".join([*rows, total])
