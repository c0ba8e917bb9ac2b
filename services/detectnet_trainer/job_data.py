"""Brings a job's spec and its data set version from the store to the local cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detectnet_trainer.dataset import BadData, SourceImage, Split, build_split, input_options
from periscope import keys
from periscope.store import ObjectStore, StoreUnavailable


def load_spec(store: ObjectStore, job_id: str) -> dict[str, Any]:
    """What the job asks for. Raises ObjectMissing."""
    spec: dict[str, Any] = json.loads(store.get(keys.job_spec(job_id)).body)
    return spec


def fetch_splits(store: ObjectStore, spec: Mapping[str, Any], work_dir: Path) -> tuple[Split, Split]:
    """Training and validation pictures at the network's size.

    Raises:
        ObjectMissing: the data set version is gone.
        BadData: a picture or label cannot be used.
    """
    dataset = spec["dataset"]
    manifest = json.loads(store.get(keys.version("datasets", dataset["id"], dataset["version"])).body)
    train, validation = (
        _fetch_split(store, manifest["splits"].get(name), spec, name, work_dir) for name in ("train", "val")
    )
    return train, validation


def _fetch_split(
    store: ObjectStore, split: Mapping[str, Any] | None, spec: Mapping[str, Any], name: str, work_dir: Path
) -> Split:
    if not split or not split["images"]:
        raise BadData(f"the data set has no {name} pictures; add some and upload a new version")
    shards = work_dir / f"{name}-shards"
    shards.mkdir(exist_ok=True)
    options = input_options(spec, validation=name == "val")
    try:
        sources = _read_shards(store, split, shards)
        return build_split(sources, split["images"], options, work_dir / f"{name}.npy")
    finally:
        # Decoded, they are of no more use, and twice the space is too much.
        shutil.rmtree(shards, ignore_errors=True)


def _read_shards(store: ObjectStore, split: Mapping[str, Any], folder: Path) -> Iterator[SourceImage]:
    lines = store.get(keys.blob(split["index"]["sha256"])).body.splitlines()
    entries = [json.loads(line) for line in lines]
    for number, shard in enumerate(split["shards"]):
        path = folder / f"{shard['sha256']}.tar"
        _fetch_blob(store, shard["sha256"], path)
        with path.open("rb") as file:
            for entry in (entry for entry in entries if entry["shard"] == number):
                file.seek(entry["image_offset"])
                image = file.read(entry["image_size"])
                file.seek(entry["label_offset"])
                label = file.read(entry["label_size"])
                yield SourceImage(entry["filename"], image, label.decode("utf-8", "replace"))
        path.unlink()


def _fetch_blob(store: ObjectStore, sha256: str, path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in store.iterate(keys.blob(sha256)):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise StoreUnavailable(f"the blob {sha256} came damaged from the store")
