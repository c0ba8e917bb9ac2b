"""The robot's side of the demonstration: the Jetson agent in a folder, and the network that it has pulled.

The agent runs as the program that a robot runs; nothing of it is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detectnet.bundle import DEPLOY, LABELS, input_size
from detectnet.caffe_runtime import CaffeNet
from detectnet.images import Image
from detectnet.jetson import JetsonDetection, decode_caffe, preprocess_caffe
from detectnet.prototxt import parse_prototxt
from periscope_cli.session import Session

DEVICE = "submarine"
AGENT = Path(__file__).resolve().parents[1] / "jetson_agent" / "jetson_agent.py"
AGENT_TIMEOUT_S = 300.0
UNREACHABLE, NOT_ALLOWED = 69, 77
"""The agent's exit codes when the registry is away, and when it does not know the token."""


class RobotFailed(Exception):
    """The agent did not bring the model in; the text holds its words."""


class RobotOffline(RobotFailed):
    """The agent did not reach the registry; it may do so later."""


@dataclass(frozen=True)
class Release:
    """A model as it lies on the robot."""

    network: CaffeNet
    labels: tuple[str, ...]
    size: tuple[int, int]

    def detect(self, image: Image) -> list[JetsonDetection]:
        """Boxes in the picture's pixels, by the pre-processing and decoding of a stock jetson-inference."""
        coverage, bboxes = self.network.run(preprocess_caffe(image, *self.size))
        height, width = image.shape[:2]
        return decode_caffe(coverage, bboxes, image_size=(width, height), network_size=self.size)


class Robot:
    """One robot, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        registry_url: str,
        environ: Mapping[str, str],
        root_file: Path | None = None,
        device: str = DEVICE,
    ) -> None:
        """With a root document the agent takes signed releases only."""
        self._folder = folder
        self._root_file = root_file
        self._device = device
        self._registry_url = registry_url
        self._environ = dict(environ)

    @property
    def root(self) -> Path:
        """Where the agent keeps its releases."""
        return self._folder / "models"

    def enrol(self, session: Session, model: str) -> None:
        """Register the robot for a model's alias ``latest``; its token is kept from run to run."""
        session.api.devices.set(self._device, {"model": model})
        token_file = self._folder / "token"
        if not token_file.exists():
            self._save_token(session)
        config = {
            "registry_url": self._registry_url,
            "device": self._device,
            "token_file": str(token_file),
            "root": str(self.root),
            "root_file": str(self._root_file or ""),
        }
        (self._folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    def update(self, session: Session) -> None:
        """Run the agent once. Raises RobotFailed."""
        code, said = self._run_agent()
        if code == NOT_ALLOWED:
            self._save_token(session)
            code, said = self._run_agent()
        if code != 0:
            kind = RobotOffline if code == UNREACHABLE else RobotFailed
            raise kind(f"the Jetson agent ended with exit code {code}:\n{said}")

    def release(self) -> Release:
        """The model in use. Raises RobotFailed where there is none."""
        current = (self.root / "current").resolve()
        weights = sorted(current.glob("*.caffemodel"))
        if len(weights) != 1:
            raise RobotFailed(f"{current} holds {len(weights)} .caffemodel files")
        deploy = (current / DEPLOY).read_text()
        size = input_size(parse_prototxt(deploy))
        if size is None:
            raise RobotFailed(f"{current / DEPLOY} does not say the size of its input")
        labels = tuple((current / LABELS).read_text().splitlines())
        return Release(CaffeNet(deploy, weights[0].read_bytes()), labels, size)

    def _save_token(self, session: Session) -> None:
        text = session.api.tokens.create("device", f"{self._device} of the demonstration", self._device).token
        path = self._folder / "token"
        path.touch(mode=0o600)
        path.write_text(text + "\n")

    def _run_agent(self) -> tuple[int, str]:
        command = [sys.executable, str(AGENT), "--config", str(self._folder / "config.json"), "once"]
        done = subprocess.run(  # noqa: S603 - our own argument list
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=AGENT_TIMEOUT_S,
            check=False,
            text=True,
        )
        return done.returncode, done.stdout.strip()
