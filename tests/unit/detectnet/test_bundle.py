from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet import bundle_members
from detectnet.bundle import SUMS, BundleError, BundleReport, check_bundle, write_bundle
from detectnet.caffemodel import CaffeLayer, detectnet_layers, write_caffemodel
from detectnet.prototxt import deploy_prototxt
from tests.unit.detectnet.networks import random_weights

WEIGHTS = "snapshot_iter_60.caffemodel"
DEPLOY = """
name: "small"
input: "data"
input_shape { dim: 1 dim: 3 dim: 48 dim: 64 }
layer { name: "cvg/classifier" type: "Convolution" bottom: "data" top: "cvg/classifier"
        convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "coverage/sig" type: "Sigmoid" bottom: "cvg/classifier" top: "coverage" }
layer { name: "bbox/regressor" type: "Convolution" bottom: "data" top: "bboxes"
        convolution_param { num_output: 4 kernel_size: 1 } }
"""
DESCRIPTION = {"network": {"width": 64, "height": 48, "classes": ["buoy", "gate"]}}
Members = dict[str, bytes]


def weights(classes: int = 2) -> bytes:
    return write_caffemodel(
        [
            CaffeLayer(name, "Convolution", (), (), (np.ones((outputs, 3, 1, 1), np.float32),))
            for name, outputs in (("cvg/classifier", classes), ("bbox/regressor", 4))
        ]
    )


def sound_members() -> Members:
    return {
        "deploy.prototxt": DEPLOY.encode(),
        WEIGHTS: weights(),
        "labels.txt": b"buoy\ngate\n",
        "model.json": json.dumps(DESCRIPTION).encode(),
        "golden/image.png": b"\x89PNG",
    }


def sound_zip(folder: Path, **changed: bytes) -> Path:
    path = folder / "model.zip"
    write_bundle(path, {**sound_members(), **changed})
    return path


def raw_zip(
    folder: Path, extra: list[tuple[zipfile.ZipInfo, bytes]], packing: int = zipfile.ZIP_STORED
) -> Path:
    """A zip with sound members and whatever else, without a checksum list."""
    path = folder / "raw.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, body in sound_members().items():
            archive.writestr(name, body)
        for info, body in extra:
            archive.writestr(info, body, info.compress_type)
    return path


def named(name: str, mode: int = stat.S_IFREG | 0o644, packing: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = packing
    return info


def reasons_against(path: Path) -> list[str]:
    with pytest.raises(BundleError) as refused:
        check_bundle(path)

    assert refused.value.reasons
    assert str(refused.value) == "; ".join(refused.value.reasons)
    return refused.value.reasons


def test_a_sound_zip_is_told_with_its_members(tmp_path: Path) -> None:
    report = check_bundle(sound_zip(tmp_path))

    assert (report.width, report.height, report.labels) == (64, 48, ("buoy", "gate"))
    assert report.caffemodel == WEIGHTS
    assert report.description == DESCRIPTION
    members = {member.name: member for member in report.members}
    assert members.keys() == sound_members().keys() | {SUMS}
    assert members["labels.txt"].size_bytes == 10
    assert members["labels.txt"].sha256 == hashlib.sha256(b"buoy\ngate\n").hexdigest()


def test_the_real_networks_files_make_a_sound_zip(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    write_bundle(
        path,
        {
            "deploy.prototxt": deploy_prototxt(320, 160, 2).encode(),
            WEIGHTS: write_caffemodel(detectnet_layers(random_weights(2), 2)),
            "labels.txt": b"buoy\ngate\n",
        },
    )

    report = check_bundle(path)

    assert (report.width, report.height) == (320, 160)
    assert report.description == {}


def test_a_hand_made_zip_may_be_deflated_and_have_no_sums(tmp_path: Path) -> None:
    path = tmp_path / "hand.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("golden")
        for name, body in sound_members().items():
            archive.writestr(name, body)

    assert check_bundle(path).labels == ("buoy", "gate")


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_bundle(first, sound_members())
    old = os.umask(0o077)
    write_bundle(second, dict(reversed(sound_members().items())))
    os.umask(old)

    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist()[-1] == SUMS


def test_sha256sum_itself_finds_the_sums_right(tmp_path: Path) -> None:
    with zipfile.ZipFile(sound_zip(tmp_path)) as archive:
        archive.extractall(tmp_path)

    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../b", ".hidden", "a//b", "a b", "x" * 201, ""]
)
def test_an_unsafe_name_is_never_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="no safe member name"):
        write_bundle(tmp_path / "model.zip", {name: b""})


