"""The whole loop over HTTP as a patient client goes through it, and an observer that looks for half-made things."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from periscope import keys
from periscope.client import ServiceClient, ServiceProblem, ServiceUnreachable
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope.store import StoreError
from periscope_embedded.seaweedfs import SeaweedFS
from tests.kitti_archives import as_tar, sound_files

PATIENCE_S = 120.0
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
EPOCHS = 4

Result = TypeVar("Result")
Document = dict[str, Any]


@dataclass
class Stack:
    """The embedded default, up in a folder of its own."""

    home: Path

    @classmethod
    @contextmanager
    def serving(cls, home: Path) -> Iterator[Stack]:
        """Start it as ``make serve`` does, and end it as ``make down`` does."""
        stack = cls(home)
        stack._call("serve")
        try:
            yield stack
        finally:
            stack._call("down")

    @property
    def environ(self) -> dict[str, str]:
        """For programs that are to find it."""
        return {**os.environ, "PERISCOPE_HOME": str(self.home)}

    def addresses(self) -> dict[str, str]:
        """The services' addresses, and an administrator's token."""
        known: dict[str, str] = json.loads((self.home / "client.json").read_text())
        return known

    def client(self, service: str) -> ServiceClient:
        """A client of one service, as an administrator."""
        known = self.addresses()
        return ServiceClient(known[f"{service}_url"], known["token"])

    def store(self) -> S3Store:
        """The bucket, past the services."""
        return S3Store(SeaweedFS(self.home / "store").settings())

    def pid(self, name: str) -> int | None:
        """The process of ``store`` or a service, or with ``trainer`` of the training program."""
        if name == "trainer":
            return trainer_pid(self.home)
        pid = json.loads((self.home / "state.json").read_text())["processes"].get(name)
        return None if pid is None else int(pid)

    def kill(self, name: str) -> int:
        """End a process as a crash would; wait for it to be there first."""
        pid = wait_for(lambda: self.pid(name), f"no process of {name}")
        os.kill(pid, signal.SIGKILL)
        return pid

    def committed_epochs(self) -> int:
        """How many epochs all jobs together have in the store; 0 while it is away."""
        try:
            checkpoints = Documents(self.store()).list("checkpoints")
        except StoreError:
            return 0
        return sum(len(checkpoint.body["epochs"]) for checkpoint in checkpoints)

    def _call(self, command: str) -> None:
        run_embedded("periscope_embedded", command, self.environ)


def run_embedded(module: str, command: str, environ: Mapping[str, str]) -> None:
    """``serve`` or ``down`` of the embedded default."""
    done = subprocess.run(
        [sys.executable, "-m", module, command],
        env={**environ, "PERISCOPE_RETRY_BACKOFF_S": "0.5"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def trainer_pid(home: Path) -> int | None:
    """The training program whose work lies below ``home``: the innermost process of its name."""
    return innermost(home, "detectnet_trainer", "job", "--attempt")


def innermost(home: Path, *words: str) -> int | None:
    """The process with the highest number that has ``home`` in its environment and these words as arguments."""
    found = None
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            is_ours = str(home).encode() in (folder / "environ").read_bytes()
        except OSError:
            continue
        if is_ours and all(word.encode() in arguments for word in words):
            found = max(found or 0, int(folder.name))
    return found


def wait_for(look: Callable[[], Result | None], complaint: str, patience_s: float = PATIENCE_S) -> Result:
    """Look until there is something."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.05)
    raise AssertionError(complaint)


def persist(call: Callable[[], Result]) -> Result:
    """Call until the service is there again; what it refuses is refused."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except ServiceUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        except ServiceProblem as problem:
            if problem.status != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def keyed() -> dict[str, str]:
    """A header with which a POST may be sent again."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def run_loop(stack: Stack, name: str, scratch: Path) -> bytes:
    """Push, train, publish, pull; return the model's bytes."""
    pushed = push(stack, name, scratch)
    publish(stack, name, train(stack, name, pushed["version"]))
    return pull(stack, name, scratch)


