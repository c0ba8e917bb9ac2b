"""Unpacking: no damage and no packing gets through as anything but a refusal, and nothing leaves the folder."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from periscope_dataset import archive
from periscope_dataset.archive import unpack
from periscope_dataset.findings import IngestRefused
from tests.kitti_archives import Files, as_tar, as_zip, picture, sound_files

Pack = Callable[[Files], bytes]
PACKS: dict[str, Pack] = {"zip": as_zip, "tar": as_tar, "tar.gz": lambda files: as_tar(files, "w:gz")}


def unpacked(body: bytes, folder: Path) -> dict[str, bytes]:
    file = folder / "archive"
    file.write_bytes(body)
    return {member.path: path.read_bytes() for member, path in unpack(file, folder) if path.exists()}


@pytest.mark.parametrize("kind", PACKS)
def test_members_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    assert unpacked(PACKS[kind](sound_files()), tmp_path) == sound_files()


@pytest.mark.parametrize("kind", PACKS)
def test_whatever_byte_is_damaged_or_cut_off_it_is_refused_or_harmless(kind: str, tmp_path: Path) -> None:
    sound = PACKS[kind](sound_files(train=1, val=1))
    for seed in range(150):
        dice = random.Random(seed)
        body = bytearray(sound)
        for _ in range(dice.randint(1, 3)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        # Whatever else were raised would fail the test.
        with suppress(IngestRefused):
            unpacked(bytes(body[: dice.choice((len(body), dice.randrange(1, len(body))))]), tmp_path)


def test_a_full_disk_is_no_fault_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    def opened(path: Path, mode: str = "r") -> object:
        return Full() if path.name.startswith("member-") else real_open(path, mode)

    (tmp_path / "archive").write_bytes(as_zip(sound_files()))
    monkeypatch.setattr(Path, "open", opened)

    with pytest.raises(OSError, match="No space left"):
        list(unpack(tmp_path / "archive", tmp_path))


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    files = sound_files() | {"notes.zip": as_zip({"train/images/9.png": picture(9)})}

    assert unpacked(as_tar(files), tmp_path) == sound_files()


def test_names_never_become_paths(tmp_path: Path) -> None:
    files = {f"a/{'deep/' * 20}{name}": body for name, body in sound_files().items()}
    unpacked(as_zip(files), tmp_path)

    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"archive", "member"}


def test_a_header_that_unpacks_to_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    body = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * (4 << 20))

    with pytest.raises(IngestRefused) as refused:
        unpacked(body, tmp_path)

    assert refused.value.finding.code == "archive_too_big"


def test_a_zip_with_an_endless_table_of_contents_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ZIP_DIRECTORY_BYTES", 300)

    with pytest.raises(IngestRefused) as refused:
        unpacked(as_zip(sound_files()), tmp_path)

    assert refused.value.finding.code == "archive_too_big"


def test_a_tar_that_goes_on_behind_its_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_TAR_TAIL_BYTES", 1 << 20)
    body = gzip.compress(as_tar(sound_files()) + b"\0" * (2 << 20))

    with pytest.raises(IngestRefused) as refused:
        unpacked(body, tmp_path)

    assert refused.value.finding.code == "bomb"


def test_an_archive_of_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)

    with pytest.raises(IngestRefused) as refused:
        unpacked(as_zip(sound_files()), tmp_path)

    assert refused.value.finding.code == "archive_too_big"
