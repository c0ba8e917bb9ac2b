"""Builds images with buildah, in a folder of its own and without a trace outside it.

A build is closed off in a mount namespace, since buildah also writes below ``/var/lib`` and ``/run``.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BUILD_TIMEOUT_S = 900
ENTER = """set -e
folder=$1; shift
mkdir -p "$folder/var-lib" "$folder/run"
mount --bind "$folder/var-lib" /var/lib
mount --bind "$folder/run" /run
exec buildah --root "$folder/images" --runroot "$folder/run/images" "$@"
"""


class BuildFailed(Exception):
    """buildah is missing or refused; the text holds its last words."""


class ImageBuilder:
    """buildah with its images kept in one folder, so that a base is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, context: Path, tag: str, *arguments: str) -> None:
        """Build the Dockerfile of a folder; more arguments are buildah's own (``--build-arg``, ``--file``).

        Raises:
            BuildFailed: buildah is missing, or the build failed.
        """
        self._buildah("bud", "--isolation", "chroot", "--tag", tag, *arguments, str(context))

    def save(self, tag: str, archive: Path) -> Path:
        """Write an image to an archive that a node can be given, and return its path."""
        self._buildah("push", tag, f"docker-archive:{archive}:{tag}")
        return archive

    def _buildah(self, *arguments: str) -> str:
        if shutil.which("buildah") is None:
            raise BuildFailed("install buildah")
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise BuildFailed(f"buildah {' '.join(arguments)}: {done.stderr[-4000:]}")
        return done.stdout
