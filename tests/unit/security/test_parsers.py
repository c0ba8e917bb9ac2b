"""Everything that reads what strangers send: sound files with bytes changed, cut and put in; only foreseen errors come out."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectnet.bundle import BundleError, check_bundle
from detectnet.caffemodel import CaffemodelError, read_caffemodel
from detectnet.image_files import ImageError
from detectnet.images import decode_image
from detectnet.kitti import LabelError, parse_label
from detectnet.network_import import import_network
from detectnet.prototxt import PrototxtError, deploy_prototxt, parse_prototxt
from detectnet.recipes import resolve_training
from detectnet.solver_import import import_solver
from detectnet.training_prototxt import SolverSteps, solver_prototxt, train_val_prototxt
from periscope_cli.digits_archive import NotDigits, read_digits
from tests.unit.periscope_registry.zips import model_files, model_zip

TRAINING = resolve_training("digits", {}, threads=1)
SOLVER = solver_prototxt(TRAINING, SolverSteps(600, 60, 10, 7)).encode()
TRAIN_VAL = train_val_prototxt(320, 160, 2, TRAINING).encode()
KITTI = b"buoy 0.0 0 0.0 10.5 20 30 40.25 0.0 0.0 0.0 0.0 0.0 0.0 0.0\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10 0.5\n"
PNG = bytes(cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1])
JPEG = bytes(cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1])


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


Change = tuple[float, int, bytes]
"""Where (a share of the length), how many bytes are taken out, and what is put in."""
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12) | st.sampled_from([b"\xff" * 8, b"{" * 9, b"-1 ", b"1e999 ", b"nan "])),
    min_size=1,
    max_size=4,
)  # fmt: skip


def changed(content: bytes, changes: list[Change]) -> bytes:
    for where, taken, put in changes:
        start = int(where * len(content))
        content = content[:start] + put + content[start + taken :]
    return content


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda content: read(content.decode("utf-8", "replace"))


READERS: dict[str, tuple[bytes, Callable[[bytes], object], tuple[type[Exception], ...]]] = {
    "kitti": (KITTI, text(lambda label: parse_label(label, "a.txt")), (LabelError,)),
    "prototxt": (deploy_prototxt(64, 32, 2).encode(), text(parse_prototxt), (PrototxtError,)),
    "network": (TRAIN_VAL, text(import_network), (PrototxtError,)),
    "solver": (SOLVER, text(import_solver), (PrototxtError,)),
    "caffemodel": (model_files(0)["snapshot_iter_60.caffemodel"], read_caffemodel, (CaffemodelError,)),
    "png": (PNG, decode_image, (ImageError,)),
    "jpeg": (JPEG, decode_image, (ImageError,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_damaged_file_is_read_or_refused(kind: str, changes: list[Change]) -> None:
    sound, read, refusals = READERS[kind]
    read(sound)
    with contextlib.suppress(*refusals):
        read(changed(sound, changes))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "digits zip", "digits tar"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_damaged_archive_is_read_or_refused(kind: str, tmp_path: Path, changes: list[Change]) -> None:
    files = {"deploy.prototxt": b"x", "snapshot_iter_1.caffemodel": b"y" * 300}
    sound = {"zip": model_zip(0), "digits zip": model_zip(0), "digits tar": tar_of(files)}[kind]
    path = tmp_path / "archive"
    path.write_bytes(changed(sound, changes))
    with contextlib.suppress(BundleError, NotDigits):
        check_bundle(path) if kind == "zip" else read_digits(path)


def test_a_zip_within_a_digits_archive_that_unpacks_to_far_more_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deploy.prototxt", b"#" * (8 << 20))
    with pytest.raises(NotDigits, match="at most"):
        read_digits(path)
