"""Bodies of the dataset service. Sizes are pixels, ratios 0-1, times RFC 3339."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel, Sha256, Tags
from periscope.wire.ingest_options import IngestOptions

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$"
MAX_UPLOAD_BYTES = 1 << 40


class DatasetRequest(RequestModel):
    """A new data set, still without a version."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique; letters, digits and . _ - or space")
    group: str | None = Field(None, max_length=100, description="What it is listed with")


class DatasetResponse(ResponseModel):
    """A data set and its newest version."""

    id: str
    name: str
    group: str | None = None
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
    sha256: Sha256 | None = Field(None, description="Of the archive, by which a broken upload is found again")


class BaseVersion(RequestModel):
    """The version that the new one is made from, its options too unless others are given."""

    version: int = Field(ge=1, le=99_999_999)
    mode: Literal["append", "replace"] = Field(
        description="append: a picture or label of a name that the base has is an error; "
        "replace: it takes the place of the base's"
    )


class VersionWish(RequestModel):
    """What is kept with the version that is to be made."""

    description: str = Field("", max_length=2000)
    labels: Tags = Field(default_factory=dict, description="Names and values of your own")


class FinalizeRequest(VersionWish):
    """Says that the archive is whole."""

    base: BaseVersion | None = Field(None, description="Default: the version holds the archive alone")
    options: IngestOptions = Field(default_factory=lambda: IngestOptions.model_validate({}))


class ImportRequest(VersionWish):
    """Pictures and labels that lie in the bucket already."""

    base: BaseVersion | None = Field(None, description="Default: the version holds the folder alone")
    prefix: str = Field(
        pattern=r"^imports/[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*/$",
        max_length=500,
        description="A folder below imports/, with / at its end; all objects below it are read",
    )
    options: IngestOptions = Field(default_factory=lambda: IngestOptions.model_validate({}))


class ImageName(RequestModel):
    """Names a picture of a version."""

    split: Literal["train", "val", "test"]
    key: str = Field(min_length=1, max_length=500)


class RemoveImagesRequest(VersionWish):
    """Which pictures the new version shall not have."""

    images: list[ImageName] = Field(min_length=1, max_length=10_000)


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
    state: Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
    progress: float
    stage: str | None = Field(None, description="download, unpack, check, lint or store")
    eta_s: float | None = Field(None, description="Seconds to go, as far as known")
    notes: list[str] = Field(default=[], description="Options that were given and have no effect")
    version: int | None
    errors: list[IngestError]
    error_count: int
    warnings: list[IngestError]
    warning_count: int
    findings: list[LintFinding] = Field(default=[], description="Everything, by code, errors first")
    created_at: str
    updated_at: str


class IngestList(ResponseModel):
    """One page of ingests, oldest first."""

    items: list[IngestResponse]
    next_page_token: str | None = None


class Lineage(ResponseModel):
    """What a version was made from."""

    base_version: int
    action: Literal["append", "replace", "remove"]
    removed: int | None = Field(None, description="Pictures, of remove")


class VersionManifest(ResponseModel):
    """All that is known of a version; it never changes. There are more fields than these."""

    dataset_id: str
    name: str
    version: int
    created_at: str
    classes: list[str] = Field(description="In coverage order")
    splits: dict[str, dict[str, Any]] = Field(description="Pictures, boxes and blobs of each")
    options: dict[str, Any]
    findings: list[LintFinding] = []
    description: str = ""
    labels: dict[str, str] = {}
    lineage: Lineage | None = None


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
    matched: int = Field(description="On all pages")
    examples_only: bool = Field(description="More may have the finding: its examples are known")
