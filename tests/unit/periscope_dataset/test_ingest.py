"""From an archive to a version, and every way in which it is refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest

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


def with_tar_link(kind: bytes = tarfile.SYMTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("train/images/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    return buffer.getvalue()


def with_zip_claims(**claims: int) -> bytes:
    """A zip whose table of contents claims what is not so."""
    buffer = io.BytesIO(as_zip(sound_files()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"rewrites the table"
        for info in archive.infolist():
            if info.filename.endswith(".png"):
                for name, value in claims.items():
                    setattr(info, name, value)
    return buffer.getvalue()


def with_other_packing() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("train/images/0.png", picture())
    return buffer.getvalue()


def with_damage(archive: bytes, at: bytes, offset: int) -> bytes:
    """Turns one byte behind the last place where ``at`` occurs."""
    place = archive.rindex(at) + offset
    return archive[:place] + bytes([archive[place] ^ 0xFF]) + archive[place + 1 :]


def with_second(name: str) -> bytes:
    buffer = io.BytesIO(as_tar(sound_files()))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(tarfile.TarInfo(name))
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
    "a device in a tar": (with_tar_link(tarfile.FIFOTYPE), "link", "train/images/link.png", None),
    "a bomb": (with_zip_claims(file_size=100 << 20), "bomb", None, None),
    "a member that unpacks to gigabytes": (
        with_zip_claims(file_size=1 << 30), "member_too_big", "train/images/000.png", None,
    ),
    "a label of megabytes": (
        as_zip(replaced("train/labels/001.txt", label() * 200_000)), "member_too_big", "train/labels/001.txt", None,
    ),
    "a member that is larger than it claims": (with_zip_claims(file_size=100), "archive_damaged", None, None),
    "a zip with a password": (with_zip_claims(flag_bits=1), "archive_damaged", None, None),
    "a zip packed unusually": (with_other_packing(), "archive_damaged", None, None),
    "a damaged picture in a zip": (
        with_damage(as_zip(sound_files()), b"IDAT", 30), "archive_damaged", None, None,
    ),
    "a damaged header in a tar": (
        with_damage(as_tar(sound_files()), b"train/labels/002.txt", 3), "archive_damaged", None, None,
    ),
    "a wrong checksum of a tar.gz": (
        as_tar(sound_files(), "w:gz")[:-8] + b"\0" * 8, "archive_damaged", None, None,
    ),
    "a member that occurs twice": (
        with_second("val/images/000.png"), "duplicate_member", "val/images/000.png", None,
    ),
    "a name with a line break": (as_tar(replaced("val/images/a\nb.png", b"x")), "unsafe_name", None, None),
    "a name with backslashes": (
        as_zip(replaced("more\\train\\images\\a.png", b"x")), "unsafe_path", None, None,
    ),
    "two data sets in one archive": (
        as_zip({f"{root}/{name}": body for root in ("a", "b") for name, body in sound_files().items()}),
        "layout", "b/train/images/000.png", None,
    ),
    "a byte order mark": (
        as_zip(replaced("val/labels/001.txt", b"\xef\xbb\xbf" + label())), "label", "val/labels/001.txt", 1,
    ),
    "a label that is no text": (
        as_zip(replaced("val/labels/001.txt", b"\xff\xfe\x00")), "label", "val/labels/001.txt", None,
    ),
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
    "too many classes": (
        as_zip(replaced("train/labels/001.txt", b"".join(label(f"class{n}") for n in range(300)))),
        "too_many_classes", None, None,
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

    assert ingest["errors"][0]["code"] == "image_exceeds_pad"
    assert "larger than the padding" in ingest["errors"][0]["message"]


def test_an_error_of_a_file_is_not_followed_by_errors_that_come_from_it(house: House) -> None:
    files = {name: b"word\n" if name.endswith(".txt") else body for name, body in sound_files().items()}

    ingest = house.ingest(house.dataset(), as_zip(files))

    assert {error["code"] for error in ingest["errors"]} == {"label"}
    assert ingest["error_count"] == 6


def test_labels_without_picture_count_neither_as_classes_nor_as_boxes(house: House) -> None:
    dataset_id = house.dataset()

    house.ingest(dataset_id, as_zip(replaced("train/labels/lost.txt", label("shark"))))

    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["statistics"]["boxes_per_class"]["train"] == {"buoy": 4, "gate": 4}


def test_validation_objects_below_the_minimum_size_are_told(house: House) -> None:
    dataset_id = house.dataset()
    narrow = label("buoy", (4, 4, 12, 40)) + label("gate", (4, 4, 40, 40))

    ingest = house.ingest(dataset_id, as_zip(replaced("val/labels/000.txt", narrow)), val_min_box_size=9)

    statistics = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["statistics"]
    assert statistics["val_boxes_below_min_size"] == {"buoy": 1, "gate": 0}
    assert statistics["boxes_per_class"]["val"] == {"buoy": 2, "gate": 2}
    assert ingest["warnings"] == []


WARNED = {
    "a file that is no picture": ("train/images/notes.webp", b"x", "ignored", None),
    "a label that lies too deep": ("train/labels/more/000.txt", b"x", "ignored", None),
    "a box without area": (
        "train/labels/001.txt",
        label("buoy", (9, 4, 9, 40)) + label("gate"),
        "empty_box",
        1,
    ),
    "a box outside its picture": (
        "train/labels/001.txt",
        label() + label("gate", (4, 4, 70, 40)),
        "box_outside",
        2,
    ),
    "a class that only training has": ("train/labels/001.txt", label("shark"), "class_missing", None),
}


@pytest.mark.parametrize("what", WARNED)
def test_what_is_odd_is_told_and_taken(house: House, what: str) -> None:
    name, body, code, line = WARNED[what]

    ingest = house.ingest(house.dataset(), as_zip(replaced(name, body)))

    assert (ingest["state"], ingest["warning_count"]) == ("SUCCEEDED", 1)
    warning = ingest["warnings"][0]
    assert (warning["code"], warning["line"]) == (code, line)
    assert code == "class_missing" or warning["file"] == name


def test_validation_that_counts_nothing_is_told(house: House) -> None:
    ingest = house.ingest(house.dataset(), as_zip(sound_files()), val_min_box_size=40)

    errors = [item["code"] for item in ingest["findings"] if item["severity"] == "error"]
    assert errors == ["all_small"]


def test_accents_meet_however_they_are_written(house: House) -> None:
    files = sound_files() | {"train/images/mu\u0308ll.png": picture(), "train/labels/m\u00fcll.txt": label()}

    assert house.ingest(house.dataset(), as_zip(files))["state"] == "SUCCEEDED"
