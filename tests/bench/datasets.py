"""Taking a data set in, against the floor of what must be done at least, and against another program's conversion."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from periscope.wire.ingest_options import IngestOptions
from periscope_dataset.duplicates import MAX_DISTANCE, near_within
from periscope_dataset.findings import Findings
from periscope_dataset.ingest import Bench, make_version
from periscope_dataset.journal import Journal
from periscope_dataset.options import understood
from periscope_dataset.sources import ArchiveSource
from tests.bench.measure import Row, in_turns
from tests.fakes import MemoryStore
from tests.kitti_archives import label

IMAGES, WIDTH, HEIGHT = 600, 640, 480
HASHES = 100_000
COMPARED = 500
"""Hashes that the plain search takes at once."""
OTHER_FOLDER = Path(__file__).parents[2] / ".cache" / "bench-datumaro"
OTHER = "datumaro==1.13.12"


def rows(_: int) -> Iterator[Row]:
    """All comparisons, one after another."""
    yield from _ingest()
    yield from _near_duplicates()


def _ingest() -> list[Row]:
    with tempfile.TemporaryDirectory() as name, other_program() as convert:
        folder = Path(name)
        archive = folder / "dive.zip"
        write_archive(archive, IMAGES)
        megabytes = archive.stat().st_size / 1e6
        variants: dict[str, Callable[[], object]] = {
            "unpack, decode, tar again": lambda: _floor(archive, folder),
            "datumaro, KITTI to COCO": lambda: convert(archive),
            "periscope, a version with lint": lambda: _ours(archive, folder),
        }
        each = in_turns(f"ingest of a picture, {WIDTH}x{HEIGHT}", variants, units=IMAGES)
    by_size = [
        replace(row, what="ingest of a megabyte", seconds=tuple(s * IMAGES / megabytes for s in row.seconds))
        for row in each
    ]
    return [*each, *by_size]


def pictures(count: int, width: int, height: int) -> Iterator[bytes]:
    """JPEGs with some detail, about as large as a camera's."""
    drawn = np.random.default_rng(0)
    for _ in range(count):
        coarse = drawn.integers(0, 255, (height // 16, width // 16, 3), np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = drawn.integers(0, 24, (height, width, 1), np.uint8)
        yield cv2.imencode(".jpg", cv2.add(image, grain.repeat(3, 2)), [cv2.IMWRITE_JPEG_QUALITY, 85])[
            1
        ].tobytes()


def write_archive(archive: Path, count: int, width: int = WIDTH, height: int = HEIGHT) -> None:
    """A KITTI zip, a tenth of it for validation."""
    boxes = [(40 * n, 30 * n, 40 * n + 60, 30 * n + 50) for n in range(min(width // 110, height // 90))]
    text = b"".join(label(("buoy", "gate")[n % 2], box) for n, box in enumerate(boxes))
    with zipfile.ZipFile(archive, "w") as zipped:
        for number, body in enumerate(pictures(count, width, height)):
            split = "val" if number % 10 == 0 else "train"
            zipped.writestr(f"{split}/images/{number:06d}.jpg", body)
            zipped.writestr(f"{split}/labels/{number:06d}.txt", text)


def _floor(archive: Path, folder: Path) -> None:
    """What nobody gets around: read each member, decode it, write it into a tar."""
    with zipfile.ZipFile(archive) as zipped, tarfile.open(folder / "floor.tar", "w") as tar:
        for info in zipped.infolist():
            body = zipped.read(info)
            if info.filename.endswith(".jpg"):
                assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED) is not None
            member = tarfile.TarInfo(info.filename)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def _ours(archive: Path, folder: Path) -> None:
    store = MemoryStore()
    store.put_file("uploads/one", archive)
    asked = IngestOptions.model_validate({})
    options, _ = understood(asked.model_dump(), asked.model_fields_set)
    source = ArchiveSource(store, "uploads/one", archive.name, archive.stat().st_size)
    bench = Bench(store, folder / "scratch", lambda *_: None, Journal(store, "one", source.identity()))
    findings = Findings()
    made = make_version(bench, source, options, findings)
    assert made is not None, findings.errors


@contextmanager
def other_program() -> Iterator[Callable[[Path], None]]:
    """Datumaro in an interpreter of its own, started once: imports are not what is compared."""
    python = OTHER_FOLDER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(OTHER_FOLDER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", OTHER], check=True)
    program = Path(__file__).with_name("datumaro_convert.py")
    with subprocess.Popen(
        [str(python), str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:

        def convert(archive: Path) -> None:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(f"{archive}\n")
            running.stdin.flush()
            answer = running.stdout.readline().strip()
            assert answer == str(IMAGES), answer

        yield convert
        assert running.stdin is not None
        running.stdin.close()


def _near_duplicates() -> list[Row]:
    hashes = np.random.default_rng(0).integers(0, 2**64, HASHES, np.uint64)
    # A thousand frames that nearly recur.
    hashes[-1000:] = hashes[:1000] ^ np.uint64(0b101)
    wanted = len(_plain_search(hashes[:2000])), len(near_within(hashes[:2000]))
    assert wanted[0] == wanted[1]
    return in_turns(
        f"near duplicates among {HASHES} pictures",
        {"each with each, numpy": lambda: _plain_search(hashes), "periscope": lambda: near_within(hashes)},
    )


def _plain_search(hashes: npt.NDArray[np.uint64]) -> set[int]:
    found: set[int] = set()
    for start in range(0, len(hashes), COMPARED):
        block = hashes[start : start + COMPARED, None]
        # Those before the block were compared when they were the block.
        mine, theirs = np.nonzero(np.bitwise_count(block ^ hashes[None, start:]) <= MAX_DISTANCE)
        apart = mine != theirs
        found |= set((mine[apart] + start).tolist()) | set((theirs[apart] + start).tolist())
    return found
