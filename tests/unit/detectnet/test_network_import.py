from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.description import describe_network, description_text
from detectnet.network_import import NotDetectNet, import_network
from detectnet.prototxt import PrototxtError, deploy_prototxt
from detectnet.recipes import AUGMENTATION, resolve_training
from detectnet.training_prototxt import train_val_prototxt
from detectnet_trainer.__main__ import main

TRAINING = resolve_training("digits", {"batch_size": 7, "val_batch_size": 5}, threads=1)
SEED = Path(__file__).parents[4] / "shared" / "seed"


def train_val(width: int = 640, height: int = 480, classes: int = 2) -> str:
    return train_val_prototxt(width, height, classes, TRAINING)


def seeds() -> list[str]:
    """The published prototxt out of the how-to page, where that lies beside the checkout."""
    texts = [path.read_text() for path in sorted(SEED.glob("*.txt"))] if SEED.is_dir() else []
    found = [text[text.index("# DetectNet network") :] for text in texts if "# DetectNet network" in text]
    return [text[: text.index("```")] for text in found]


def test_a_training_file_gives_its_recipe_back() -> None:
    found = import_network(train_val())

    assert (found.classes, found.size) == (2, (640, 480))
    assert found.options() == {"batch_size": 7, "val_batch_size": 5, "augmentation": dict(AUGMENTATION)}


def test_a_deploy_file_says_size_and_classes_only() -> None:
    found = import_network(deploy_prototxt(320, 192, 3))

    assert (found.classes, found.size, found.options()) == (3, (320, 192), {})


def test_the_published_file_is_read_as_it_stands() -> None:
    for text in seeds() or [
        train_val(640, 640, 1)
        .replace("batch_size: 7", "batch_size: 10")
        .replace("batch_size: 5", "batch_size: 6")
    ]:
        found = import_network(text)
        assert (found.classes, found.size) == (1, (640, 640))
        assert found.options() == {"batch_size": 10, "val_batch_size": 6, "augmentation": dict(AUGMENTATION)}


def test_what_the_file_leaves_out_has_caffes_defaults() -> None:
    text = train_val().replace("flip_prob: 0.5", "").replace("shift_x: 32", "")
    augmentation = import_network(text).augmentation

    assert augmentation is not None
    assert (augmentation["flip_prob"], augmentation["shift_x"], augmentation["shift_y"]) == (0.33, 0, 32)


EDITS = [
    ("num_output: 64 kernel_size: 7", "num_output: 32 kernel_size: 7", "conv1/7x7_s2", "num_output is 32, not 64"),
    ("local_size: 5 alpha: 0.0001", "local_size: 5 alpha: 0.001", "pool1/norm1", "alpha is 0.001"),
    ("dropout_ratio: 0.4", "dropout_ratio: 0.5", "pool5/drop_s1", "dropout_ratio is 0.5"),
    ('type: "Sigmoid"', 'type: "TanH"', "coverage/sig", "'TanH', not 'Sigmoid'"),
    ("stride: 16 scale_cvg", "stride: 8 scale_cvg", "train_transform", "stride is 8"),
    ("gridbox_type: GRIDBOX_MIN", "gridbox_type: GRIDBOX_MAX", "train_transform", "gridbox_type"),
    ("crop_bboxes: false", "crop_bboxes: true", "train_transform", "crop_bboxes is true"),
    ("loss_weight: 2", "loss_weight: 5", "bbox_loss", "loss_weight is 5"),
    ("image_size_x: 640", "image_size_x: 720", "val_transform", "640x480 here and 720x480"),
    ("ClusterDetections", "MyOwnCluster", "cluster", "MyOwnCluster"),
    ("object_class { src: 2 dst: 1 }", "", "train_transform", "names 1 classes"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "layer", "words"), EDITS)
def test_what_is_not_detectnet_is_refused_by_layer_and_line(
    old: str, new: str, layer: str, words: str
) -> None:
    text = train_val()
    assert old in text
    edited = text.replace(old, new, 1)

    with pytest.raises(NotDetectNet) as refused:
        import_network(edited)

    assert (refused.value.layer, words in str(refused.value)) == (layer, True), str(refused.value)
    block = "\n".join(edited.splitlines()[max(0, refused.value.line - 12) : refused.value.line + 12])
    assert f'name: "{layer}"' in block


def test_strange_layers_missing_layers_and_old_forms_are_told() -> None:
    strange = train_val() + 'layer { name: "se" type: "SqueezeExcite" bottom: "coverage" top: "x" }\n'
    with pytest.raises(NotDetectNet, match=r"'se'.*SqueezeExcite"):
        import_network(strange)
    short = deploy_prototxt(320, 192, 1)
    cut = (
        short[: short.index('layer {\n  name: "inception_5b/1x1"')]
        + short[short.index('layer {\n  name: "cvg/') :]
    )
    with pytest.raises(NotDetectNet, match=r"inception_5b/1x1.*missing"):
        import_network(cut)
    with pytest.raises(NotDetectNet, match="old form"):
        import_network('layers { name: "conv1" type: CONVOLUTION }')
    with pytest.raises(NotDetectNet, match="cvg/classifier"):
        import_network('name: "AlexNet"')


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_and_never_crashes(data: st.DataObject) -> None:
    text = train_val(320, 192, 1)
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 40))
    put = data.draw(st.text("{}:\"' \n#aZ019.-layer", max_size=12))
    try:
        import_network(text[:start] + put + text[start + length :])
    except PrototxtError as refused:
        assert refused.line >= 1  # noqa: PT017 - whether it is refused is up to chance


def test_the_published_network_is_described_with_its_59_convolutions() -> None:
    (text, *_) = seeds() or [train_val(640, 640, 1)]
    described = describe_network(text)

    assert (described["convolutions"], described["parameters"]) == (59, 5_978_677)
    assert described["outputs"] == {"coverage": [1, 1, 40, 40], "bboxes": [1, 4, 40, 40]}
    assert sum(layer["parameters"] for layer in described["layers"]) == 5_978_677
    assert sum(layer["type"] == "Convolution" for layer in described["layers"]) == 59
    told = description_text(described)
    assert "conv1/7x7_s2" in told
    assert told.splitlines()[-1].startswith("59 convolutions, 5,978,677 parameters")


def test_the_command_describes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_text(deploy_prototxt(320, 192, 2))
    assert main(["--json", "describe", str(path)]) == 0
    described = json.loads(capsys.readouterr().out)
    path.write_text("layer { name: 3 }")

    assert described["outputs"]["coverage"] == [1, 2, 12, 20]
    assert main(["describe", str(path)]) == 1
    assert "line 1" in capsys.readouterr().err
