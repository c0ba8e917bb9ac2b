"""Training jobs: making and steering them, curves and logs, trying and publishing their epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from periscope.client import Progress, ServiceClient
from periscope.wire.job_changes import CloneResponse, PlanResponse
from periscope.wire.job_options import GpuList
from periscope.wire.jobs import EpochResponse, HistoryResponse, JobResponse, JobSummary
from periscope.wire.predictions import PredictionResponse
from periscope.wire.publications import PublicationResponse
from periscope_cli.client.calls import JOB_ENDS, ULID, Document, keyed, typed_pages, until
from periscope_cli.client.streams import job_events, job_log
from periscope_cli.errors import Ended, NotThere

PUBLICATION_ENDS = ("SUCCEEDED", "FAILED")
BINARY = {"Content-Type": "application/octet-stream"}

Decoder = Literal["digits", "jetson-caffe", "jetson-onnx"]
Epoch = float | str
"""A number as ``epochs`` lists them, or ``best`` or ``latest``."""


class Jobs:
    """Jobs of one training service. A ``job`` is named by its id, or by its name: the newest of that name."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def create(self, wish: Mapping[str, Any], key: str | None = None) -> JobResponse:
        """Make a job of a ``JobRequest``'s fields; the key of an earlier call finds that one's job again."""
        return JobResponse.model_validate(self._client.post("/v1/jobs", json=dict(wish), headers=keyed(key)))

    def plan(self, wish: Mapping[str, Any]) -> PlanResponse:
        """What a job would be; nothing is made."""
        answer = self._client.post("/v1/jobs", json=dict(wish), params={"dry_run": True}, headers=keyed())
        return PlanResponse.model_validate(answer)

    def clone(self, job: str, overrides: Mapping[str, Any]) -> CloneResponse:
        """A new job like another, with some fields of its request replaced."""
        path = f"/v1/jobs/{self.find(job)}:clone"
        answer = self._client.post(path, json={"overrides": dict(overrides)}, headers=keyed())
        return CloneResponse.model_validate(answer)

    def list(self, **filters: Any) -> Iterator[JobSummary]:
        """Oldest first; filters are ``state``, ``name``, ``group``, ``dataset`` and ``label``."""
        given = {name: value for name, value in filters.items() if value}
        return typed_pages(self._client, "/v1/jobs", JobSummary, given)

    def find(self, job: str) -> str:
        """The id itself, or that of the newest job of this name. Raises NotThere."""
        if ULID.fullmatch(job):
            return job
        named = [found.id for found in self.list(name=job) if found.name == job]
        if not named:
            raise NotThere(f"there is no job {job!r}; `periscope jobs` shows what there is")
        return max(named)

    def get(self, job: str) -> JobResponse:
        """Raises NotThere, ServiceProblem."""
        return JobResponse.model_validate(self._client.get(f"/v1/jobs/{self.find(job)}"))

    def wait(
        self,
        job: str,
        on_state: Callable[[JobResponse], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> JobResponse:
        """Until a job has ended. Raises Ended unless it succeeded."""

        def show(document: Document) -> None:
            on_state(JobResponse.model_validate(document))

        path = f"/v1/jobs/{self.find(job)}"
        ended = JobResponse.model_validate(until(self._client, path, JOB_ENDS, show, note))
        if ended.state != "SUCCEEDED":
            told = ended.error.error if ended.error else ended.reason
            raise Ended(f"the job {ended.name} ({ended.id}) {ended.state.lower()}: {told}", ended)
        return ended

    def act(self, job: str, action: Literal["cancel", "pause", "resume"]) -> JobResponse:
        """Ask for a job's end, pause or going on."""
        path = f"/v1/jobs/{self.find(job)}:{action}"
        return JobResponse.model_validate(self._client.post(path, headers=keyed()))

    def delete(self, job: str) -> None:
        """Raises ServiceProblem where it is at work or something needs it."""
        self._client.delete(f"/v1/jobs/{self.find(job)}")

    def gpus(self) -> GpuList:
        """The GPUs that the training service itself sees."""
        return GpuList.model_validate(self._client.get("/v1/gpus"))

    def history(self, job: str, points: int = 500) -> HistoryResponse:
        """The curves, thinned to so many points."""
        path = f"/v1/jobs/{self.find(job)}/history"
        return HistoryResponse.model_validate(self._client.get(path, params={"points": points}))

    def events(self, job: str, note: Callable[[str], None] = lambda _: None) -> Iterator[Document]:
        """What happens, as it happens, until the job has ended: ``{"event": ..., **data}``.

        Events are ``state``, ``progress``, ``epoch`` and ``end``, each told once, over as many connections
        as that takes; ``note`` is told where the service is away meanwhile.
        """
        return job_events(self._client, f"/v1/jobs/{self.find(job)}", note)

    def log(self, job: str, attempt: int | None = None) -> str:
        """What the training program printed so far; the newest attempt's unless one is given."""
        params = {} if attempt is None else {"attempt": attempt}
        answer = self._client.call("GET", f"/v1/jobs/{self.find(job)}/log", params=params)
        return answer.content.decode("utf-8", "replace")

    def follow_log(
        self, job: str, attempt: int | None = None, note: Callable[[str], None] = lambda _: None
    ) -> Iterator[str]:
        """The same piece by piece, until the job has ended; later attempts too unless one is given."""
        return job_log(self._client, f"/v1/jobs/{self.find(job)}", attempt, note)

    def epochs(self, job: str) -> Iterator[EpochResponse]:
        """The epochs that can be tried and published, oldest first."""
        return typed_pages(self._client, f"/v1/jobs/{self.find(job)}/epochs", EpochResponse)

    def predict(
        self, job: str, image: Path, epoch: Epoch = "best", decoder: Decoder = "digits", **options: Any
    ) -> PredictionResponse:
        """What an epoch's network finds in a picture file; options are those of ``PredictQuery``."""
        answer = self._look(job, image, epoch, {"decoder": decoder, **options, "view": "boxes"})
        return PredictionResponse.model_validate_json(answer)

    def draw(
        self, job: str, image: Path, epoch: Epoch = "best", decoder: Decoder = "digits", **options: Any
    ) -> bytes:
        """The same drawn over the picture, as PNG; ``view="coverage"`` draws a heat map."""
        return self._look(job, image, epoch, {"decoder": decoder, "view": "overlay", **options})

    def epoch_zip(
        self, job: str, target: Path, epoch: Epoch = "best", on_progress: Progress | None = None
    ) -> None:
        """Write an epoch as a zip that a Jetson loads, without publishing it."""
        path = f"/v1/jobs/{self.find(job)}/epochs/{_number(epoch)}.zip"
        self._client.download(path, target, None, on_progress)

    def publish(
        self,
        job: str,
        model: str,
        epoch: Epoch = "best",
        aliases: tuple[str, ...] = ("latest",),
        key: str | None = None,
    ) -> PublicationResponse:
        """Begin to publish an epoch as a new version of a model."""
        path = f"/v1/jobs/{self.find(job)}/epochs/{_number(epoch)}:publish"
        body = {"model": model, "aliases": list(aliases)}
        return PublicationResponse.model_validate(self._client.post(path, json=body, headers=keyed(key)))

    def wait_for_publication(
        self,
        publication_id: str,
        on_state: Callable[[PublicationResponse], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> PublicationResponse:
        """Until a publication has ended. Raises Ended unless it succeeded."""

        def show(document: Document) -> None:
            on_state(PublicationResponse.model_validate(document))

        path = f"/v1/publications/{publication_id}"
        ended = PublicationResponse.model_validate(until(self._client, path, PUBLICATION_ENDS, show, note))
        if ended.state != "SUCCEEDED":
            raise Ended(f"the publication failed: {ended.reason}", ended)
        return ended

    def _look(self, job: str, image: Path, epoch: Epoch, query: Mapping[str, Any]) -> bytes:
        path = f"/v1/jobs/{self.find(job)}/epochs/{_number(epoch)}:predict"
        answer = self._client.call("POST", path, params=query, data=image.read_bytes(), headers=BINARY)
        return answer.content


def _number(epoch: Epoch) -> str:
    return epoch if isinstance(epoch, str) else f"{epoch:g}"
