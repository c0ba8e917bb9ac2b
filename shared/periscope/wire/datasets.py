"""Bodies of the dataset service. Sizes are pixels, ratios 0-1, times RFC 3339."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel

Side = Annotated[int, Field(ge=1, le=16384)]
ClassName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S+$")]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$"
MAX_UPLOAD_BYTES = 1 << 40


class DatasetRequest(RequestModel):
    """A new data set, still without a version."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique; letters, digits and . _ - or space")


class DatasetResponse(ResponseModel):
    """A data set and its newest version."""

    id: str
    name: str
    created_at: str
    latest_version: int | None = None


class DatasetList(ResponseModel):
    """One page of data sets, oldest first."""

    items: list[DatasetResponse]
    next_page_token: str | None = None


class UploadRequest(RequestModel):
    """Announces an archive: zip, tar or tar.gz."""

    filename: str = Field(min_length=1, max_length=200)
    size_bytes: int = Field(ge=1, le=MAX_UPLOAD_BYTES)


class UploadPart(ResponseModel):
    """One piece of the archive and where to PUT it."""

    number: int
    url: str
    size_bytes: int


class UploadResponse(ResponseModel):
    """Where to send the archive."""

    upload_id: str
    filename: str
    size_bytes: int
    part_size_bytes: int
    created_at: str
    expires_at: str
    parts: list[UploadPart]


class Size(RequestModel):
    """Width and height in pixels."""

    width: Side
    height: Side


class IngestOptions(RequestModel):
    """How the archive is to be understood. Pictures are kept as they came; sizes take effect in training."""

    classes: list[ClassName] | None = Field(
        None,
        max_length=256,
        description="In coverage order, dontcare implied; default: those in the labels",
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
    group_by: Literal["picture", "folder"] = Field(
        "picture", description="What val_ratio keeps together: with folder, all pictures of a folder"
    )


class FinalizeRequest(RequestModel):
    """Says that the archive is whole."""

    options: IngestOptions = Field(default_factory=lambda: IngestOptions.model_validate({}))


class IngestError(ResponseModel):
    """One thing that is wrong, where, and what to do."""

    file: str | None
    line: int | None
    code: str
    message: str
    advice: str


class FindingExample(ResponseModel):
    """One place where a finding is true."""

    file: str | None
    line: int | None
    box: tuple[float, float, float, float] | None = Field(
        description="Left, top, right, bottom in the file's pixels"
    )


class LintFinding(ResponseModel):
    """Something that is wrong with a data set, or odd; errors keep training jobs from its version."""

    code: str
    severity: Literal["error", "warning"]
    count: int
    message: str
    why: str
    advice: str
    examples: list[FindingExample]


class IngestResponse(ResponseModel):
    """How the ingest of an archive stands."""

    id: str
    dataset_id: str
    state: Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED"]
    progress: float
    version: int | None
    errors: list[IngestError]
    error_count: int
    warnings: list[IngestError]
    warning_count: int
    findings: list[LintFinding] = Field(default=[], description="Everything, by code, errors first")
    created_at: str
    updated_at: str


class VersionList(ResponseModel):
    """All versions' manifests, oldest first."""

    items: list[dict[str, Any]]
    next_page_token: str | None = None


class LabelledObject(ResponseModel):
    """One object of a picture."""

    type: str
    class_index: int | None = Field(description="Coverage channel; null is don't care")
    xyxy: tuple[float, float, float, float]
    line: int


class ImageResponse(ResponseModel):
    """One picture of a version."""

    split: str
    key: str
    filename: str
    width: int
    height: int
    boxes: int
    sha256: str
    objects: list[LabelledObject] | None = None


class ImageList(ResponseModel):
    """One page of pictures, by name."""

    items: list[ImageResponse]
    next_page_token: str | None = None
