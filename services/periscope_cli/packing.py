"""Packs a folder into one uncompressed tar: the same files give the same bytes.

Of a KITTI folder only ``<split>/images`` and ``<split>/labels`` go in; of another tool's export all pictures
and annotations. Whether they are sound is the dataset service's to judge. Pictures are compressed already, so
the tar is not.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val")
TEST = "test"
"""May be there or not, with labels or without."""
PARTS = ("images", "labels")
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")


NAME_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")
"""Where YOLO exports name their classes."""
EXPORT_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".txt", ".xml", ".json", ".yaml", ".names", ".labels",
)  # fmt: skip


class NotKitti(Exception):
    """The folder or file is not what can be pushed; the text says what is missing."""


@dataclass(frozen=True)
class KittiFolder:
    """What will be packed, in order."""

    root: Path
    files: tuple[Path, ...]
    ignored: tuple[str, ...]
    """Names at the top of the folder that do not go in."""

    @property
    def size_bytes(self) -> int:
        """Sum over the files."""
        return sum(path.stat().st_size for path in self.files)


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive which can be pushed as it is."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def find_kitti(root: Path) -> KittiFolder:
    """Look for ``train`` and ``val`` with ``images`` and ``labels``, and for ``test`` with either.

    Raises:
        NotKitti: one of the four folders is missing or holds no file.
    """
    wanted = [root / split / part for split in SPLITS for part in PARTS]
    missing = [str(folder.relative_to(root)) for folder in wanted if not folder.is_dir()]
    if missing:
        raise NotKitti(
            f"{root} is no KITTI folder: {', '.join(missing)} missing. It must have "
            f"train/images, train/labels, val/images and val/labels"
        )
    files: list[Path] = []
    for folder in wanted:
        found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, root))
        if not found:
            raise NotKitti(f"{folder} holds no files")
        files += found
    for folder in (root / TEST / part for part in PARTS):
        files += sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, root))
    ignored = sorted(path.name for path in root.iterdir() if path.name not in (*SPLITS, TEST))
    return KittiFolder(root, tuple(files), tuple(ignored))


def find_export(root: Path, *, any_folder: bool) -> KittiFolder | None:
    """The pictures and annotations of a YOLO, COCO or VOC export; None where the folder seems to be none.

    ``any_folder`` will do where the service divides pictures into train and val, or takes no labels.
    """
    found = sorted(path for path in root.rglob("*") if path.is_file() and not _is_hidden(path, root))
    files = tuple(path for path in found if path.suffix.lower() in EXPORT_SUFFIXES)
    tells = any(path.name in NAME_FILES or path.suffix.lower() in (".xml", ".json") for path in files)
    return KittiFolder(root, files, ()) if files and (tells or any_folder) else None


def pack(folder: KittiFolder, archive: Path, on_progress: Callable[[int, int], None]) -> None:
    """Write the tar; names are relative to the folder, times and owners are left out."""
    done = 0
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in folder.files:
            entry = tarfile.TarInfo(path.relative_to(folder.root).as_posix())
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as body:
                tar.addfile(entry, body)
            done += 1
            on_progress(done, len(folder.files))


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
