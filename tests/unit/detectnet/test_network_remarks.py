from __future__ import annotations

import pytest

from detectnet.network_remarks import box_rate, network_remarks
from detectnet.recipes import resolve_training
from detectnet.training_prototxt import train_val_prototxt

CONV1 = 'name: "conv1/7x7_s2"'


def train_val(**options: float) -> str:
    return train_val_prototxt(320, 160, 2, resolve_training("digits", options, threads=1))


def with_rates(text: str, layer: str, weight: str, bias: str) -> str:
    """The text with other rates of one layer."""
    start = text.index("lr_mult", text.index(layer))
    end = text.index("}", text.index("lr_mult", text.index("}", start)))
    changed = f"lr_mult: {weight} decay_mult: 1 }} param {{ lr_mult: {bias} decay_mult: 0 "
    return text[:start] + changed + text[end:]


def test_of_our_own_file_there_is_nothing_to_say() -> None:
    assert network_remarks(train_val()) == []
    assert box_rate(train_val()) == 1.0


def test_a_box_head_that_learns_faster_is_carried_over() -> None:
    text = train_val(bbox_lr_mult=20.0)

    assert box_rate(text) == 20.0
    assert network_remarks(text) == []


def test_frozen_layers_are_told_by_name() -> None:
    text = with_rates(train_val(), CONV1, "0", "0")

    assert network_remarks(text) == [
        "lr_mult 0 of conv1/7x7_s2 is not carried over: trainings here train every layer"
    ]


def test_other_rates_are_told_by_name() -> None:
    text = with_rates(train_val(), CONV1, "3", "2")

    assert network_remarks(text) == ["lr_mult of conv1/7x7_s2 is not carried over: DetectNet's own is used"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("320, 160, 16, 0.4, 2, 0.02, 22, 2", "coverage threshold 0.4 is not carried over: boxes are found with 0.6"),
        ("320, 160, 16, 0.6, 3, 0.02, 22, 2", "group size 3 is not carried over: boxes are found with 2"),
        ("320,160,16,0.6,2,0.5,22,2", "eps 0.5 is not carried over: boxes are found with 0.02"),
        ("320, 160, 16, 0.6, 2, 0.02, 9, 2", "lowest box 9 is not carried over: boxes are found with 22"),
    ],
)  # fmt: skip
def test_other_clustering_is_told_once(given: str, told: str) -> None:
    layer = (
        'layer { name: "cluster" type: "Python" python_param { '
        f'module: "m" layer: "ClusterDetections" param_str: "{given}" }} }}\n'
    )

    found = network_remarks(layer * 2)

    assert len(found) == 1
    assert told in found[0]


def test_an_odd_parameter_string_is_no_reason_to_fail() -> None:
    layer = (
        'layer { name: "c" type: "Python" python_param { layer: "ClusterDetections" param_str: "a, b, 1" } }'
    )

    assert network_remarks(layer) == []
