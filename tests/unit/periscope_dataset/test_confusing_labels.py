"""Labels of other formats that are written to confuse: the reader names the trouble or does without, never falls over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from periscope_dataset.coco import CocoAnnotations
from periscope_dataset.foreign_labels import BadAnnotations, names_of_yaml, voc_label, yolo_label

COCO = (
    '{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":1,"name":"buoy"}],'
    '"annotations":[{"image_id":1,"category_id":1,"bbox":[1,2,3,4]}]}'
)
VOC = (
    "<annotation><object><name>buoy</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax>"
    "<ymax>4</ymax></bndbox></object></annotation>"
)
YAML = "names:\n  0: buoy\n  1: gate\nnc: 2\n"
YOLO = "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.2 0.1 0.2 0.2\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "a.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    return path


def coco(folder: Path, text: str) -> str:
    (folder / "coco.json").write_text(text)
    files = {"coco.json": folder / "coco.json"}
    found = CocoAnnotations(files, {"a.png": "a.png"}, folder / "spool")
    return found.label("a.png").text if found.source("a.png") else ""


@pytest.mark.parametrize("number", ["inf", "-inf", "1e999", "nan"])
def test_a_class_number_without_end_is_refused_with_its_line(image: Path, number: str) -> None:
    with pytest.raises(BadAnnotations, match="class number") as refused:
        yolo_label(f"0 .5 .5 .1 .1\n{number} .5 .5 .1 .1", image, [])

    assert refused.value.line == 2


@pytest.mark.parametrize(
    "text",
    ["names: " + "[" * 5000, "names: [a]\nday: 2001-99-99", "names: [0x" + "f" * 20_000 + "]"],
    ids=["brackets without end", "no such day", "a very long number"],
)
def test_class_names_that_cannot_be_read_are_none(text: str) -> None:
    assert names_of_yaml(text) == []


def test_a_class_number_in_superscript_is_no_number() -> None:
    assert names_of_yaml('names: {0: buoy, "²": gate}') == ["buoy"]


@pytest.mark.parametrize(
    ("sound", "confusing"),
    [("[1,", "[1" + "0" * 400 + ","), ("buoy", "\\ud800"), ("a.png", "\\ud800.png")],
    ids=["a number without end", "half a character in a class", "half a character in a file's name"],
)
def test_an_entry_that_nothing_can_hold_is_refused(tmp_path: Path, sound: str, confusing: str) -> None:
    with pytest.raises(BadAnnotations, match="not as in COCO"):
        coco(tmp_path, COCO.replace(sound, confusing))


def test_an_unnamed_category_of_half_a_character_has_a_name_all_the_same(tmp_path: Path) -> None:
    text = coco(tmp_path, COCO.replace('"category_id":1', '"category_id":"\\ud800"'))

    assert text.startswith("category-? ")


PIECES = ["inf", "1e999", "9" * 400, "²", "[" * 2000, "<a>" * 50, "2001-99-99", "null", "&a [*a]", "\\ud800", "!!x"]  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 20), st.sampled_from(PIECES) | st.text(max_size=6)),
    min_size=1,
    max_size=3,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coco", "voc", "yaml", "yolo"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_changed_file_is_read_or_refused(
    kind: str, tmp_path: Path, image: Path, changes: list[tuple[float, int, str]]
) -> None:
    text = {"coco": COCO, "voc": VOC, "yaml": YAML, "yolo": YOLO}[kind]
    for where, taken, put in changes:
        start = int(where * len(text))
        text = text[:start] + put + text[start + taken :]
    readers: dict[str, Callable[[], object]] = {
        "coco": lambda: coco(tmp_path, text),
        "voc": lambda: voc_label(text),
        "yaml": lambda: names_of_yaml(text),
        "yolo": lambda: yolo_label(text, image, []),
    }
    with contextlib.suppress(BadAnnotations):
        readers[kind]()
