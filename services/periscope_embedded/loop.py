"""The whole loop on one machine: pictures, dataset, training, registry, robot, and a picture with detections.

It goes through the same calls as the command line, the same services as a cluster, and the same agent as a
robot; nothing is handed over behind their backs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from detectnet.drawing import encode_png
from periscope.client import ServiceError, ServiceUnreachable
from periscope_cli.console import Console, duration_text, percent
from periscope_cli.failures import CommandFailed
from periscope_cli.job_texts import publication_text
from periscope_cli.progress import ProgressLine
from periscope_cli.pushing import push, push_options
from periscope_cli.session import Session
from periscope_cli.watching import watch_job, watch_publication
from periscope_embedded.contact_sheet import contact_sheet
from periscope_embedded.home import Home
from periscope_embedded.judging import JudgedPicture, choose_for_show, count_classes
from periscope_embedded.pictures import Source, folder_source, load_validation, synthetic_source
from periscope_embedded.release_keys import ROOT_NAME
from periscope_embedded.resume import RunMemory, recall_run
from periscope_embedded.robot import Robot, RobotOffline
from periscope_embedded.settings import Settings
from periscope_embedded.stack import Stack, running_stack
from periscope_embedded.supervisor import signals_stop

STEPS = 6
SHOWN_PICTURES = 12
MAX_JUDGED_PICTURES = 300
DEFAULT_SIZE = (256, 256)
SYNTHETIC_EPOCHS = 10
"""Enough for the generated pictures; one's own get the recipe's number."""
PATIENCE_S = 180.0
"""How long a step is repeated while a service is away."""

Document = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Wishes:
    """The knobs of ``make run``; None keeps the default."""

    data: Path | None = None
    epochs: int | None = None
    size: tuple[int, int] | None = None
    classes: list[str] | None = None
    train_images: int = 560
    val_images: int = 60


class Loop:
    """One run over services that are up."""

    def __init__(self, home: Home, stack: Stack, memory: RunMemory, source: Source) -> None:
        self._home = home
        self._stack = stack
        self._memory = memory
        self._source = source
        self._session = Session(stack.addresses.connection(), Console(out=sys.stderr))

    def push(self, classes: list[str] | None) -> int:
        """Push the pictures, unless the interrupted run has done so; return the dataset's version."""
        step(2, f"Pushing {self._source.folder} as the dataset {self._source.name!r}")
        version = self._memory.get("dataset_version")
        if version is None:
            options = push_options(classes, None, None, None)
            pushed = push(self._session, self._source.name, self._source.folder, options)
            version = pushed["version"]
            self._memory.keep("dataset_version", version)
        tell(f"dataset {self._source.name} version {version}")
        return int(version)

    def train(self, version: int, epochs: int | None) -> Document:
        """Train, or go on watching the interrupted run's job; return the finished job."""
        width, height = self._source.size
        note = f" ({self._source.size_note})" if self._source.size_note else ""
        step(3, f"Training DetectNet with input {width}x{height}{note}")
        wish: Document = {
            "name": self._source.name,
            "dataset": self._source.name,
            "dataset_version": version,
            "input": {"width": width, "height": height},
        }
        if epochs is not None:
            wish["epochs"] = epochs
        job = self._session.api.jobs.create(wish, f"{self._memory.key}-train")
        self._memory.keep("job_id", job.id)
        tell(f"job {job.id}, its log: .venv/bin/periscope logs {job.id} (while services are up)")
        return watch_job(self._session, job.id)

    def publish(self, job: Document) -> Document:
        """Publish the best epoch; return the finished publication."""
        step(4, "Publishing the best epoch: OpenCV must reproduce PyTorch's numbers first")
        begun = self._session.api.jobs.publish(
            job["id"], self._source.name, key=f"{self._memory.key}-publish"
        )
        publication = watch_publication(self._session, begun.id)
        tell(f"model {publication_text(publication)}")
        parity = publication.get("parity")
        if parity:
            tell(f"largest differences: coverage {parity['coverage']:.1e}, boxes {parity['boxes_px']:.1e} px")
        for warning in publication.get("warnings") or []:
            tell(f"warning: {warning}")
        return publication

    def deliver(self) -> Robot:
        """Have the robot's agent pull the model."""
        step(5, "The robot's agent pulls the model")
        root_file = self._home.path("keys") / ROOT_NAME
        registry_url = self._stack.addresses.registry
        robot = Robot(self._home.path("robot"), registry_url, self._stack.environ, root_file)
        robot.enrol(self._session, self._source.name)
        robot.update(self._session)
        tell(f"in use: {(robot.root / 'current').resolve()}")
        return robot

    def detect(self, robot: Robot, job: Document, publication: Document) -> Path:
        """Run the pulled network on validation pictures, tell the figures, and draw them."""
        step(6, "The robot's network looks at validation pictures (OpenCV, Jetson's decoder)")
        release = robot.release()
        pictures = load_validation(self._source.folder, MAX_JUDGED_PICTURES)
        line = self._session.progress()
        judged = []
        for number, picture in enumerate(pictures, start=1):
            judged.append(JudgedPicture(picture, tuple(release.detect(picture.image))))
            line.show("detect ", number / len(pictures), f"{number} of {len(pictures)} pictures")
        line.end()
        tell(figures_text(job, judged, release.labels))
        title = f"{publication['model']} version {publication['version']}"
        best = job["best_epoch"]
        subtitle = (
            f"epoch {best['epoch']:g}, input {release.size[0]}x{release.size[1]}, "
            f"mAP {percent(best['metrics']['val']['digits_map'])}, Caffe pair run by OpenCV"
        )
        sheet = contact_sheet(
            choose_for_show(judged, release.labels, SHOWN_PICTURES), release.labels, title, subtitle
        )
        path = self._home.path("pictures") / f"{publication['model']}-{publication['version']}.png"
        path.write_bytes(encode_png(sheet))
        return path

    def cancel(self, job_id: str) -> None:
        """End an abandoned run's job, so that it does not take the processors; it may have ended long ago."""
        with suppress(ServiceError):
            self._session.api.jobs.act(job_id, "cancel")


