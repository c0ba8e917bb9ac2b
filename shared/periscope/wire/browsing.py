"""Bodies about a version's content: figures, preview, differences."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from periscope.wire.base import ResponseModel


class Spread(ResponseModel):
    """How a figure is spread over boxes."""

    min: float
    p5: float
    median: float
    p95: float
    max: float


class ClassFigures(ResponseModel):
    """Boxes of one class in one split; pixels of the file."""

    boxes: int
    images: int = Field(description="That show one or more")
    width: Spread | None
    height: Spread | None
    aspect: Spread | None = Field(description="Width over height")
    positions: list[list[int]] = Field(
        description="Centres counted in 8 rows and 8 columns of the picture; those outside are not"
    )


class SizeCount(ResponseModel):
    """How many pictures have a size."""

    width: int
    height: int
    images: int


class SplitFigures(ResponseModel):
    """Pictures and boxes of a split."""

    images: int
    images_without_boxes: int
    boxes: int
    dontcare: int
    sizes: list[SizeCount] = Field(description="The 50 most frequent, first the most frequent")
    other_sizes: int = Field(description="How many sizes more there are")
    classes: dict[str, ClassFigures]


class StatisticsResponse(ResponseModel):
    """What a version's pictures and boxes are like."""

    version: int
    splits: dict[str, SplitFigures]


class Survivors(ResponseModel):
    """What becomes of the boxes of one class; one may be both without cell and too low."""

    boxes: int
    below_min_size: int = Field(description="Validation: don't care because of val_min_box_size")
    without_cell: int = Field(description="Outside, or under other boxes: no coverage cell is theirs")
    too_low: int = Field(description="Lower than clustering lets pass")
    learnable: int


BySplitAndClass = dict[str, dict[str, Survivors]]


class SizeSuggestion(ResponseModel):
    """The input size to take."""

    width: int
    height: int
    reason: str
    splits: BySplitAndClass = Field(description="Survivors at this size")


class PreviewResponse(ResponseModel):
    """Whether a network of this input size can learn."""

    version: int
    width: int
    height: int
    stride: int
    splits: BySplitAndClass
    suggestion: SizeSuggestion


class ImageChange(ResponseModel):
    """One picture that is not the same in both versions."""

    split: str
    key: str
    change: Literal["added", "removed", "changed", "relabelled"] = Field(
        description="changed: other bytes; relabelled: other boxes only"
    )
    boxes_added: int
    boxes_removed: int
    boxes_changed: int = Field(description="Of another class or place, overlapping the old one by half")


class SplitChanges(ResponseModel):
    """Sums of a split."""

    images_added: int
    images_removed: int
    images_changed: int
    images_relabelled: int
    boxes_added: int
    boxes_removed: int
    boxes_changed: int


class DifferenceResponse(ResponseModel):
    """One page of what changed between two versions, by split and key; sums are of all."""

    base: int
    version: int
    splits: dict[str, SplitChanges]
    items: list[ImageChange]
    next_page_token: str | None = None
