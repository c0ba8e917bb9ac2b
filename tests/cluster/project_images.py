"""The project's images, built for real by buildah from docker/Dockerfile.* on a base of Debian's packages.

It takes minutes, so an archive is kept in the cache folder under the hash of all that goes into it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.image_builder import BuildFailed, ImageBuilder
from tests.cluster.programs import cache_folder

ROOT = Path(__file__).resolve().parents[2]
TAG = "localhost/periscope-services:test"
TRAINER_TAG = "localhost/periscope-trainer:test"
BASE_TAG = "localhost/python-base:test"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
SOURCES = (
    "pyproject.toml",
    "README.md",
    "requirements.lock",
    "shared",
    "services",
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""This machine's, for pip inside the build: package indices may be behind an authority of its own."""
DEBOOTSTRAP_TIMEOUT_S = 600


def services_image() -> Path:
    """A docker archive with all three services, under TAG.

    Raises:
        BuildFailed: debootstrap or buildah is missing, or refused.
    """
    return _image("services", TAG)


def trainer_image() -> Path:
    """A docker archive of some 6 GB with the training program and PyTorch, under TRAINER_TAG. Raises BuildFailed."""
    return _image("trainer", TRAINER_TAG)


def _image(part: str, tag: str) -> Path:
    archive = cache_folder().parent / "images" / f"{part}-{_digest(part)}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        for old in archive.parent.glob(f"{part}-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(prefix=".building-", dir=archive.parent) as folder:
            _build(Path(folder), archive, part, tag)
    return archive


def _build(folder: Path, archive: Path, part: str, tag: str) -> None:
    builder = ImageBuilder(folder / "builder")
    base = folder / "base"
    base.mkdir()
    shutil.copy(_base(archive.parent), base / "rootfs.tar")
    (base / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
    builder.build(base, BASE_TAG)
    more = [
        "--network",
        "host",
        "--volume",
        f"{CERTIFICATES}:{CERTIFICATES}:ro",
        "--env",
        f"PIP_CERT={CERTIFICATES}",
    ]
    dockerfile = str(ROOT / "docker" / f"Dockerfile.{part}")
    builder.build(ROOT, tag, "--file", dockerfile, "--build-arg", f"BASE={BASE_TAG}", *more)
    made = folder / "image.tar"
    builder.save(tag, made)
    made.replace(archive)


def _base(folder: Path) -> Path:
    """A minimal Debian with Python, as a tar."""
    archive = folder / "debian-python.tar"
    if archive.exists():
        return archive
    if shutil.which("debootstrap") is None:
        raise BuildFailed("install debootstrap")
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=folder) as root:
        rootfs, part = Path(root) / "rootfs", Path(root) / "part.tar"
        argv = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(rootfs)]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=DEBOOTSTRAP_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise BuildFailed(f"debootstrap: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        subprocess.run(["tar", "-C", str(rootfs), "-cf", str(part), "."], check=True)
        part.replace(archive)
    return archive


def _digest(part: str) -> str:
    digest = hashlib.sha256()
    for source in (*SOURCES, f"docker/Dockerfile.{part}"):
        path = ROOT / source
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