@pytest.mark.parametrize(
    "name",
    ["../evil", "golden/../../evil", "/etc/passwd", "..\\evil", "C:evil", "./labels", "golden/./x", ".ssh/key",
     "a//b", "..", "caf\u00e9.txt", "line\nbreak", "dir/../", "../"],
)  # fmt: skip
def test_a_member_that_climbs_out_or_hides_is_refused(tmp_path: Path, name: str) -> None:
    reasons = reasons_against(raw_zip(tmp_path, [(named(name), b"")]))

    assert any(f"{name!r} is no safe member name" in reason for reason in reasons)


def test_a_name_that_only_a_nul_byte_makes_safe_is_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path, [(named("labelsX/../../evil"), b"")])
    path.write_bytes(path.read_bytes().replace(b"labelsX/../../evil", b"labels\x00/../../evil"))

    assert "no safe member name" in reasons_against(path)[0]


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path: Path, mode: int) -> None:
    reasons = reasons_against(raw_zip(tmp_path, [(named("extra", mode | 0o777), b"/etc/passwd")]))

    assert reasons == ["'extra' is a link or a device; only plain files are taken"]


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = raw_zip(tmp_path, [(named("labels.txt"), b"other\nnames\n")])

    assert reasons_against(path) == ["'labels.txt' occurs 2 times"]


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    reasons = reasons_against(raw_zip(tmp_path, [(named("labels.txt/x"), b"")]))

    assert reasons == ["'labels.txt' is a file and a folder"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = (named("bomb.bin", packing=zipfile.ZIP_DEFLATED), bytes(50 << 20))

    reasons = reasons_against(raw_zip(tmp_path, [bomb]))

    assert reasons == ["'bomb.bin' unpacks to more than 100 times its size"]


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    honest = raw_zip(tmp_path, [(named("big.bin", packing=zipfile.ZIP_DEFLATED), bytes(range(256)) * 40)])
    content = bytearray(honest.read_bytes())
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(b"big.bin"))
    content[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    honest.write_bytes(content)

    assert "cannot be read" in reasons_against(honest)[0]


def test_limits_of_number_and_size_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sound_zip(tmp_path)
    monkeypatch.setattr(bundle_members, "MAX_MEMBERS", 3)
    assert reasons_against(path) == ["6 members; at most 3 are taken"]

    monkeypatch.setattr(bundle_members, "MAX_MEMBERS", 10)
    monkeypatch.setattr(bundle_members, "MAX_MEMBER_BYTES", 50)
    monkeypatch.setattr(bundle_members, "MAX_TOTAL_BYTES", 100)
    reasons = reasons_against(path)
    assert any("bytes when unpacked; at most 100 are taken" in reason for reason in reasons)
    assert any(reason.startswith("'deploy.prototxt' has") for reason in reasons)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_robots_cannot_read_are_refused(tmp_path: Path, packing: int) -> None:
    reasons = reasons_against(raw_zip(tmp_path, [(named("extra", packing=packing), b"x" * 50)]))

    assert "store or deflate it" in reasons[0]


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = raw_zip(tmp_path, [])
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 8] |= 1
    path.write_bytes(content)

    assert "encrypted" in reasons_against(path)[0]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_a_zip_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = sound_zip(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    assert "the zip cannot be read" in reasons_against(path)[0]
    assert "copy or upload it again" in reasons_against(path)[0]


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    path = sound_zip(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.find(weights()) + 60] ^= 1
    path.write_bytes(content)

    assert "cannot be read" in reasons_against(path)[0]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    packing=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_a_damaged_zip_is_refused_or_sound_and_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, packing: int, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "model.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, body in sound_members().items():
            archive.writestr(name, body)
    content = bytearray(path.read_bytes())
    for at, flip in flips:
        content[at % len(content)] ^= flip
    path.write_bytes(content)

    try:
        report = check_bundle(path)
    except BundleError:
        return
    assert isinstance(report, BundleReport)


def changed(tmp_path: Path, members: dict[str, bytes | None]) -> list[str]:
    """Reasons against a zip with some members changed, or left out where None."""
    wanted = {**sound_members(), **members}
    path = tmp_path / "model.zip"
    write_bundle(path, {name: body for name, body in wanted.items() if body is not None})
    return reasons_against(path)


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    reasons = changed(tmp_path, {"deploy.prototxt": None, "labels.txt": None, WEIGHTS: None})

    assert reasons == [
        "'deploy.prototxt' is missing",
        "'labels.txt' is missing",
        "0 .caffemodel files at the top; exactly one is needed",
    ]


def test_two_weight_files_are_refused(tmp_path: Path) -> None:
    assert changed(tmp_path, {"other.caffemodel": weights()}) == [
        "2 .caffemodel files at the top; exactly one is needed"
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"buoy\n", "labels.txt has 1 lines and the network 2 classes"),
        (b"dontcare\nbuoy\ngate\n", "labels.txt has 3 lines and the network 2 classes"),
        (b"buoy\n\n", "line 2 of labels.txt is empty"),
        (b"", "labels.txt has 1 lines and the network 2 classes"),
        (b"buoy\r\ngate\r\n", "labels.txt has Windows line ends; a Jetson shows them"),
        (b"buoy\n" + b"g" * 512 + b"\n", "line 2 of labels.txt is longer than 511 bytes"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: bytes, message: str) -> None:
    assert message in changed(tmp_path, {"labels.txt": labels, "model.json": b"{}"})


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    assert "'labels.txt' is no UTF-8 text" in changed(tmp_path, {"labels.txt": b"buoy\n\xff\n"})[0]


def test_a_python_layer_is_refused_by_name(tmp_path: Path) -> None:
    cluster = 'layer { name: "cluster" type: "Python" bottom: "coverage" top: "bbox-list" }'

    assert changed(tmp_path, {"deploy.prototxt": (DEPLOY + cluster).encode()}) == [
        "deploy.prototxt has the Python layer 'cluster', which a Jetson cannot load; remove it"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dim: 48", "dim: 50", "64x50 is not a legal input size"),
        ("input_shape", "input_form", "does not say the size of its input"),
        ('top: "bboxes"', 'top: "boxes"', "has no output 'bboxes'"),
        ('top: "coverage"', 'top: "cover"', "has no output 'coverage'"),
        (
            "num_output: 4",
            "num_output: 8",
            "bbox/regressor has 4 outputs in snapshot_iter_60.caffemodel and 8",
        ),
        ('name: "bbox/regressor"', 'name: "other"', "has no weights for other"),
        ('name: "small"', "layer {", "line 2: this block is never closed"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    reasons = changed(tmp_path, {"deploy.prototxt": DEPLOY.replace(old, new).encode()})

    assert any(message in reason for reason in reasons)


def test_the_classes_are_counted_at_the_coverage_whatever_its_head_is_called(tmp_path: Path) -> None:
    renamed = DEPLOY.replace("cvg/classifier", "my_head")
    content = write_caffemodel(
        [
            CaffeLayer(name, "Convolution", (), (), (np.ones((outputs, 3, 1, 1), np.float32),))
            for name, outputs in (("my_head", 2), ("bbox/regressor", 4))
        ]
    )
    members: dict[str, bytes | None] = {
        "deploy.prototxt": renamed.encode(),
        WEIGHTS: content,
        "model.json": None,
    }

    assert changed(tmp_path, {**members, "labels.txt": b"one\n"}) == [
        "labels.txt has 1 lines and the network 2 classes"
    ]


def test_weights_for_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    assert changed(tmp_path, {WEIGHTS: weights(classes=3)}) == [
        f"cvg/classifier has 3 outputs in {WEIGHTS} and 2 in deploy.prototxt"
    ]


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    assert changed(tmp_path, {WEIGHTS: b"version https://git-lfs"})[0].startswith(WEIGHTS)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (b"{", "model.json is no JSON"),
        (b"[" * 100_000, "model.json is no JSON"),
        (b"[]", "model.json is no JSON object"),
        (b'{"network": 3}', "network in model.json is no JSON object"),
        (b'{"network": {"width": 640}}', "model.json says the width is 640, the other files say 64"),
        (b'{"network": {"classes": ["gate", "buoy"]}}', "model.json says the classes is"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, description: bytes, message: str) -> None:
    assert message in changed(tmp_path, {"model.json": description})[0]


def test_a_text_of_unlikely_size_is_refused_unread(tmp_path: Path) -> None:
    reasons = changed(tmp_path, {"labels.txt": b"x\n" * (3 << 20)})

    assert reasons == [f"'labels.txt' has {6 << 20} bytes; at most {4 << 20} are taken"]


def test_sums_may_be_of_binary_mode(tmp_path: Path) -> None:
    sums = "".join(f"{hashlib.sha256(body).hexdigest()} *{name}\n" for name, body in sound_members().items())

    assert check_bundle(raw_zip(tmp_path, [(named(SUMS), sums.encode())])).labels == ("buoy", "gate")


def test_members_that_differ_from_the_sums_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in sound_members().items()}
    sums["labels.txt"] = "0" * 64
    sums["gone.bin"] = "1" * 64
    del sums["model.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in sound_members().items():
            archive.writestr(name, body)
        archive.writestr(SUMS, "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()))

    assert reasons_against(path) == [
        f"'model.json' is not in {SUMS}",
        f"'gone.bin' is in {SUMS} and not in the zip",
        f"'labels.txt' differs from {SUMS}",
    ]
