from __future__ import annotations

from typing import Any

import pytest

from periscope_training.rules import JobWish, UnusableRequest, build_spec, request_digest
from tests.unit.periscope_training.house import MANIFEST


def wish(**changes: Any) -> JobWish:
    return JobWish(**{"name": "dive", "recipe": "default", "options": {}, "input_size": None, **changes})


def spec_of(job_wish: JobWish, **manifest: Any) -> dict[str, Any]:
    return build_spec("01JOB", job_wish, {**MANIFEST, **manifest}, request_sha256="d1", threads=2)


def test_a_spec_leaves_nothing_for_the_training_program_to_fill_in() -> None:
    spec = spec_of(wish(options={"epochs": 2}))

    assert spec["dataset"] == {
        "id": "01DATASET",
        "version": 3,
        "images": {"train": 300, "val": 60},
        "findings": [],
    }
    assert spec["network"] == {"width": 320, "height": 192, "stride": 16, "classes": ["buoy", "gate"]}
    assert spec["options_of_dataset"] == {"pad": None, "resize": None, "val_min_box_size": 25}
    assert (spec["training"]["epochs"], spec["training"]["threads"]) == (2, 2)
    # Of these null says that there is none.
    unset = {name for name, value in spec["training"].items() if value is None}
    assert unset == {"augmentation", "clip_gradients"}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"pad": {"width": 640, "height": 384}}, (640, 384)),
        ({"pad": {"width": 640, "height": 384}, "resize": {"width": 320, "height": 192}}, (320, 192)),
    ],
)
def test_without_a_size_the_networks_is_that_of_the_prepared_images(options: dict, size: tuple) -> None:
    network = spec_of(wish(), options=options, image_sizes=[{"width": 1, "height": 2}])["network"]

    assert (network["width"], network["height"]) == size


def test_a_given_size_wins() -> None:
    network = spec_of(wish(input_size=(640, 480)))["network"]

    assert (network["width"], network["height"]) == (640, 480)


def test_a_size_that_is_no_multiple_of_16_is_answered_with_legal_ones() -> None:
    with pytest.raises(UnusableRequest, match=r"600|592|608") as refused:
        spec_of(wish(input_size=(600, 480)))

    assert refused.value.pointer == "/input"


def test_an_illegal_size_of_the_images_names_the_way_out() -> None:
    with pytest.raises(UnusableRequest, match="give another as input"):
        spec_of(wish(), image_sizes=[{"width": 600, "height": 480}])


def test_images_of_several_sizes_need_a_size() -> None:
    sizes = [{"width": 320, "height": 192}, {"width": 640, "height": 480}]

    with pytest.raises(UnusableRequest, match="2 sizes \\(320x192, 640x480"):
        spec_of(wish(), image_sizes=sizes)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"classes": []}, "no classes"),
        (
            {"splits": {"train": {"images": 0, "boxes": 0}, "val": {"images": 9, "boxes": 9}}},
            "no training images",
        ),
        ({"splits": {"train": {"images": 5, "boxes": 0}, "val": {"images": 9, "boxes": 9}}}, "no boxes"),
        (
            {"splits": {"train": {"images": 5, "boxes": 5}, "val": {"images": 0, "boxes": 0}}},
            "no validation images",
        ),
        ({"splits": {"train": {"images": 5, "boxes": 5}}}, "no validation images"),
    ],
)
def test_a_dataset_that_nothing_can_be_learnt_from_is_refused(manifest: dict, words: str) -> None:
    with pytest.raises(UnusableRequest, match=words) as refused:
        spec_of(wish(), **manifest)

    assert refused.value.pointer == "/dataset"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"recipe": "digitz"}, "/recipe"),
        ({"options": {"augmentation": {"scale_min": 2.0}}}, "/augmentation/scale_min"),
        ({"options": {"epochs": 1, "validation_interval_epochs": 2.0}}, "/validation_interval_epochs"),
    ],
)
def test_options_that_contradict_each_other_are_refused(changes: dict, pointer: str) -> None:
    with pytest.raises(UnusableRequest) as refused:
        spec_of(wish(**changes))

    assert refused.value.pointer == pointer


def test_equal_requests_have_equal_digests_however_they_are_written() -> None:
    assert request_digest({"a": 1, "b": [2]}) == request_digest({"b": [2], "a": 1})
    assert request_digest({"a": 1}) != request_digest({"a": 2})


LEAK = {
    "code": "leak",
    "severity": "error",
    "count": 3,
    "message": "3 of 9 pictures leak",
    "advice": "Split anew.",
}
FEW = {"code": "few_val", "severity": "warning", "count": 9, "message": "9 pictures", "advice": "Add some."}


def test_an_error_that_the_lint_found_keeps_the_job_from_starting() -> None:
    with pytest.raises(
        UnusableRequest, match=r"leak: 3 of 9 pictures leak\. Split anew\..*allow_findings"
    ) as refused:
        spec_of(wish(), findings=[LEAK, FEW])

    assert refused.value.pointer == "/allow_findings"


def test_overridden_by_its_code_it_travels_with_the_job_as_warnings_do() -> None:
    made = spec_of(wish(allow_findings=frozenset({"leak"})), findings=[LEAK, FEW])

    assert [finding["code"] for finding in made["dataset"]["findings"]] == ["leak", "few_val"]


def test_another_code_overrides_nothing() -> None:
    with pytest.raises(UnusableRequest):
        spec_of(wish(allow_findings=frozenset({"few_val"})), findings=[LEAK])
