"""Kinds that Kubernetes does not bring itself: the Gateway API's, and those of Prometheus's operator."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import HERE, ProgramsMissing

DOWNLOAD_TIMEOUT_S = 300
FILES = {
    "sigs.k8s.io/gateway-api": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    "github.com/prometheus-operator/prometheus-operator": [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
        for kind in ("servicemonitors", "prometheusrules")
    ],
}
"""Their definitions, in the modules that programs/kinds/go.mod pins."""


def install_custom_kinds(plane: ControlPlane) -> None:
    """Let the API server know them.

    Raises:
        ProgramsMissing: Go is not there, or cannot fetch the modules.
    """
    for module, files in FILES.items():
        folder = _fetch(module)
        for file in files:
            # On the server, as the definitions are too long for the annotation that the client would keep.
            plane.kubectl("apply", "--server-side", "-f", str(folder / file))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def _fetch(module: str) -> Path:
    go = shutil.which("go")
    if go is None:
        raise ProgramsMissing("install Go")
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=HERE / "programs" / "kinds", capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ProgramsMissing(f"go mod download {module}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])
