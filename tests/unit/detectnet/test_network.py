from __future__ import annotations

import re
from pathlib import Path

import pytest

from detectnet import network
from detectnet.prototxt import Message, deploy_prototxt, parse_prototxt
from detectnet.training_prototxt import train_val_prototxt

PAGE = Path(__file__).resolve().parents[4] / "shared" / "seed" / "000_3a746ae913da162e.txt"
"""A how-to page with the published network file in it; beside the checkout on some machines."""

PARAMETERS = 5_978_677
TRAINING = {
    "batch_size": 10,
    "val_batch_size": 6,
    "augmentation": {
        "crop_prob": 1, "shift_x": 32, "shift_y": 32, "flip_prob": 0.5, "rotation_prob": 0,
        "max_rotate_degree": 5, "scale_prob": 0.4, "scale_min": 0.8, "scale_max": 1.2,
        "hue_rotation_prob": 0.8, "hue_rotation": 30, "desaturation_prob": 0.8, "desaturation_max": 0.8,
    },
}  # fmt: skip

# Rows worked out from the GoogLeNet table: name, bottom, inputs, outputs, kernel, stride, pad.
SOME_CONVOLUTIONS = [
    ("conv1/7x7_s2", "transformed_data", 3, 64, 7, 2, 3),
    ("conv2/3x3_reduce", "pool1/norm1", 64, 64, 1, 1, 0),
    ("conv2/3x3", "conv2/3x3_reduce", 64, 192, 3, 1, 1),
    ("inception_3a/5x5", "inception_3a/5x5_reduce", 16, 32, 5, 1, 2),
    ("inception_3b/1x1", "inception_3a/output", 256, 128, 1, 1, 0),
    ("inception_4a/1x1", "pool3/3x3_s2", 480, 192, 1, 1, 0),
    ("inception_4d/pool_proj", "inception_4d/pool", 512, 64, 1, 1, 0),
    ("inception_5a/3x3_reduce", "inception_4e/output", 832, 160, 1, 1, 0),
    ("inception_5b/5x5_reduce", "inception_5a/output", 832, 48, 1, 1, 0),
    ("cvg/classifier", "pool5/drop_s1", 1024, 1, 1, 1, 0),
    ("bbox/regressor", "pool5/drop_s1", 1024, 4, 1, 1, 0),
]
OUTPUTS = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}


def total(classes: int) -> int:
    count = 0
    for shape in network.parameter_shapes(classes).values():
        size = 1
        for side in shape:
            size *= side
        count += size
    return count


def test_there_are_59_convolutions_and_the_published_number_of_parameters() -> None:
    assert len(network.convolutions(1)) == 59
    assert total(1) == PARAMETERS


def test_each_further_class_adds_1025_parameters() -> None:
    assert total(3) == PARAMETERS + 2 * 1025


@pytest.mark.parametrize("row", SOME_CONVOLUTIONS, ids=lambda row: row[0])
def test_convolutions_have_the_published_shape_and_place(row: tuple[object, ...]) -> None:
    found = {layer.name: layer for layer in network.convolutions(1)}[str(row[0])]

    assert (
        found.name, found.bottom, found.inputs, found.outputs, found.kernel, found.stride, found.pad
    ) == row  # fmt: skip


def test_modules_put_out_the_published_channels() -> None:
    assert {module.name: module.outputs for module in network.MODULES} == OUTPUTS


def test_one_bias_alone_learns_at_the_weights_rate() -> None:
    odd = [layer.name for layer in network.convolutions(1) if layer.bias_lr_mult != 2.0]

    assert odd == ["inception_5b/3x3_reduce"]


def test_heads_start_at_nought_and_have_no_relu() -> None:
    heads = [layer for layer in network.convolutions(2) if layer.bias_value == 0]

    assert [layer.name for layer in heads] == ["cvg/classifier", "bbox/regressor"]
    assert [layer.relu for layer in heads] == [None, None]
    assert all(layer.relu for layer in network.convolutions(2) if layer not in heads)


