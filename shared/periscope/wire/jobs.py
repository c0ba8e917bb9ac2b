"""Bodies of the training service: jobs, their progress and curves.

Ratios are 0-1, times RFC 3339 in UTC, lengths seconds.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.training_options import InputSize, NotNegative, Positive, Ratio, TrainingOptions

Finite = Annotated[float, Field(allow_inf_nan=False)]


Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=20)]


class ResourceWish(RequestModel):
    """What a job asks for of a machine, where it needs less than an administrator has set; never more."""

    gpus: int | None = Field(None, ge=0, le=64, description="For each node; 0 trains on the CPU")
    gpu_indices: list[Annotated[int, Field(ge=0, le=63)]] | None = Field(
        None, min_length=1, max_length=64, description="Just these of GET /v1/gpus; not on Kubernetes"
    )
    nodes: int | None = Field(None, ge=1, le=64)
    cpu: Quantity | None = Field(None, description="Processors, as Kubernetes writes them: 2 or 500m")
    memory: Quantity | None = Field(None, description="As Kubernetes writes it: 8Gi")
    shared_memory: Quantity | None = None
    scratch: Quantity | None = Field(None, description="Disk for the copy of the data set")
    max_runtime_s: int | None = Field(None, ge=60, description="The job's attempt ends after so long")


class Limits(RequestModel):
    """When a job has had enough; what is left out does not limit it."""

    deadline: AwareDatetime | None = Field(None, description="RFC 3339; a job still at work then is ended")
    max_gpu_hours: Positive | None = Field(None, description="Of all attempts, times the GPUs they hold")
    early_stop_epochs: Positive | None = Field(
        None, description="End with success once digits_map has not risen for so many epochs"
    )


Label = Annotated[str, Field(max_length=63)]
Notes = Annotated[str, Field(max_length=10_000)]
Group = Annotated[str, Field(max_length=100)]
Labels = Annotated[dict[Label, Label], Field(max_length=32)]


class JobRequest(TrainingOptions):
    """A training job on one version of a dataset."""

    name: str = Field(min_length=1, max_length=100)
    dataset: str = Field(min_length=1, max_length=100, description="Id or name")
    dataset_version: int | None = Field(None, ge=1, description="Default: the newest")
    dataset_ingest: str | None = Field(
        None,
        max_length=26,
        description="Id of an ingest of the dataset: the job waits for it and trains on what it makes",
    )
    input: InputSize | None = Field(
        None, description="Default: the size of the dataset's images after padding and resizing"
    )
    recipe: str = Field("default", max_length=40)
    resources: ResourceWish | None = Field(
        None, description="What it needs of a machine; without Kubernetes GPUs count only"
    )
    network: str | None = Field(
        None,
        max_length=500_000,
        description="A DetectNet prototxt, as text: its size, batches and augmentation count where the "
        "request does not say; a layer that is not DetectNet's is refused by name and line",
    )
    group: Group | None = Field(None, description="Jobs that belong together")
    notes: Notes | None = None
    labels: Labels | None = None
    limits: Limits | None = None
    pretrained: str | None = Field(
        None, max_length=100, description="Name of a pretrained model whose weights to begin with"
    )
    allow_findings: list[Annotated[str, Field(max_length=40)]] = Field(
        default=[], max_length=64, description="Codes of the dataset's error findings to train in spite of"
    )


class Losses(RequestModel):
    """The two parts of the loss, before their weights."""

    loss_bbox: Finite
    loss_coverage: Finite


class ClassFigures(RequestModel):
    """Validation figures of one class."""

    precision: Ratio
    recall: Ratio
    digits_map: Ratio
    pooled_map: Ratio
    coco_ap: Ratio | None = Field(None, description="Null where the class has no object")
    coco_ap50: Ratio | None = None


class ValidationFigures(Losses):
    """Validation figures; the maps at the top are means over the classes."""

    decoder: str = Field("digits", max_length=20, description="Whose boxes are judged")
    digits_map: Ratio
    pooled_map: Ratio
    coco_ap: Ratio | None = Field(None, description="Of the classes that have objects")
    coco_ap50: Ratio | None = None
    classes: dict[str, ClassFigures] = Field(max_length=256)


class ProgressRequest(RequestModel):
    """What the training program posts while it works."""

    step: int = Field(ge=0)
    max_step: int = Field(ge=1)
    epoch: NotNegative
    epochs: Positive
    learning_rate: NotNegative
    train: Losses
    val: ValidationFigures | None = None
    images_per_second: NotNegative
    eta_s: NotNegative | None = None
    at: str = Field(max_length=40)


class DatasetVersion(ResponseModel):
    """What a job trains on."""

    id: str
    version: int = Field(description="0 while the job waits for the ingest that makes it")
    name: str
    findings: list[dict[str, Any]] = Field(
        default=[], description="What the dataset's lint found: code, severity, count and message of each"
    )


class StateChange(ResponseModel):
    """One entry of a job's or publication's history."""

    state: str
    at: str
    reason: str


class AttemptResponse(ResponseModel):
    """One start of the training program."""

    number: int
    created_at: str
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    reason: str
    counted: bool = Field(description="Whether it counts against the limit of retries")
    preemptions: int = Field(0, description="Times the cluster took it away and started it again")


class ErrorReportResponse(ResponseModel):
    """Why the training program gave up."""

    error: str
    code: str
    advice: str


class EpochResponse(ResponseModel):
    """One validation interval that was saved; it can be published."""

    epoch: float
    step: int
    attempt: int
    metrics: dict[str, Any]
    best: bool = Field(description="Whether it has the highest digits_map")


class JobProgress(ResponseModel):
    """How far a job is."""

    step: int
    max_step: int
    epoch: float
    epochs: float
    ratio: float
    eta_s: float | None
    learning_rate: float
    images_per_second: float
    train: dict[str, float]
    val: dict[str, Any] | None
    at: str


class JobSummary(ResponseModel):
    """A job in a list."""

    id: str
    name: str
    group: str = ""
    labels: dict[str, str] = {}
    state: str
    reason: str
    desired: str
    queue_position: int | None = Field(None, description="1 is next; null when it does not wait in the queue")
    dataset: DatasetVersion
    network: dict[str, Any]
    training: dict[str, Any]
    created_at: str
    updated_at: str
    ended_at: str | None


class JobResponse(JobSummary):
    """A job with how it stands."""

    notes: str = ""
    limits: dict[str, Any] = {}
    request: dict[str, Any] = Field({}, description="What was asked for; the rest comes from the recipe")
    warnings: list[str] = Field([], description="What to think about before these options are used")
    error: ErrorReportResponse | None
    history: list[StateChange]
    attempts: list[AttemptResponse]
    retry_at: str | None
    progress: JobProgress | None
    latest_epoch: EpochResponse | None
    best_epoch: EpochResponse | None


class JobList(ResponseModel):
    """A page of jobs, oldest first."""

    items: list[JobSummary]
    next_page_token: str | None


class HistoryResponse(ResponseModel):
    """A job's curves: validation by epoch, training by step (thinned to the asked number of points)."""

    epochs: list[EpochResponse]
    progress: list[dict[str, Any]]


class EpochList(ResponseModel):
    """The epochs of a job that can be published, oldest first."""

    items: list[EpochResponse]
    next_page_token: str | None


class RecipeList(ResponseModel):
    """The recipes and what each sets."""

    items: list[dict[str, Any]]