def epochs_wished(wishes: Wishes) -> int | None:
    """How long to train; None leaves it to the recipe."""
    return SYNTHETIC_EPOCHS if wishes.epochs is None and wishes.data is None else wishes.epochs


def run(home: Home, settings: Settings, wishes: Wishes) -> Path:
    """Go through the loop and return the picture's path; nothing is left running.

    Raises:
        Whatever the parts raise; ``__main__`` turns it into words.
    """
    began = time.monotonic()
    with signals_stop(), home.held("run"):
        source = _find_source(home, wishes)
        memory, abandoned = recall_run(home, _remembered(wishes, source))
        step(1, "Starting the object store and the three services")
        with running_stack(home, settings, "run", tell) as stack:
            tell(stack.addresses.to_text())
            loop = Loop(home, stack, memory, source)
            if abandoned is not None:
                loop.cancel(abandoned)
            if memory.is_resumed:
                tell("going on with the run that was interrupted")
            path = _go_round(loop, memory, wishes)
            tell(f"done in {duration_text(time.monotonic() - began)}; ending the services that were at\n"
                 f"{stack.addresses.to_text()}")  # fmt: skip
    return path


def _go_round(loop: Loop, memory: RunMemory, wishes: Wishes) -> Path:
    try:
        version = persist(lambda: loop.push(wishes.classes))
        job = persist(lambda: loop.train(version, epochs_wished(wishes)))
        publication = persist(lambda: loop.publish(job))
        robot = persist(loop.deliver)
        path = loop.detect(robot, job, publication)
    except CommandFailed:
        # It would fail again in the same way.
        memory.forget()
        raise
    memory.forget()
    return path


def persist(call: Callable[[], Result]) -> Result:
    """Repeat a step while a service or the store restarts; every step may be repeated."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except (ServiceUnreachable, RobotOffline) as error:
            if time.monotonic() > deadline:
                raise
            tell(f"{error}; once more")
            time.sleep(1)


def figures_text(job: Document, judged: list[JudgedPicture], labels: tuple[str, ...]) -> str:
    """A table of the best epoch's figures beside what the robot's decoder makes of the same pictures."""
    val = job["best_epoch"]["metrics"]["val"]["classes"]
    counts = count_classes(judged, labels)
    lines = [f"{'class':<16} {'digits_map':>10} {'precision':>10} {'recall':>8}   robot: precision, recall"]
    for name in labels:
        told, found = val[name], counts[name]
        lines.append(
            f"{name:<16} {percent(told['digits_map']):>10} {percent(told['precision']):>10} "
            f"{percent(told['recall']):>8}   {percent(found.precision):>16}, {percent(found.recall)}"
        )
    lines.append(f"(validation, epoch {job['best_epoch']['epoch']:g}, a hit has an IoU of at least 0.7)")
    return "\n".join(lines)


def _find_source(home: Home, wishes: Wishes) -> Source:
    if wishes.data is not None:
        return folder_source(wishes.data, wishes.size)
    line = ProgressLine(sys.stderr)

    def show(done: int, total: int) -> None:
        line.show("generate", done / total, f"{done} of {total} pictures", milestone=done == total)

    images = (wishes.train_images, wishes.val_images)
    return synthetic_source(home.path("data"), wishes.size or DEFAULT_SIZE, images, wishes.classes, show)


def _remembered(wishes: Wishes, source: Source) -> Document:
    data = str(wishes.data.resolve()) if wishes.data else None
    size = list(wishes.size) if wishes.size else None
    return {**asdict(wishes), "data": data, "size": size, "fingerprint": source.fingerprint}


def step(number: int, text: str) -> None:
    """Begin a step."""
    print(f"\n[{number}/{STEPS}] {text}", flush=True)


def tell(text: str) -> None:
    """What happens within a step."""
    print(text, flush=True)
