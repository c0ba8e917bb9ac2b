"""A synthetic underwater data set in KITTI folders: buoys and gates as a submarine's camera sees them.

The same arguments give the same bytes. Labels are exact, because the scene is known; boxes are cut by the
frame and the ``truncated`` field tells how much is missing. It is a stand-in for real dives, not a benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from periscope_embedded.distractors import add_bubbles, add_fish, add_rocks, add_weed
from periscope_embedded.underwater_objects import Box, Placement, draw_buoy, draw_gate
from periscope_embedded.water import Textures, add_particles, add_sea_floor, open_water, through_the_camera

CLASSES = ("buoy", "gate")
JPEG_QUALITY = 90
OBJECTS_PER_IMAGE = (0.06, 0.42, 0.34, 0.18)
"""How often a picture has 0, 1, 2 and 3 objects."""
BUOY_SIZE, GATE_SIZE = (0.18, 0.42), (0.34, 0.62)
"""Smallest and largest extent, as a part of the picture's shorter side."""
BUOY_DIAMETER_M, GATE_WIDTH_M = 0.45, 1.35
LARGEST_CUT = 0.12
"""An object with more of its box outside the frame is placed anew."""
LARGEST_OVERLAP = 0.02
PLACING_TRIES = 40


@dataclass(frozen=True)
class LabelledBox:
    """One object of a picture: class, box in pixels inside the frame, part that is outside (0..1)."""

    type: str
    xyxy: Box
    truncated: float

    def to_kitti(self) -> str:
        """The 15 fields of a KITTI label line."""
        x1, y1, x2, y2 = self.xyxy
        box = f"{x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f}"
        return f"{self.type} {self.truncated:.2f} 0 0.00 {box} 0.00 0.00 0.00 0.00 0.00 0.00 0.00"


def write_dataset(
    folder: Path,
    *,
    train_images: int = 300,
    val_images: int = 60,
    width: int = 320,
    height: int = 320,
    seed: int = 0,
    kinds: Sequence[str] = CLASSES,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``train`` and ``val``, each with ``images/<n>.jpg`` and ``labels/<n>.txt``.

    ``kinds`` are the classes that occur. ``on_progress`` is told the pictures done and the pictures in all.
    """
    done, total = 0, train_images + val_images
    textures = Textures.make(np.random.default_rng([seed, 7]))
    for split_number, (split, count) in enumerate((("train", train_images), ("val", val_images))):
        images, labels = folder / split / "images", folder / split / "labels"
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = np.random.default_rng([seed, split_number, index])
            picture, boxes = make_picture(rng, textures, width, height, kinds)
            _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (images / f"{index:06d}.jpg").write_bytes(encoded.tobytes())
            (labels / f"{index:06d}.txt").write_text("".join(box.to_kitti() + "\n" for box in boxes))
            done += 1
            if on_progress is not None:
                on_progress(done, total)


def make_picture(
    rng: np.random.Generator,
    textures: Textures,
    width: int,
    height: int,
    kinds: Sequence[str] = CLASSES,
) -> tuple[npt.NDArray[np.uint8], list[LabelledBox]]:
    """One picture, uint8 BGR [height, width, 3], and what is in it."""
    water = open_water(rng, height, width)
    horizon = add_sea_floor(water, rng, textures)
    add_rocks(water, rng, horizon)
    add_weed(water, rng, horizon)
    if rng.random() < 0.5:
        add_fish(water, rng)
    boxes = []
    for kind, place in _place_objects(rng, width, height, kinds):
        draw = draw_buoy if kind == "buoy" else draw_gate
        boxes.append(_cut_by_frame(kind, draw(water, rng, place, textures), width, height))
    add_bubbles(water, rng)
    add_particles(water, rng)
    return through_the_camera(water.picture, rng), boxes


def _place_objects(
    rng: np.random.Generator, width: int, height: int, kinds: Sequence[str]
) -> list[tuple[str, Placement]]:
    """Objects that hardly overlap, the farthest first."""
    placed: list[tuple[str, Placement]] = []
    for _ in range(int(rng.choice(len(OBJECTS_PER_IMAGE), p=OBJECTS_PER_IMAGE))):
        kind = str(rng.choice(kinds))
        for _ in range(PLACING_TRIES):
            place = _try_place(rng, kind, width, height)
            if _is_inside(place, width, height) and not any(_overlap(place, other) for _, other in placed):
                placed.append((kind, place))
                break
    return sorted(placed, key=lambda thing: -thing[1].distance_m)


def _try_place(rng: np.random.Generator, kind: str, width: int, height: int) -> Placement:
    smallest, largest = BUOY_SIZE if kind == "buoy" else GATE_SIZE
    size = float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))) * min(width, height)
    true_size_m = BUOY_DIAMETER_M if kind == "buoy" else GATE_WIDTH_M
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    return Placement(float(x), float(y), size, true_size_m * 0.8 * width / size)


def _is_inside(place: Placement, width: int, height: int) -> bool:
    seen = 1.0
    for centre, extent in ((place.x, width), (place.y, height)):
        low, high = max(centre - place.size / 2, 0), min(centre + place.size / 2, extent)
        seen *= max(high - low, 0) / place.size
    return seen >= 1 - LARGEST_CUT


def _overlap(a: Placement, b: Placement) -> bool:
    shared = 1.0
    for centre_a, centre_b in ((a.x, b.x), (a.y, b.y)):
        low = max(centre_a - a.size / 2, centre_b - b.size / 2)
        high = min(centre_a + a.size / 2, centre_b + b.size / 2)
        shared *= max(high - low, 0)
    return shared > LARGEST_OVERLAP * min(a.size, b.size) ** 2


def _cut_by_frame(kind: str, box: Box, width: int, height: int) -> LabelledBox:
    x1, y1, x2, y2 = box
    cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    whole, seen = (x2 - x1) * (y2 - y1), (cut[2] - cut[0]) * (cut[3] - cut[1])
    return LabelledBox(kind, cut, max(0.0, 1 - seen / whole))
