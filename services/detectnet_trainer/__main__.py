"""The command ``detectnet``: DetectNet on its own, without any service.

``train`` and ``evaluate`` take a KITTI folder, ``export`` a checkpoint, ``predict`` a picture and an exported
Caffe pair, ``check`` a model zip, ``describe`` a prototxt; ``job`` is what a training Job runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from detectnet.decoders import DECODERS
from detectnet.description import describe_network, description_text
from detectnet.jetson_check import check_for_jetson
from detectnet.recipes import RECIPES
from detectnet.sizes import IllegalSize

FAILED, BAD_USAGE, BAD_JOB_USAGE = 1, 2, 64
FORESEEN = (ValueError, FloatingPointError, FileNotFoundError)
"""Raised for bad data and options, for a training that diverged, and for a path that is not there."""


class _Parser(argparse.ArgumentParser):
    """Ends ``detectnet job`` with the code and the line that the training service understands."""

    def error(self, message: str) -> NoReturn:
        if not self.prog.endswith((" job", " rank")):
            super().error(message)
        report = {"error": message, "code": "bad_arguments", "advice": self.format_usage().strip()}
        self.exit(BAD_JOB_USAGE, json.dumps(report) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 1 failed, 2 wrong usage, for ``job`` see job.py."""
    options = _parser().parse_args(arguments)
    # Read when torch is loaded, which is therefore below only. Threads that spin while they wait take the
    # processor from those they wait for: with other work on the machine a step took four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.command in ("job", "rank"):
        from detectnet_trainer.job import run_job, run_rank

        return (run_job if options.command == "job" else run_rank)(options.job, options.attempt)
    try:
        without_torch = {"describe": _describe, "check": _check}
        result = without_torch.get(options.command, _run)(options)
    except FORESEEN as error:
        print(f"detectnet: {error}", file=sys.stderr)
        return FAILED
    if options.command == "describe" and not options.json:
        print(description_text(result))
    else:
        print(json.dumps(result, indent=None if options.json else 2))
    return 0 if result.get("fit", True) else FAILED


def _describe(options: argparse.Namespace) -> dict[str, Any]:
    size = None if options.size is None else _size(options.size)
    return describe_network(options.prototxt.read_text(), size)


def _check(options: argparse.Namespace) -> dict[str, Any]:
    """Every flavour's reasons and boxes; ``fit`` is whether all would load and find what they should."""
    reports = check_for_jetson(options.zip)
    flavours = {
        report.name: {"reasons": list(report.reasons), "boxes": [list(one.xyxy) for one in report.found]}
        for report in reports
    }
    return {
        "zip": str(options.zip),
        "fit": not any(report.reasons for report in reports),
        "flavours": flavours,
    }


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from detectnet_trainer import folder_training, standalone
    from detectnet_trainer.console import TrainingConsole

    match options.command:
        case "train":
            with TrainingConsole(bar=not options.json) as console:
                return folder_training.train_folder(
                    options.folder, options.out, _size(options.size), options.classes, options.recipe,
                    _overrides(options), say=console.say, weights=options.weights, show=console.show,
                )  # fmt: skip
        case "export":
            return standalone.export_checkpoint(options.checkpoint, options.out, _size(options.size))
        case "predict" if options.layers is not None:
            return standalone.view_picture(options.model, options.image, options.layers)
        case "evaluate" if options.decoder is not None:
            return standalone.judge_folder(options.model, options.folder, options.decoder, options.threshold)
        case "evaluate":
            return standalone.evaluate_folder(options.model, options.folder)
        case _:
            return standalone.predict_image(
                options.model, options.image, options.decoder, options.threshold, options.out
            )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("detectnet", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="results as one line of JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train on a KITTI folder (train/images, train/labels, val/...)")
    train.add_argument("folder", type=Path)
    train.add_argument("--out", type=Path, required=True, help="folder for snapshots and curves.csv")
    train.add_argument("--size", required=True, help="network input WxH, multiples of 16")
    train.add_argument("--classes", help="comma separated; default: those in the labels")
    train.add_argument("--recipe", default="default", choices=sorted(RECIPES))
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int)
    train.add_argument("--weights", type=Path, help="begin with a .caffemodel or torchvision's GoogLeNet")
    train.add_argument("--threads", type=int, help="default: all cores")
    train.add_argument("--subtract-mean", choices=("none", "image", "pixel"), help="default: none")
    train.add_argument("--augment", action=argparse.BooleanOptionalAction, help="DetectNet's augmentation")
    export = commands.add_parser("export", help="Caffe pair and ONNX grid of a checkpoint")
    export.add_argument("checkpoint", type=Path, help="checkpoint.pt")
    export.add_argument("--size", required=True, help="network input WxH; any multiples of 16")
    export.add_argument("--out", type=Path, required=True, help="folder for the files")
    evaluate = commands.add_parser("evaluate", help="figures of a trained folder on a KITTI folder's val")
    evaluate.add_argument("model", type=Path, help="what `train --out` wrote")
    evaluate.add_argument("folder", type=Path)
    evaluate.add_argument("--decoder", choices=DECODERS, help="by OpenCV; default: as in training")
    evaluate.add_argument("--threshold", type=float, help="smallest coverage of a cell, with --decoder")
    predict = commands.add_parser("predict", help="boxes in one picture")
    predict.add_argument("model", type=Path, help="folder with deploy.prototxt, *.caffemodel and labels.txt")
    predict.add_argument("image", type=Path)
    predict.add_argument("--decoder", choices=DECODERS, default="jetson-caffe")
    predict.add_argument("--threshold", type=float, help="smallest coverage of a cell")
    predict.add_argument("--out", type=Path, help="write the picture with boxes here (PNG)")
    predict.add_argument(
        "--layers", type=Path, help="instead: each layer's statistics, and its maps in this folder"
    )
    check = commands.add_parser(
        "check", help="would jetson-inference load a model zip, and what would it find"
    )
    check.add_argument("zip", type=Path)
    describe = commands.add_parser("describe", help="layers, output shapes and parameters of a prototxt")
    describe.add_argument("prototxt", type=Path)
    describe.add_argument("--size", help="network input WxH, where the file says none")
    for name, told in (("job", "run a training job of the platform"), ("rank", "one process of such a job")):
        job = commands.add_parser(name, help=told)
        job.add_argument("--job", required=True)
        job.add_argument("--attempt", type=int, required=True)
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise IllegalSize(f"--size {text!r} is not of the form WxH, such as 640x480")
    return int(width), int(height)


def _overrides(options: argparse.Namespace) -> dict[str, object]:
    names = ("epochs", "batch_size", "learning_rate", "seed", "threads", "subtract_mean")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.augment is not None:
        given["augmentation"] = {} if options.augment else None
    return given


if __name__ == "__main__":
    sys.exit(main())
