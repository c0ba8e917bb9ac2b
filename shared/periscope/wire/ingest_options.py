"""How an archive is to be understood. All of DIGITS's own options are taken."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from periscope.wire.base import RequestModel

Side = Annotated[int, Field(ge=1, le=16384)]
ClassName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S+$")]
MAX_CLASSES = 256


class Size(RequestModel):
    """Width and height in pixels."""

    width: Side
    height: Side


class ClassMapOptions(RequestModel):
    """What becomes of the types in the labels; they are compared without regard to case."""

    names: list[ClassName] | None = Field(
        None,
        max_length=MAX_CLASSES,
        description="Classes in coverage order, dontcare implied; default: what the labels hold",
    )
    merge: dict[ClassName, ClassName] = Field(
        default_factory=dict,
        max_length=1000,
        description="Other names: the type in the labels, and the class it counts as",
    )
    dontcare: list[ClassName] = Field(
        default_factory=list, max_length=1000, description="Types that become don't care"
    )
    drop: list[ClassName] = Field(
        default_factory=list, max_length=1000, description="Types whose objects are taken out"
    )
    unknown: Literal["error", "dontcare", "drop"] = Field(
        "error", description="What becomes of types that are not named; DIGITS made them don't care"
    )


class IngestOptions(RequestModel):
    """How the archive is to be understood. Pictures are kept as they came; sizes take effect in training."""

    classes: Annotated[list[ClassName], Field(max_length=MAX_CLASSES)] | ClassMapOptions | None = Field(
        None,
        description="In coverage order, dontcare implied; default: those in the labels. Or a class map",
    )
    pad: Size | None = Field(None, description="Pad at the right and bottom to this size, before the resize")
    resize: Size | None = Field(None, description="Squash to this size; multiples of 16")
    val_min_box_size: int = Field(
        25, ge=0, le=16384, description="Validation objects narrower or lower than this become don't care"
    )
    val_ratio: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Where the archive has no validation: the share of pictures to take for it",
    )
    group_by: Literal["picture", "folder", "sequence"] = Field(
        "picture",
        description="What val_ratio keeps together: with folder, all pictures of a folder; with sequence, "
        "those of a folder whose names differ in their last number only",
    )
    unlabelled: bool = Field(
        False, description="Plain pictures: they become the split test of a version that cannot be trained on"
    )
    defaults: Literal["periscope", "digits"] = Field(
        "periscope",
        description="With digits, what is not given is as in DIGITS: padding to 1248x384, "
        "and types that are not among the classes become don't care",
    )
    custom_classes: str | None = Field(
        None, max_length=20_000, description="DIGITS's list of classes, with commas; the same as classes"
    )
    channel_conversion: Literal["RGB", "L", "none"] = Field("RGB", description="Without effect; noted")
    feature_encoding: Literal["none", "png", "jpg"] = Field("png", description="Without effect; noted")
    label_encoding: Literal["none", "png", "jpg"] = Field("none", description="Without effect; noted")
    encoder_batch_size: int = Field(32, ge=1, description="Without effect; noted")
    encoder_threads: int = Field(4, ge=1, description="Without effect; noted")
    backend: Literal["lmdb"] = Field("lmdb", description="Without effect; noted")
    force_same_shape: bool = Field(True, description="Without effect; noted")