def push(stack: Stack, name: str, scratch: Path) -> Document:
    """Push a small data set; return its ingest, with the ids of data set and version."""
    client = stack.client("dataset")
    archive = scratch / f"{name}.tar"
    files = sound_files(train=8, val=4)
    archive.write_bytes(
        as_tar({path: remark(file, name) if path.endswith(".png") else file for path, file in files.items()})
    )
    key = keyed()
    dataset = persist(lambda: client.post("/v1/datasets", json={"name": name}, headers=key))
    upload = persist(lambda: client.upload_file(f"/v1/datasets/{dataset['id']}/uploads", archive))
    path = f"/v1/datasets/{dataset['id']}/uploads/{upload['upload_id']}:finalize"
    key = keyed()
    answer = persist(lambda: client.call("POST", path, json={}, headers=key))
    ingest = wait_ended(client, urlsplit(answer.headers["Location"]).path)
    assert ingest["state"] == "SUCCEEDED", ingest
    return {"dataset_id": dataset["id"], **ingest}


def remark(png: bytes, word: str) -> bytes:
    """The same pixels in other bytes: blobs that an earlier loop stored would hide those that are missing."""
    chunk = b"tEXtloop\0" + word.encode()
    end = len(png) - 12
    framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:end] + framed + png[end:]


def train(stack: Stack, name: str, version: int) -> Document:
    """Train a few epochs of a very small network input."""
    client, key = stack.client("training"), keyed()
    wish = {
        "name": name, "dataset": name, "dataset_version": version, "input": {"width": 64, "height": 64},
        "epochs": EPOCHS, "batch_size": 2, "seed": 7, "threads": 1,
    }  # fmt: skip
    job = persist(lambda: client.post("/v1/jobs", json=wish, headers=key))
    ended = wait_ended(client, f"/v1/jobs/{job['id']}")
    assert ended["state"] == "SUCCEEDED", ended
    return ended


def publish(stack: Stack, name: str, job: Document, epoch: str = "latest") -> Document:
    """Publish an epoch."""
    client, key = stack.client("training"), keyed()
    path = f"/v1/jobs/{job['id']}/epochs/{epoch}:publish"
    wish = {"model": name, "aliases": ["latest"]}
    publication = persist(lambda: client.post(path, json=wish, headers=key))
    ended = wait_ended(client, f"/v1/publications/{publication['id']}")
    assert ended["state"] == "SUCCEEDED", ended
    return ended


def pull(stack: Stack, name: str, scratch: Path) -> bytes:
    """Download what the alias names, and take the weights out of it."""
    client = stack.client("registry")
    number = persist(lambda: client.get(f"/v1/models/{name}/aliases/latest"))["version"]
    version = persist(lambda: client.get(f"/v1/models/{name}/versions/{number}"))
    path = scratch / f"{name}.zip"
    zip_path = f"/v1/models/{name}/versions/{number}/zip"
    persist(lambda: client.download(zip_path, path, version["zip"]["sha256"]))
    with zipfile.ZipFile(path) as archive:
        weights = [member for member in archive.namelist() if member.endswith(".caffemodel")]
        return archive.read(weights[0])


def wait_ended(client: ServiceClient, path: str) -> Document:
    """Poll a resource until its state is final."""
    return wait_for(
        lambda: seen if (seen := persist(lambda: client.get(path)))["state"] in FINAL else None,
        f"{path} does not end",
    )


class Observer:
    """Looks all the time at what the services show, and notes what is shown but not whole in the store."""

    def __init__(self, stack: Stack) -> None:
        self.violations: list[str] = []
        self.looks = 0
        self._stack = stack
        self._store = stack.store()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            try:
                self.look()
            except (ServiceProblem, ServiceUnreachable, StoreError, OSError, ValueError):
                continue  # Something is down just now, as it should be in these tests.

    def look(self) -> None:
        """Check everything that is visible now."""
        datasets, models = self._stack.client("dataset"), self._stack.client("registry")
        for dataset in datasets.get("/v1/datasets")["items"]:
            for manifest in datasets.get(f"/v1/datasets/{dataset['id']}/versions")["items"]:
                for split in manifest["splits"].values():
                    for blob in [*split["shards"], split["index"]]:
                        self._require(blob, f"data set {dataset['name']} version {manifest['version']}")
        for model in models.get("/v1/models")["items"]:
            for version in models.get(f"/v1/models/{model['name']}/versions")["items"]:
                self._require(version["zip"], f"model {model['name']} version {version['version']}")
        self.looks += 1

    def _require(self, blob: Mapping[str, Any], what: str) -> None:
        info = self._store.head(keys.blob(blob["sha256"]))
        if info is None or info.size_bytes != blob["size_bytes"]:
            self.violations.append(f"{what} shows the blob {blob['sha256'][:12]}, which is not whole")
