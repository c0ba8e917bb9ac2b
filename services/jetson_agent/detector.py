#!/usr/bin/env python3
"""What knows jetson-inference on a robot: which of a model's files its TensorRT loads, and how they are started.

One file, standard library only, Python 3.6 and later.

    detector.py [--agent-root DIR] command | run [ARGUMENT ...] | warm-up | smoke-test | probe

``run`` becomes jetson-inference's ``detectnet`` with the current model, ``ARGUMENT`` being its source and output
(``csi://0 display://0``); ``command`` prints that command line. ``warm-up`` and ``smoke-test`` are for the agent's
configuration: the first lets the very same program build its engine, the second compares what it finds in the golden
picture with what the model's zip says. ``probe`` prints what this machine is, as JSON.

Exit codes: 0 well; 1 the smoke test found other boxes; 65 the model has no file for this TensorRT, or is none;
69 this machine has no jetson-inference or no TensorRT; otherwise that of ``detectnet``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

DEFAULT_ROOT = "/var/lib/periscope-agent"
PROGRAM = "detectnet"
PREFERRED = ("caffe", "trt8", "trt10")  # As the registry prefers.
MIN_OVERLAP = 0.5  # Of a found box with an expected one; TensorRT computes in half precision.
NEAR_THRESHOLD = 0.1  # Boxes whose confidence is so near the threshold may be missing or too many.

# What detectnet writes for each box, in all versions since 2019.
FOUND = re.compile(r"class #(\d+)[^\n]*?confidence[=:]\s*([\d.]+)")
BOX = re.compile(r"\(([-\d.]+),\s*([-\d.]+)\)\s+\(([-\d.]+),\s*([-\d.]+)\)")

Box = Tuple[float, float, float, float]


class Detection(NamedTuple):
    """One box, x1 y1 x2 y2 in pixels of the picture."""

    class_index: int
    confidence: float
    box: Box


class Unfit(Exception):
    """It cannot be done here; carries the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def numbers(version: str) -> Tuple[int, ...]:
    """``8.5.2-1+cuda11.4`` as (8, 5, 2), so that versions compare."""
    leading = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (leading.group(0) if leading else "").split(".") if part)


def choose_flavour(flavours: Dict[str, Any], tensorrt: str) -> str:
    """The first of ``PREFERRED`` that this TensorRT loads. Raises Unfit."""
    for name in PREFERRED:
        bounds = flavours.get(name, {}).get("tensorrt")
        if bounds is None:
            continue
        low, high = numbers(bounds.get("from", "0")), numbers(bounds.get("below", "9999"))
        if low <= numbers(tensorrt) < high:
            return name
    raise Unfit("no file of this model is for TensorRT %s" % tensorrt, os.EX_DATAERR)


def installed_version(*packages: str) -> Optional[str]:
    """The version of the first Debian package that is installed, or None."""
    for package in packages:
        command = ["dpkg-query", "--showformat", "${Status}\t${Version}", "--show", package]
        try:
            said = subprocess.check_output(command, stderr=subprocess.DEVNULL).decode()
        except (OSError, subprocess.CalledProcessError):
            continue
        status, _, version = said.partition("\t")
        if status.endswith(" installed"):
            return version
    return None


