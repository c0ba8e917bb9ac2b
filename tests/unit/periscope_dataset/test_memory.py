"""An ingest keeps within 512 MiB whatever comes: by what it keeps of a picture, and by what it decodes at once."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectnet.image_files import decoding_bytes
from detectnet.images import BAND_ROWS, decode_image
from periscope_dataset import checking, splits
from periscope_dataset.archive import MAX_MEMBERS
from periscope_dataset.checking import MAX_DECODING_BYTES, CheckedImage, CheckedLabel, Rules, Verdict, counted
from periscope_dataset.class_mapping import ClassMapping
from periscope_dataset.findings import Findings, IngestRefused
from periscope_dataset.layout import Place
from periscope_dataset.parallel import MemoryBudget, in_order
from periscope_dataset.splits import Content
from tests.kitti_archives import label

LIMIT_BYTES = 512 << 20
AT_REST_BYTES = 130 << 20
"""The service with its libraries; `make bench ONLY=ingest` measures it with 20,000 pictures."""
PICTURES = 3000


def entered(content: Content, number: int, seen: set[str]) -> None:
    """A picture and its label, each different from all others."""
    key, digest = f"frame_{number:06d}", hashlib.sha256(str(number).encode())
    image, label = f"dive/train/images/{key}.jpg", f"dive/train/labels/{key}.txt"
    phash = int.from_bytes(digest.digest()[:8], "big")
    fact = CheckedImage(image, f"member-{2 * number}", 640, 480, digest.hexdigest(), (), phash)
    content.enter(image, Place("", "train", "images", key), Verdict(fact))
    counts = counted({"buoy": number % 9, "gate": number % 7})
    reach = (600 + number / 7, number), (400 + number / 7, number)
    told = CheckedLabel(label, f"member-{2 * number + 1}", counts, counted({"buoy": 1}), *reach)
    content.enter(label, Place("", "train", "labels", key), Verdict(told))
    seen |= {image, label}


def test_all_that_is_kept_of_as_many_pictures_as_are_taken_fits() -> None:
    content, seen = Content(Rules(ClassMapping(), None, 25), Findings(), Path("unused")), set()
    tracemalloc.start()
    try:
        for number in range(PICTURES):
            entered(content, number, seen)
        kept_bytes = tracemalloc.get_traced_memory()[0] / PICTURES
    finally:
        tracemalloc.stop()

    assert kept_bytes > 300, "or nothing was measured"
    assert AT_REST_BYTES + kept_bytes * MAX_MEMBERS / 2 + MAX_DECODING_BYTES <= LIMIT_BYTES


def test_labels_of_more_objects_than_are_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MAX_OBJECTS", 10)
    content = Content(Rules(ClassMapping(), None, 25), Findings(), Path("unused"))
    told = CheckedLabel("a", "a", counted({"buoy": 6}), (), (0, 0), (0, 0))
    content.enter("a", Place("", "train", "labels", "a"), Verdict(told))

    with pytest.raises(IngestRefused, match="more than 10 objects"):
        content.enter("b", Place("", "train", "labels", "b"), Verdict(told))


def test_a_label_of_ever_new_types_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "label.txt"
    path.write_bytes(b"".join(label(f"c{number}") for number in range(checking.MAX_TYPES + 1)))

    verdict = checking.check_label("label.txt", path, Rules(ClassMapping(), None, 25))

    assert verdict.fact is None
    assert [error.code for error in verdict.errors] == ["too_many_classes"]


def test_a_budget_lets_nobody_in_beyond_its_size() -> None:
    budget, held, most, lock = MemoryBudget(100), [0], [0], threading.Lock()

    def take(size: int) -> None:
        with budget.hold(size):
            with lock:
                held[0] += min(size, 100)
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= min(size, 100)

    list(in_order(take, [30, 60, 500, 40, 10, 100, 70] * 5, 8, 16))

    assert (held[0], most[0]) == (0, 100)


def test_results_come_in_order_and_no_more_is_drawn_than_is_asked_for() -> None:
    drawn: list[int] = []

    def numbers() -> object:
        for number in range(50):
            drawn.append(number)
            yield number

    results = in_order(lambda number: number * number, numbers(), 3, 5)  # type: ignore[arg-type]

    for number, result in enumerate(results):
        assert result == number * number
        assert len(drawn) <= number + 5


@pytest.mark.parametrize(
    ("suffix", "channels", "depth"),
    [(".png", 1, 8), (".png", 3, 8), (".png", 4, 8), (".png", 3, 16), (".jpg", 1, 8), (".jpg", 3, 8), (".bmp", 3, 8)],
)  # fmt: skip
def test_what_decoding_takes_is_known_before(suffix: str, channels: int, depth: int) -> None:
    image = np.zeros((60, 80, channels), np.uint8 if depth == 8 else np.uint16)
    body = cv2.imencode(suffix, image)[1].tobytes()

    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)

    assert decoded is not None
    in_the_end = 0 if decoded.ndim == 3 and decoded.shape[2] == 3 else 60 * 80 * 3
    assert decoding_bytes(body) >= decoded.nbytes + in_the_end


def test_a_picture_that_takes_too_much_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((100, 100, 3), np.uint8))[1].tobytes())
    monkeypatch.setattr(checking, "MAX_DECODING_BYTES", 29_999)
    monkeypatch.setattr(checking, "decode_image", lambda _: pytest.fail("it was decoded"))

    verdict = checking.check_image("large.png", path, Rules(ClassMapping(), None, 25))

    assert verdict.fact is None
    assert "make it smaller" in verdict.errors[0].message


def test_transparency_is_mixed_the_same_band_by_band() -> None:
    image = np.random.default_rng(0).integers(0, 255, (2 * BAND_ROWS + 7, 30, 4), np.uint8)

    done = decode_image(cv2.imencode(".png", image)[1].tobytes())

    alpha = image[:, :, 3:].astype(np.float32) / 255
    assert (done == np.rint(image[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)).all()
