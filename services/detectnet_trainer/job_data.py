"""Brings a job's spec and its dataset version from the store to the local cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from detectnet.samples import BadData, SourceImage, input_options
from detectnet_trainer.cache import identity_of, open_split, save_split
from detectnet_trainer.dataset import Split, build_split
from detectnet_trainer.job_commit import patiently
from periscope import keys
from periscope.store import ObjectStore, StoreUnavailable


def load_spec(store: ObjectStore, job_id: str) -> dict[str, Any]:
    """What the job asks for. Raises ObjectMissing."""
    spec: dict[str, Any] = json.loads(patiently(lambda: store.get(keys.job_spec(job_id))).body)
    return spec


def fetch_weights(store: ObjectStore, spec: Mapping[str, Any]) -> bytes | None:
    """The file of the pretrained model that the job begins with, or None. Raises ObjectMissing."""
    wanted = spec.get("weights")
    if wanted is None:
        return None

    def fetch() -> bytes:
        content = b"".join(store.iterate(keys.blob(wanted["sha256"])))
        if hashlib.sha256(content).hexdigest() != wanted["sha256"]:
            raise StoreUnavailable(f"the blob {wanted['sha256']} came damaged from the store")
        return content

    return patiently(fetch)


def fetch_splits(
    store: ObjectStore, spec: Mapping[str, Any], work_dir: Path, attempt: int, cache: Path | None = None
) -> tuple[Split, Split]:
    """Training and validation pictures at the network's size; what an earlier attempt cached is used again.

    ``cache`` is where decoded pictures are kept, ``work_dir`` unless it is another process's.

    Raises:
        ObjectMissing: the dataset version is gone.
        BadData: a picture or label cannot be used.
    """
    dataset = spec["dataset"]
    key = keys.version("datasets", dataset["id"], dataset["version"])
    manifest = json.loads(patiently(lambda: store.get(key)).body)
    # Only this attempt counts by now, so what others have begun is litter.
    for litter in work_dir.glob("attempt-*"):
        shutil.rmtree(litter, ignore_errors=True)
    drafts = work_dir / f"attempt-{attempt}"
    drafts.mkdir(parents=True)
    try:
        train, validation = (
            _fetch_split(store, manifest["splits"].get(name), spec, (cache or work_dir) / name, drafts)
            for name in ("train", "val")
        )
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return train, validation


def _fetch_split(
    store: ObjectStore, split: Mapping[str, Any] | None, spec: Mapping[str, Any], cache: Path, drafts: Path
) -> Split:
    if not split or not split["images"]:
        raise BadData(f"the dataset has no {cache.name} pictures; add some and upload a new version")
    options = input_options(spec, validation=cache.name == "val")
    identity = identity_of(
        options, [split["index"]["sha256"], *(shard["sha256"] for shard in split["shards"])]
    )
    known = open_split(cache, identity)
    if known is not None:
        return known
    sources = _read_shards(store, split, drafts)
    return save_split(build_split(sources, split["images"], options, drafts / "images.npy"), cache, identity)


def _read_shards(store: ObjectStore, split: Mapping[str, Any], folder: Path) -> Iterator[SourceImage]:
    index = patiently(lambda: store.get(keys.blob(split["index"]["sha256"])))
    entries = [json.loads(line) for line in index.body.splitlines()]
    for number, shard in enumerate(split["shards"]):
        path = folder / f"{shard['sha256']}.tar"
        patiently(partial(_fetch_blob, store, shard["sha256"], path))
        with path.open("rb") as file:
            for entry in (entry for entry in entries if entry["shard"] == number):
                file.seek(entry["image_offset"])
                image = file.read(entry["image_size"])
                file.seek(entry["label_offset"])
                label = file.read(entry["label_size"])
                yield SourceImage(entry["filename"], image, label.decode("utf-8", "replace"))
        # Decoded, it is of no more use, and twice the space is too much.
        path.unlink()


def _fetch_blob(store: ObjectStore, sha256: str, path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in store.iterate(keys.blob(sha256)):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise StoreUnavailable(f"the blob {sha256} came damaged from the store")