def read_text(path: str) -> str:
    """A small file's text; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip("\0\n ")
    except OSError:
        return ""


def probe() -> Dict[str, Optional[str]]:
    """JetPack, TensorRT and module, each None where it is not known."""
    tensorrt = installed_version("libnvinfer10", "libnvinfer8", "libnvinfer7", "libnvinfer6", "libnvinfer5")
    return {
        "jetpack": installed_version("nvidia-jetpack") or read_text("/etc/nv_tegra_release")[:40] or None,
        "tensorrt": tensorrt,
        "module": read_text("/proc/device-tree/model") or None,
    }


def load_model(folder: str) -> Dict[str, Any]:
    """``model.json`` of an unpacked zip. Raises Unfit."""
    try:
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            model = json.load(file)
        if not isinstance(model["flavours"], dict):
            raise ValueError("flavours is no object")
        return dict(model)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unfit("%s holds no model of Periscope: %s" % (folder, error), os.EX_DATAERR)


def command_line(folder: str) -> Tuple[str, List[str]]:
    """The flavour and the words that start ``detectnet`` with it; paths are relative to the folder. Raises Unfit."""
    if shutil.which(PROGRAM) is None:
        raise Unfit("there is no program %s here; install jetson-inference" % PROGRAM, os.EX_UNAVAILABLE)
    tensorrt = probe()["tensorrt"]
    if tensorrt is None:
        raise Unfit("there is no TensorRT here", os.EX_UNAVAILABLE)
    flavours = load_model(folder)["flavours"]
    name = choose_flavour(flavours, tensorrt)
    return name, [str(word) for word in flavours[name]["command_line"]]


def run_on_golden(folder: str) -> Tuple[str, str]:
    """Run ``detectnet`` on the model's golden picture; the flavour and all that it said. Raises Unfit."""
    flavour, words = command_line(folder)
    image = str(load_model(folder)["golden"]["image"])
    with tempfile.TemporaryDirectory() as scratch:
        words += ["--log-level=verbose", "--headless", image, os.path.join(scratch, "found.jpg")]
        done = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    said = done.stdout.decode("utf-8", errors="replace")
    sys.stderr.write(said)
    if done.returncode != 0:
        raise Unfit("%s ended with %d" % (PROGRAM, done.returncode), abs(done.returncode))
    return flavour, said


def parse_detections(said: str) -> List[Detection]:
    """The boxes that ``detectnet`` wrote into its log."""
    found = []
    lines = said.splitlines()
    for at, line in enumerate(lines):
        about = FOUND.search(line)
        corners = next(filter(None, map(BOX.search, lines[at : at + 2])), None)
        if about and corners:
            x1, y1, x2, y2 = (float(corner) for corner in corners.groups())
            found.append(Detection(int(about.group(1)), float(about.group(2)), (x1, y1, x2, y2)))
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both) if sum(areas) > both else 0.0


def differences(expected: Sequence[Detection], found: Sequence[Detection], threshold: float) -> List[str]:
    """What is missing and what is too much, in words; nothing where the network sees what it should."""

    def unmatched(these: Sequence[Detection], those: Sequence[Detection]) -> List[Detection]:
        return [
            one
            for one in these
            if one.confidence >= threshold + NEAR_THRESHOLD
            and not any(
                one.class_index == other.class_index and overlap(one.box, other.box) >= MIN_OVERLAP for other in those
            )
        ]

    missing = ["missing: %s" % (one,) for one in unmatched(expected, found)]
    return missing + ["too much: %s" % (one,) for one in unmatched(found, expected)]


def smoke_test(folder: str) -> int:
    """Compare the golden picture's boxes with those that the zip promises for this flavour. Raises Unfit."""
    flavour, said = run_on_golden(folder)
    path = os.path.join(folder, str(load_model(folder)["golden"]["expected"]))
    with open(path, encoding="utf-8") as file:
        promised = json.load(file)["flavours"][flavour]
    # The ONNX flavours have a class for the background before the first one.
    first = 0 if flavour == "caffe" else 1
    expected = [Detection(b["class"] + first, b["confidence"], tuple(b["xyxy"])) for b in promised["boxes"]]
    wrong = differences(expected, parse_detections(said), float(promised["threshold"]))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else os.EX_OK


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; ``run`` does not return."""
    parser = argparse.ArgumentParser(description="Starts jetson-inference with the robot's current model.")
    parser.add_argument("--agent-root", default=DEFAULT_ROOT, help="the agent's root; default: %(default)s")
    parser.add_argument("command", choices=["command", "run", "warm-up", "smoke-test", "probe"])
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="of run: source and output")
    given = parser.parse_args(arguments)
    # The agent names a release that is not in use yet; otherwise it is the current one, resolved once.
    folder = os.environ.get("PERISCOPE_MODEL") or os.path.realpath(os.path.join(given.agent_root, "current"))
    try:
        if given.command == "probe":
            print(json.dumps(probe()))
        elif given.command == "warm-up":
            run_on_golden(folder)
        elif given.command == "smoke-test":
            return smoke_test(folder)
        else:
            words = command_line(folder)[1] + given.rest
            if given.command == "command":
                print(" ".join(["cd", folder, "&&"] + words))
                return os.EX_OK
            os.chdir(folder)
            os.execvp(words[0], words)
    except Unfit as error:
        print("detector.py: %s" % error, file=sys.stderr)
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
