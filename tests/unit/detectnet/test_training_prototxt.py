from __future__ import annotations

from typing import Any

import pytest

from detectnet.prototxt import Message, parse_prototxt
from detectnet.recipes import RECIPES, resolve_training
from detectnet.sizes import IllegalSize
from detectnet.training_prototxt import SolverSteps, solver_prototxt, train_val_prototxt

STEPS = SolverSteps(max_step=540, validation_interval=60, validation_steps=10, display_interval=7)


def layers_of(text: str) -> dict[str, Message]:
    return {layer.text("name"): layer for layer in parse_prototxt(text).blocks("layer")}


def train_val(classes: int = 2, recipe: str = "digits", **given: Any) -> dict[str, Message]:
    return layers_of(train_val_prototxt(320, 160, classes, resolve_training(recipe, given, threads=1)))


def solver(recipe: str = "digits", **given: Any) -> Message:
    return parse_prototxt(solver_prototxt(resolve_training(recipe, given, threads=1), STEPS))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_both_files_of_every_recipe_can_be_read(recipe: str) -> None:
    assert train_val(recipe=recipe)
    assert solver(recipe).text("net") == "train_val.prototxt"


def test_every_class_has_its_coverage_its_score_and_its_figures() -> None:
    layers = train_val(classes=3)
    truth = layers["train_transform"].block("detectnet_groundtruth_param")

    objects = [(item.text("src"), item.text("dst")) for item in truth.blocks("object_class")]
    assert objects == [("1", "0"), ("2", "1"), ("3", "2")]
    assert layers["cvg/classifier"].block("convolution_param").text("num_output") == "3"
    assert layers["cluster"].texts("top") == ["bbox-list-class0", "bbox-list-class1", "bbox-list-class2"]
    assert layers["cluster_gt"].block("python_param").text("param_str") == "320, 160, 16, 3"
    assert layers["mAP-class2"].texts("top") == ["mAP-class2", "precision-class2", "recall-class2"]


def test_sizes_and_batches_stand_in_both_phases() -> None:
    layers = train_val(batch_size=5)

    for name in ("train_transform", "val_transform"):
        truth = layers[name].block("detectnet_groundtruth_param")
        assert (truth.text("image_size_x"), truth.text("image_size_y")) == ("320", "160")
    assert layers["train_data"].block("data_param").text("batch_size") == "5"
    assert layers["val_label"].block("data_param").text("batch_size") == "6"


def test_the_box_heads_own_rate_is_told() -> None:
    def rates(layer: Message) -> list[str]:
        return [parameter.text("lr_mult") for parameter in layer.blocks("param")]

    faster, plain = train_val(recipe="default", bbox_lr_mult=20.0), train_val(recipe="digits")

    assert rates(faster["bbox/regressor"]) == ["20", "40"]
    assert rates(faster["cvg/classifier"]) == ["1", "2"]
    assert rates(plain["bbox/regressor"]) == ["1", "2"]


def test_augmentation_is_told_for_training_only() -> None:
    layers = train_val(augmentation={"flip_prob": 0.25})

    assert layers["train_transform"].block("detectnet_augmentation_param").text("flip_prob") == "0.25"
    assert layers["train_transform"].block("detectnet_augmentation_param").text("scale_max") == "1.2"
    assert not layers["val_transform"].blocks("detectnet_augmentation_param")


def test_a_training_without_augmentation_says_so_against_caffes_defaults() -> None:
    told = train_val(recipe="default")["train_transform"].block("detectnet_augmentation_param")

    assert {value for name, value in told.fields if name.endswith("_prob")} == {"0"}
    assert len(told.fields) == 6


def test_losses_have_the_published_weights() -> None:
    layers = train_val()

    assert layers["bbox_loss"].text("loss_weight") == "2"
    assert layers["coverage_loss"].texts("loss_weight") == []
    assert layers["bbox_loss"].texts("bottom") == ["bboxes-obj-masked-norm", "bbox-obj-label-norm"]


def test_an_illegal_size_is_refused() -> None:
    with pytest.raises(IllegalSize):
        train_val_prototxt(300, 160, 1, resolve_training("digits", {}, threads=1))


def test_the_solver_counts_in_steps() -> None:
    told = solver()

    assert (told.text("max_iter"), told.text("test_interval"), told.text("test_iter")) == ("540", "60", "10")
    assert (told.text("snapshot"), told.text("display")) == ("60", "7")
    assert (told.text("lr_policy"), told.text("stepsize"), told.text("gamma")) == ("step", "179", "0.1")
    assert (told.text("base_lr"), told.text("weight_decay")) == ("0.01", "0.0001")
    assert (told.text("solver_type"), told.text("momentum"), told.text("iter_size")) == ("SGD", "0.9", "1")


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({"name": "fixed"}, {}),
        (
            {"name": "multistep", "values": [50, 80], "gamma": 0.5},
            {"gamma": ["0.5"], "stepvalue": ["270", "432"]},
        ),
        ({"name": "inv", "gamma": 0.54, "power": 0.5}, {"gamma": ["0.1"], "power": ["0.5"]}),
        ({"name": "poly", "power": 3}, {"power": ["3.0"]}),
        ({"name": "sigmoid", "step": 50, "gamma": 0.54}, {"gamma": ["-0.1"], "stepsize": ["270"]}),
    ],
)
def test_each_policy_has_its_own_parameters(policy: dict[str, Any], fields: dict[str, list[str]]) -> None:
    told = solver(lr_policy=policy)

    found = {
        name: told.texts(name) for name in ("gamma", "power", "stepsize", "stepvalue") if told.texts(name)
    }
    assert told.text("lr_policy") == policy["name"]
    assert found.keys() == fields.keys()
    for name, values in fields.items():
        assert [float(value) for value in found[name]] == pytest.approx([float(value) for value in values])


@pytest.mark.parametrize(("name", "momentum"), [("rmsprop", []), ("adagrad", []), ("nesterov", ["0.9"])])
def test_solvers_without_momentum_get_none(name: str, momentum: list[str]) -> None:
    told = solver(solver=name)

    assert told.text("solver_type") == name.upper()
    assert told.texts("momentum") == momentum


def test_a_training_with_one_validation_snapshots_at_its_end_only() -> None:
    training = resolve_training("digits", {}, threads=1)

    told = parse_prototxt(solver_prototxt(training, SolverSteps(60, 60, 10, 7)))

    assert told.text("snapshot") == "0"
