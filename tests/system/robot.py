"""A robot of the system's tests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from periscope_embedded.robot import AGENT
from tests.system.loop import Stack

DEVICE = "submarine"


@dataclass
class Robot:
    """The real agent, in a folder that outlives the disaster."""

    folder: Path

    @classmethod
    def enrolled(cls, stack: Stack, folder: Path, model: str) -> Robot:
        """Known to the registry, following the model's alias ``latest``; its token lies in the folder."""
        registry = stack.client("registry")
        registry.put(f"/v1/devices/{DEVICE}", json={"model": model, "alias": "latest"})
        made = registry.post("/v1/tokens", json={"role": "device", "name": DEVICE, "device_id": DEVICE})
        (folder / "token").write_text(made["token"])
        config = {
            "registry_url": stack.addresses()["registry_url"], "device": DEVICE,
            "token_file": str(folder / "token"), "root": str(folder / "root"), "spare_bytes": 0,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        return cls(folder)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of the agent, which must work."""
        command = [sys.executable, str(AGENT), "--config", str(self.folder / "config.json"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def version(self) -> int:
        """What the agent says that it runs."""
        return int(json.loads(self.run("status").stdout)["version"])
