"""Six trainings that cannot learn, each for one reason of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIDE = 160
TRAIN_IMAGES, VAL_IMAGES = 240, 30


@dataclass(frozen=True)
class DeadRun:
    """What is wrong with it, and the codes of which the doctor must name one."""

    name: str
    codes: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    side: int = SIDE
    spoil: Callable[[Path], None] = lambda _: None


def nothing_but_dont_care(folder: Path) -> None:
    """Every object becomes a don't care: the class map meets nothing."""
    for path in folder.glob("*/labels/*.txt"):
        lines = path.read_text().splitlines()
        path.write_text("".join(f"dontcare {line.partition(' ')[2]}\n" for line in lines))


def shift_labels(folder: Path) -> None:
    """Each picture gets the labels of the next one, as after a renaming."""
    for labels in folder.glob("*/labels"):
        paths = sorted(labels.glob("*.txt"))
        texts = [path.read_text() for path in paths]
        for path, text in zip(paths, texts[1:] + texts[:1], strict=True):
            path.write_text(text)


DEAD_RUNS = (
    DeadRun(
        "original initialisation",
        frozenset({"collapsed_from_original_weights"}),
        {"initialisation": "xavier"},
    ),
    DeadRun(
        "learning rate too high",
        frozenset({"collapsed_from_learning_rate", "learning_rate_too_high", "not_finite"}),
        {"learning_rate": 3e-3},
    ),
    DeadRun("learning rate too low", frozenset({"learning_rate_too_low"}), {"learning_rate": 1e-7}),
    DeadRun(
        "objects smaller than a cell", frozenset({"boxes_below_a_cell:buoy", "boxes_too_low:buoy"}), side=32
    ),
    DeadRun("empty class map", frozenset({"no_objects"}), spoil=nothing_but_dont_care),
    DeadRun("labels of the next picture", frozenset({"labels_do_not_fit"}), spoil=shift_labels),
)
