"""From an archive to a version, and every way in which it is refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from periscope import keys
from periscope.store import StoreUnavailable
from tests.kitti_archives import Files, as_tar, as_zip, label, picture, sound_files
from tests.unit.periscope_dataset.conftest import House

Pack = Callable[[Files], bytes]


@pytest.mark.parametrize(
    "pack", [as_zip, as_tar, lambda files: as_tar(files, "w:gz")], ids=["zip", "tar", "tar.gz"]
)
def test_an_archive_becomes_a_version(house: House, pack: Pack) -> None:
    dataset_id = house.dataset()

    ingest = house.ingest(dataset_id, pack(sound_files()))

    assert (ingest["state"], ingest["version"], ingest["errors"]) == ("SUCCEEDED", 1, [])
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/latest", 200)
    assert manifest["classes"] == ["buoy", "gate"]
    assert manifest["splits"]["train"]["images"] == 4
    assert manifest["splits"]["train"]["boxes"] == 8
    assert manifest["statistics"]["boxes_per_class"]["val"] == {"buoy": 2, "gate": 2}
    assert manifest["image_sizes"] == [{"width": 64, "height": 48, "images": 6}]


def test_the_folder_around_the_splits_and_junk_do_not_matter(house: House) -> None:
    files = {f"my dive/2026/{name}": content for name, content in sound_files().items()}
    files |= {"__MACOSX/train/images/._000.png": b"junk", "my dive/.DS_Store": b"junk", "README": b"hello"}

    assert house.ingest(house.dataset(), as_zip(files))["state"] == "SUCCEEDED"


def test_pictures_may_lie_in_folders_of_their_own(house: House) -> None:
    files = sound_files()
    files["train/images/camera 1/extra.JPG"] = picture(7, suffix=".jpg")
    files["train/labels/extra.txt"] = b""

    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(files))

    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["splits"]["train"]["images"] == 5


def test_equal_archives_become_equal_blobs(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))
    before = house.store.keys("blobs/")

    second = house.ingest(dataset_id, as_tar(sound_files()))

    assert second["version"] == 2
    assert house.store.keys("blobs/") == before


def replaced(name: str, content: bytes) -> Files:
    return sound_files() | {name: content}


def without(name: str) -> Files:
    return {key: content for key, content in sound_files().items() if key != name}


def with_zip_link() -> bytes:
    buffer = io.BytesIO(as_zip(sound_files()))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("train/images/link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def with_tar_link() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("train/images/link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/images/0.png", b"\0" * (60 << 20))
    return buffer.getvalue()


BROKEN = {
    "a truncated zip": (as_zip(sound_files())[:-200], "archive_damaged", None, None),
    "a truncated tar": (as_tar(sound_files())[:-10240], "archive_damaged", None, None),
    "a truncated tar.gz": (as_tar(sound_files(), "w:gz")[:-50], "archive_damaged", None, None),
    "no archive": (b"hello" * 1000, "archive_damaged", None, None),
    "a member that climbs": (as_zip(replaced("../../evil.png", b"x")), "unsafe_path", "../../evil.png", None),
    "a climbing tar member": (as_tar(replaced("train/images/../../../e.png", b"x")), "unsafe_path", None, None),
    "an absolute member": (as_tar(replaced("/etc/evil.png", b"x")), "unsafe_path", "/etc/evil.png", None),
    "a link in a zip": (with_zip_link(), "link", "train/images/link.png", None),
    "a link in a tar": (with_tar_link(), "link", "train/images/link.png", None),
    "a bomb": (bomb(), "bomb", None, None),
    "a word for a number": (
        as_zip(replaced("train/labels/001.txt", label() + b"buoy 0 0 0 1 2 ten 9 0 0 0 0 0 0 0\n")),
        "label", "train/labels/001.txt", 2,
    ),
    "too few columns": (as_zip(replaced("val/labels/000.txt", b"buoy 1 2 3\n")), "label", "val/labels/000.txt", 1),
    "not a number": (
        as_zip(replaced("val/labels/000.txt", label(box=(float("nan"), 0, 1, 1)))), "label", "val/labels/000.txt", 1,
    ),
    "a picture that does not decode": (
        as_zip(replaced("train/images/002.png", b"\x89PNG no picture IEND")), "image", "train/images/002.png", None,
    ),
    "a picture that is cut off": (
        as_zip(replaced("train/images/002.png", picture()[:-30])), "image", "train/images/002.png", None,
    ),
    "a picture without label": (as_zip(without("val/labels/001.txt")), "label_missing", "val/images/001.png", None),
    "two pictures of one name": (
        as_zip(replaced("train/images/other/000.jpg", picture(suffix=".jpg"))), "duplicate_name",
        "train/images/other/000.jpg", None,
    ),
    "no boxes at all": (
        as_zip({name: b"" if name.endswith(".txt") else body for name, body in sound_files().items()}),
        "no_boxes", None, None,
    ),
    "only dontcare": (as_zip(sound_files(kinds=("DontCare",))), "no_boxes", None, None),
    "no validation pictures": (as_zip(sound_files(val=0)), "empty_split", None, None),
    "no known folders": (as_zip({"pictures/1.png": picture()}), "layout", None, None),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_is_refused_and_leaves_nothing(house: House, what: str) -> None:
    archive, code, file, line = BROKEN[what]
    dataset_id = house.dataset()

    ingest = house.ingest(dataset_id, archive)

    assert ingest["state"] == "FAILED"
    finding = next(error for error in ingest["errors"] if error["code"] == code)
    assert file is None or finding["file"] == file
    assert line is None or finding["line"] == line
    assert finding["advice"]
    assert house.store.keys("versions/") == []
    assert house.store.keys("uploads/") == []
    house.call("GET", f"/v1/datasets/{dataset_id}/versions/latest", 404)


def test_after_a_refusal_the_mended_archive_is_taken(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(without("val/labels/001.txt")))

    assert house.ingest(dataset_id, as_zip(sound_files()))["version"] == 1


def test_a_class_that_is_not_listed_is_named_with_its_line(house: House) -> None:
    files = replaced("train/labels/003.txt", label("buoy") + label("shark"))

    ingest = house.ingest(house.dataset(), as_zip(files), classes=["dontcare", "gate", "buoy"])

    assert [(error["file"], error["line"]) for error in ingest["errors"]] == [("train/labels/003.txt", 2)]
    assert "shark" in ingest["errors"][0]["message"]


def test_listed_classes_keep_their_order_and_dontcare_is_implied(house: House) -> None:
    dataset_id = house.dataset()

    house.ingest(dataset_id, as_zip(sound_files()), classes=["dontcare", "gate", "buoy"])

    assert house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["classes"] == ["gate", "buoy"]


def test_at_most_a_hundred_errors_are_listed_and_all_are_counted(house: House) -> None:
    files = sound_files(train=130)
    files |= {name: b"a b\n" for name in files if name.startswith("train/labels")}

    ingest = house.ingest(house.dataset(), as_zip(files))

    assert len(ingest["errors"]) == 100
    assert ingest["error_count"] == 130


def test_a_label_without_picture_is_a_warning(house: House) -> None:
    ingest = house.ingest(house.dataset(), as_zip(replaced("train/labels/lost.txt", label())))

    assert ingest["state"] == "SUCCEEDED"
    assert [warning["file"] for warning in ingest["warnings"]] == ["train/labels/lost.txt"]


def test_padding_smaller_than_a_picture_is_refused(house: House) -> None:
    ingest = house.ingest(house.dataset(), as_zip(sound_files()), pad={"width": 32, "height": 32})

    assert ingest["errors"][0]["code"] == "image"
    assert "larger than the padding" in ingest["errors"][0]["message"]


def test_a_worker_that_dies_after_publishing_does_not_publish_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))

    def die(*_: object) -> None:
        raise StoreUnavailable("the worker ends here")

    with monkeypatch.context() as patch:
        patch.setattr(house.worker, "_end", die)
        with pytest.raises(StoreUnavailable):
            house.worker.step()
    house.worker.step()

    assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)["version"] == 1
    assert len(house.store.keys(keys.versions_prefix("datasets", dataset_id))) == 1
