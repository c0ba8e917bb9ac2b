"""A corpus of data sets, each healthy but for one thing, and of healthy ones; all made, none stored."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.kitti_archives import Files, as_tar, as_zip, label

WIDTH, HEIGHT = 112, 64
TRAIN, VAL = 12, 11
BUOY, GATE = (4.0, 4.0, 44.0, 44.0), (60.0, 10.0, 100.0, 50.0)
Box = tuple[float, float, float, float]
Pack = Callable[[Files], bytes]


@dataclass(frozen=True)
class Case:
    """One data set, and what is to be found."""

    files: Files
    code: str | None = None
    severity: str = "error"
    options: dict[str, Any] = field(default_factory=dict)
    also: frozenset[str] = frozenset()
    """Warnings that follow from it."""
    pack: Pack = as_zip


@functools.cache
def pixels(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray[Any, Any]:
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(blocks, (width, height))


def picture(seed: int, suffix: str = ".png", width: int = WIDTH, height: int = HEIGHT) -> bytes:
    done, encoded = cv2.imencode(suffix, pixels(seed, width, height))
    assert done
    return encoded.tobytes()


def recompressed(seed: int) -> bytes:
    """The picture of ``picture``, seen by eyes."""
    return cv2.imencode(".jpg", pixels(seed), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def with_pillow(seed: int, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed)).convert(mode).save(buffer, **options)
    return buffer.getvalue()


def turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return with_pillow(seed, "RGB", format="JPEG", exif=exif)


def labelled(buoy: Box = BUOY, gate: Box = GATE) -> bytes:
    return label("buoy", buoy) + label("gate", gate)


def healthy(train: int = TRAIN, val: int = VAL, text: bytes | None = None, suffix: str = ".png") -> Files:
    """Nothing is wrong with it."""
    files: Files = {}
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            files[f"{split}/images/{number:03d}{suffix}"] = picture(number + 100 * (split == "val"), suffix)
            files[f"{split}/labels/{number:03d}.txt"] = labelled() if text is None else text
    return files


def but(**changes: bytes | None) -> Files:
    """Healthy but for files: ``t`` is a training label, ``v`` one of validation, ``T`` and ``V`` pictures."""
    names = {
        "t": "train/labels/000.txt", "v": "val/labels/000.txt", "T": "train/images/000.png", "V": "val/images/000.png",
    }  # fmt: skip
    changed = healthy() | {names[name]: body for name, body in changes.items() if body is not None}
    return {
        name: body
        for name, body in changed.items()
        if name not in {names[n] for n, b in changes.items() if b is None}
    }


def relabelled(make: Callable[[str, int], bytes | None]) -> Files:
    """Healthy, with labels made by split and number; None keeps one."""
    files = healthy()
    for name in [name for name in files if name.endswith(".txt")]:
        made = make(name.split("/")[0], int(name[-7:-4]))
        files[name] = files[name] if made is None else made
    return files


def without(part: str) -> Files:
    return {name: body for name, body in healthy().items() if part not in name}


def in_all(split: str, body: bytes) -> Files:
    return relabelled(lambda found, _: body if found == split else None)


def _deep() -> bytes:
    return cv2.imencode(".png", pixels(0).astype(np.uint16) * 256)[1].tobytes()


def _line(**columns: str) -> bytes:
    words = label("buoy", BUOY).decode().split()
    for place, word in columns.items():
        words[int(place[1:])] = word
    return " ".join(words).encode() + b"\n"


def _cut(files: Files) -> bytes:
    return as_zip(files)[:-300]


def refused() -> dict[str, Case]:
    """No version is made of these."""
    two = {f"{root}/{name}": body for root in ("a", "b") for name, body in healthy().items()}
    many = b"".join(label(f"c{number}") for number in range(300))
    return {
        "a label of three columns": Case(but(t=b"buoy 1 2\n"), "label"),
        "a word where a number belongs": Case(but(t=_line(c5="left")), "label"),
        "a box that is not a number": Case(but(v=_line(c4="nan")), "label"),
        "an infinite box": Case(but(t=_line(c7="inf")), "label"),
        "a label in another encoding": Case(but(t=b"b\xfcoy" + label()[4:]), "label"),
        "a byte order mark": Case(but(t=b"\xef\xbb\xbf" + label()), "label"),
        "commas between the columns": Case(but(t=label().replace(b" ", b",")), "label"),
        "a class of two words": Case(but(t=b"big " + label()), "label"),
        "an empty picture": Case(but(T=b""), "image"),
        "a text for a picture": Case(but(T=b"hello" * 50), "image"),
        "a PNG that is cut off": Case(but(V=picture(100)[:-60]), "image"),
        "a JPEG that is cut off": Case(but(T=picture(0, ".jpg")[:-60]), "image"),
        "a picture of 16 bits": Case(but(T=_deep()), "image"),
        "a picture without label": Case(but(t=None), "label_missing"),
        "no labels at all": Case(without("/labels/"), "label_missing"),
        "no validation": Case(without("val/"), "empty_split"),
        "no training": Case(without("train/"), "empty_split"),
        "labels that are all empty": Case(healthy(text=b""), "no_boxes"),
        "nothing but don't care": Case(healthy(text=label("DontCare")), "no_boxes"),
        "empty labels in val": Case(in_all("val", b""), "no_boxes"),
        "empty labels in train": Case(in_all("train", b""), "no_boxes"),
        "a misspelt class": Case(but(t=label("bouy")), "unknown_class", options={"classes": ["buoy", "gate"]}),
        "two pictures of one name": Case(healthy() | {"train/images/000.jpg": picture(0, ".jpg")}, "duplicate_name"),
        "padding that is too small": Case(healthy(), "image_exceeds_pad", options={"pad": {"width": 64, "height": 64}}),
        "a class for every object": Case(but(t=many), "too_many_classes"),
        "folders that say nothing": Case({f"x/{number}.dat": b"1" for number in range(3)}, "layout"),
        "two data sets": Case(two, "layout"),
        "a name that climbs": Case(healthy() | {"../evil.png": b"x"}, "unsafe_path"),
        "a zip that is cut off": Case(healthy(), "archive_damaged", pack=_cut),
        "no archive": Case(healthy(), "archive_damaged", pack=lambda _: b"hello" * 99),
    }  # fmt: skip


def _share(box: Box) -> Box:
    return (box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT)


def hopeless() -> dict[str, Case]:
    """A version is made, and training jobs are kept from it."""
    hidden = label("buoy", BUOY) + label("gate", BUOY)
    copies = healthy() | {f"val/images/{number:03d}.png": picture(number) for number in range(3)}
    only_val = relabelled(
        lambda split, _: labelled() + label("shark", (46, 30, 58, 60)) if split == "val" else None
    )
    return {
        "a class that only validation has": Case(only_val, "class_not_in_train", options={"val_min_box_size": 5}),
        "a class that nothing has": Case(
            healthy(), "class_not_in_train", options={"classes": ["buoy", "gate", "shark"]},
            also=frozenset({"class_missing"}),
        ),
        "boxes from 0 to 1": Case(
            healthy(text=labelled(_share(BUOY), _share(GATE))), "boxes_normalised"
        ),
        "labels of larger pictures": Case(
            healthy(text=labelled((40, 40, 200, 160), (240, 40, 400, 200))), "box_outside"
        ),
        "width and height for right and bottom": Case(
            healthy(text=labelled((60, 30, 40, 25), (62, 34, 30, 28))), "empty_box"
        ),
        "a class that is too low for the clustering": Case(
            healthy(text=labelled(gate=(60, 10, 100, 24))), "class_too_low",
            options={"val_min_box_size": 0}, also=frozenset({"box_low"}),
        ),
        "a class that lies under another": Case(
            healthy(text=hidden), "class_hidden", also=frozenset({"box_hidden"})
        ),
        "validation without anything large enough": Case(healthy(), "all_small", options={"val_min_box_size": 50}),
        "validation pictures from training": Case(copies, "leak"),
    }  # fmt: skip


def odd() -> dict[str, Case]:
    """A version is made, and goes with a warning."""
    first = relabelled(
        lambda split, number: labelled() if split == "val" or number == 0 else label("buoy", BUOY)
    )
    crowd = b"".join(label("buoy", BUOY) for _ in range(1)) * 25
    small = {"width": 160, "height": 64}
    cases = {
        "one box outside": Case(but(t=labelled(gate=(60, 10, 130, 50))), "box_outside"),
        "one box without area": Case(but(t=labelled() + label("gate", (50, 9, 50, 60))), "empty_box",
                                     also=frozenset({"box_hidden"})),
        "a class that only training has": Case(
            relabelled(lambda split, _: label("buoy", BUOY) if split == "val" else None), "class_missing",
            options={"classes": ["buoy", "gate"]},
        ),
        "one box that is too low": Case(but(t=labelled(gate=(60, 10, 100, 30))), "box_low"),
        "one box under another": Case(but(t=labelled() + label("gate", (10, 10, 34, 34))), "box_hidden"),
        "one validation picture from training": Case(but(V=picture(0)), "leak"),
        "one validation picture that looks like one from training": Case(but(V=recompressed(0)), "near_leak"),
        "two training pictures that look alike": Case(
            healthy() | {"train/images/001.png": recompressed(0)}, "near_duplicate"
        ),
        "one box from right to left": Case(but(t=labelled() + label("gate", (58, 9, 50, 60))), "empty_box",
                                           also=frozenset({"box_hidden"})),
        "a picture twice": Case(healthy() | {"train/images/001.png": picture(0)}, "duplicate_image"),
        "a box twice": Case(but(t=labelled() + label("gate", GATE)), "duplicate_box", also=frozenset({"box_hidden"})),
        "boxes that touch": Case(
            relabelled(lambda _, n: labelled() + label("buoy", (30, 30, 56, 60)) if n < 3 else None), "touching_boxes"
        ),
        "a rare class": Case(
            first | {"train/labels/001.txt": crowd}, "imbalance",
            also=frozenset({"few_boxes", "duplicate_box", "box_hidden"}),
        ),
        "a class with few objects": Case(
            relabelled(lambda split, n: label("buoy", BUOY) if split == "train" and n > 5 else None), "few_boxes"
        ),
        "few validation pictures": Case(healthy(val=5), "few_val"),
        "pictures that are mostly empty": Case(
            healthy(train=40) | {f"train/labels/{n:03d}.txt": b"" for n in range(3, 40)}, "mostly_empty",
            also=frozenset({"few_boxes"}),
        ),
        "pictures of two sizes": Case(but(T=picture(0, width=128, height=64)), "mixed_sizes"),
        "sides that are no multiple of 16": Case(
            {n: picture(int(n[-7:-4]) + 100 * ("val" in n), width=120, height=64) if n.endswith("png") else b
             for n, b in healthy().items()}, "size_not_multiple",
        ),
        "a resize that squashes": Case(healthy(), "squashed", options={"resize": small | {"height": 160}}),
        "a picture that asks to be turned": Case(but(T=turned(0)), "exif_rotated"),
        "a picture for print": Case(but(T=with_pillow(0, "CMYK", format="JPEG")), "cmyk"),
        "a label without picture": Case(healthy() | {"train/labels/lost.txt": labelled()}, "image_missing"),
        "a picture of another kind": Case(healthy() | {"train/images/notes.webp": b"x"}, "ignored"),
    }  # fmt: skip
    return {what: Case(**{**vars(case), "severity": "warning"}) for what, case in cases.items()}


def sound() -> dict[str, Case]:
    """Nothing is found in these."""
    wider = {"width": 224, "height": 128}
    grey = healthy() | {"train/images/000.png": with_pillow(0, "L", format="PNG")}
    clear = healthy() | {"train/images/000.png": with_pillow(0, "RGBA", format="PNG")}
    return {
        "a zip": Case(healthy()),
        "a tar": Case(healthy(), pack=as_tar),
        "a tar.gz": Case(healthy(), pack=lambda files: as_tar(files, "w:gz")),
        "folders around it": Case({f"my dive/2026/{name}": body for name, body in healthy().items()}),
        "16 columns": Case(healthy(text=labelled().replace(b"\n", b" 0.9\n"))),
        "capitals": Case(healthy(text=labelled().replace(b"buoy", b"Buoy"))),
        "tabs and line ends of Windows": Case(healthy(text=labelled().replace(b" ", b"\t").replace(b"\n", b"\r\n"))),
        "a picture without object": Case(but(t=b"")),
        "don't care": Case(but(t=labelled() + label("DontCare", (0, 0, 3, 3)))),
        "a list of classes": Case(healthy(), options={"classes": ["dontcare", "gate", "buoy"]}),
        "padding": Case(healthy(), options={"pad": {"width": 128, "height": 96}}),
        "resizing": Case(healthy(), options={"resize": wider}),
        "JPEG": Case(healthy(suffix=".jpg")),
        "BMP": Case(healthy(suffix=".bmp")),
        "a grey picture": Case(grey),
        "a picture with transparency": Case(clear),
        "litter of operating systems": Case(healthy() | {"__MACOSX/train/images/._0.png": b"x", "train/.DS_Store": b"x"}),
        "a readme beside it": Case(healthy() | {"README.md": b"hello"}),
    }  # fmt: skip