def test_every_layer_reads_what_an_earlier_one_wrote() -> None:
    written = {network.INPUT}
    for layer in network.layers(2):
        bottoms = layer.bottoms if isinstance(layer, network.Concatenation) else (layer.bottom,)

        assert set(bottoms) <= written
        written.add(layer.top)
    assert {network.COVERAGE, network.BBOXES} <= written


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "pad", "pooled"),
    [
        (320, 3, 2, 0, 160),
        (5, 3, 2, 0, 2),
        (6, 3, 2, 0, 3),
        (7, 3, 1, 1, 7),
        (4, 2, 2, 1, 3),
        (3, 2, 2, 1, 2),
    ],
)
def test_pooling_rounds_up_and_starts_no_window_in_the_padding(
    side: int, kernel: int, stride: int, pad: int, pooled: int
) -> None:
    assert network.pooled_side(side, kernel, stride, pad) == pooled


def test_the_deploy_network_has_the_published_layers() -> None:
    layers = parse_prototxt(deploy_prototxt(640, 640, 1)).blocks("layer")
    kinds = [layer.text("type") for layer in layers]

    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        "Concat": 9, "Convolution": 59, "Dropout": 1, "Input": 1, "LRN": 2, "Pooling": 12, "Power": 1,
        "ReLU": 57, "Sigmoid": 1,
    }  # fmt: skip


def test_constants_of_the_layers_without_weights_are_the_published_ones() -> None:
    layers = {
        layer.text("name"): layer for layer in parse_prototxt(deploy_prototxt(640, 640, 1)).blocks("layer")
    }

    for name in ("pool1/norm1", "conv2/norm2"):
        norm = layers[name].block("lrn_param")
        numbers = [float(norm.text(field)) for field in ("local_size", "alpha", "beta")]
        assert numbers == [5, 0.0001, 0.75]
    assert layers["pool5/drop_s1"].block("dropout_param").text("dropout_ratio") == "0.4"
    assert layers["inception_3a/output"].texts("bottom") == [
        "inception_3a/1x1", "inception_3a/3x3", "inception_3a/5x5", "inception_3a/pool_proj",
    ]  # fmt: skip


def published_network() -> Message | None:
    if not PAGE.exists():
        return None
    found = re.search(r"^# DetectNet network$.*?(?=^```)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return parse_prototxt(found.group()) if found else None


def normal(value: str | Message) -> object:
    """A field's value in a form that two writers share: numbers as numbers, blocks as sorted lists."""
    if isinstance(value, Message):
        # The xavier filler ignores std, so we write none.
        return sorted((name, repr(normal(inner))) for name, inner in value.fields if name != "std")
    try:
        return float(value)
    except ValueError:
        return value


def table(layers: list[Message]) -> dict[str, object]:
    return {layer.text("name"): normal(layer) for layer in layers}


def without(layer: Message, *names: str) -> Message:
    return Message(layer.line, [(name, value) for name, value in layer.fields if name not in names])


def is_active(layer: Message, phase: str, stage: str) -> bool:
    """Caffe's include rules."""
    rules = layer.blocks("include")
    return not rules or any(
        rule.text("phase", phase) == phase
        and rule.text("stage", stage) == stage
        and rule.text("not_stage", "-") != stage
        for rule in rules
    )


def test_the_deploy_network_is_the_published_one_without_its_python_layer() -> None:
    published = published_network()
    ours = table(parse_prototxt(deploy_prototxt(640, 640, 1)).blocks("layer"))
    ours["deploy_data"] = ours.pop("data")

    if published is not None:
        expected = table(
            [
                without(layer, "include")
                for layer in published.blocks("layer")
                if is_active(layer, "TEST", "deploy") and layer.text("type") != "Python"
            ]
        )
        expected["deploy_data"] = ours["deploy_data"]
        assert ours == expected
    assert len(ours) == 143


def test_the_training_network_is_the_published_one() -> None:
    published = published_network()
    ours = parse_prototxt(train_val_prototxt(640, 640, 1, TRAINING)).blocks("layer")

    if published is not None:
        expected = [
            without(layer, "data_param")
            for layer in published.blocks("layer")
            if is_active(layer, "TRAIN", "") or is_active(layer, "TEST", "val")
        ]
        assert table([without(layer, "data_param") for layer in ours]) == table(expected)
    assert len([layer for layer in ours if is_active(layer, "TRAIN", "")]) == 155
    assert len([layer for layer in ours if is_active(layer, "TEST", "val")]) == 159
