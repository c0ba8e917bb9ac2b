"""Small datasets with two classes of coloured blocks: as a folder, as arrays, and as a job in a store."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap
from detectnet.recipes import resolve_training
from detectnet.samples import InputOptions, SourceImage
from detectnet_trainer.dataset import Split, build_split
from periscope import keys
from periscope.blobs import put_blob
from periscope.documents import Documents
from periscope.ids import new_id
from periscope.store import ObjectStore

NAMES = ("ball", "box")
SIDE = 64
COLOURS = {"ball": (40, 60, 220), "box": (60, 200, 90)}


def picture(index: int, side: int = SIDE, seed: int = 0) -> SourceImage:
    """A noisy picture with one block of a class, and its label."""
    rng = np.random.default_rng([seed, index])
    pixels = rng.integers(90, 130, (side, side, 3)).astype(np.uint8)
    extent = int(rng.integers(side // 3, side // 2))
    left, top = (int(value) for value in rng.integers(2, side - extent - 2, 2))
    name = NAMES[index % 2]
    cv2.rectangle(pixels, (left, top), (left + extent - 1, top + extent - 1), COLOURS[name], -1)
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    box = f"{left} {top} {left + extent} {top + extent}"
    return SourceImage(f"{index:04d}.png", encoded, f"{name} 0 0 0 {box} 0 0 0 0 0 0 0\n")


def pictures(count: int, side: int = SIDE, seed: int = 0) -> list[SourceImage]:
    return [picture(index, side, seed) for index in range(count)]


def split_of(
    sources: list[SourceImage], folder: Path, side: int = SIDE, names: tuple[str, ...] = NAMES
) -> Split:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    return build_split(sources, len(sources), InputOptions(side, side, ClassMap(names)), path)


def folder_of(folder: Path, train: int = 6, val: int = 3, side: int = SIDE) -> Path:
    """A KITTI folder as a user has it."""
    for split, count, seed in (("train", train, 0), ("val", val, 1)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        for source in pictures(count, side, seed):
            (folder / split / "images" / source.name).write_bytes(source.image)
            (folder / split / "labels" / f"{Path(source.name).stem}.txt").write_text(source.label)
    return folder


def options(**given: Any) -> dict[str, Any]:
    """Training options for tests: full precision, one thread, few steps."""
    short: dict[str, Any] = {"epochs": 2, "batch_size": 2, "precision": "fp32"}
    return resolve_training("default", short | given, threads=1)


def store_job(
    store: ObjectStore,
    training: Mapping[str, Any],
    train: list[SourceImage] | None = None,
    val: list[SourceImage] | None = None,
    side: int = SIDE,
) -> str:
    """A job as the training service leaves it for the trainer: spec, dataset version, checkpoint document."""
    job_id, dataset_id = new_id(), new_id()
    splits = {
        "train": store_split(store, pictures(6, side) if train is None else train),
        "val": store_split(store, pictures(3, side, seed=1) if val is None else val),
    }
    manifest = {"dataset_id": dataset_id, "version": 1, "classes": list(NAMES), "splits": splits}
    store.put(keys.version("datasets", dataset_id, 1), json.dumps(manifest).encode())
    spec = {
        "job_id": job_id,
        "name": "blocks",
        "dataset": {"id": dataset_id, "version": 1},
        "network": {"width": side, "height": side, "stride": 16, "classes": list(NAMES)},
        "training": dict(training),
        "options_of_dataset": {"pad": None, "resize": None, "val_min_box_size": 0},
    }
    store.put(keys.job_spec(job_id), json.dumps(spec).encode())
    fresh = {"job_id": job_id, "attempt": 0, "latest": None, "epochs": [], "complete": False}
    Documents(store).create("checkpoints", fresh, job_id)
    return job_id


def store_split(store: ObjectStore, sources: list[SourceImage], per_shard: int = 4) -> dict[str, Any]:
    """Shards and index as the dataset service writes them."""
    shards: list[dict[str, Any]] = []
    lines: list[str] = []
    for start in range(0, len(sources), per_shard):
        chunk = sources[start : start + per_shard]
        body = _tar(chunk, len(shards), lines)
        ref = put_blob(store, body)
        shards.append({"sha256": ref.sha256, "size_bytes": ref.size_bytes, "images": len(chunk)})
    index = put_blob(store, "".join(f"{line}\n" for line in lines).encode())
    boxes = sum(source.label.count("\n") for source in sources)
    described = {"sha256": index.sha256, "size_bytes": index.size_bytes}
    return {"images": len(sources), "boxes": boxes, "shards": shards, "index": described}


def _tar(sources: list[SourceImage], shard: int, lines: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for source in sources:
            entry: dict[str, Any] = {"key": Path(source.name).stem, "filename": source.name, "shard": shard}
            label_name = f"{entry['key']}.txt"
            members = (("image", source.name, source.image), ("label", label_name, source.label.encode()))
            for kind, name, body in members:
                member = tarfile.TarInfo(name)
                member.size = len(body)
                entry[f"{kind}_offset"] = tar.offset + tarfile.BLOCKSIZE
                entry[f"{kind}_size"] = len(body)
                tar.addfile(member, io.BytesIO(body))
            lines.append(json.dumps(entry))
    return buffer.getvalue()


def mean_colour(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean over all places: [3]."""
    return np.asarray(pixels.reshape(-1, 3).mean(axis=0), np.float64)
