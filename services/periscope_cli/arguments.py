"""The command line's grammar. No effects: it names which function runs and with what."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from periscope_cli import dataset_reports, datasets, devices, jobs, keys, models
from periscope_cli.failures import EXIT_CODES
from periscope_cli.models import ModelReference

SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
ROLES = ("admin", "editor", "viewer", "device")

Run = Callable[..., None]
Subcommands = Any
"""What ``add_subparsers`` returns; argparse does not name the type."""


def size(text: str) -> tuple[int, int]:
    """``640x480`` as width and height."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, for example 640x480")
    return int(found[1]), int(found[2])


def names(text: str) -> list[str]:
    """``buoy,gate`` as a list."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names; write buoy,gate")
    return parts


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def model_reference(text: str) -> ModelReference:
    """``MODEL``, ``MODEL@alias`` or ``MODEL:version``."""
    try:
        return ModelReference.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    everywhere = _shared_options(default=argparse.SUPPRESS)
    parser = argparse.ArgumentParser(
        prog="periscope",
        description="Push datasets, train DetectNet, publish models, look after robots.",
        epilog=f"{EXIT_CODES}\nResults go to standard output, messages and progress to standard error.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_options(default=None)],
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_dataset(commands, everywhere)
    _add_train(commands, everywhere)
    _add_jobs(commands, everywhere)
    _add_publish(commands, everywhere)
    _add_models(commands, everywhere)
    _add_devices(commands, everywhere)
    _add_tokens(commands, everywhere)
    _add_keys(commands, everywhere)
    return parser


def _shared_options(default: Any) -> argparse.ArgumentParser:
    """Options before or after the command; after it they must not reset what stood before it."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--json", action="store_true", default=default or False, help="print the result as one JSON document"
    )
    shared.add_argument("--quiet", action="store_true", default=default or False, help="no progress")
    for service in ("dataset", "training", "registry"):
        shared.add_argument(
            f"--{service}-url", metavar="URL", default=default, help=f"or PERISCOPE_{service.upper()}_URL"
        )
    shared.add_argument(
        "--token",
        default=default,
        help="or PERISCOPE_TOKEN (other users of the machine can see a command line, not the environment)",
    )
    return shared


def _add(
    commands: Subcommands, shared: argparse.ArgumentParser, name: str, run: Run | None, told: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=told, description=told, parents=[shared])
    if run is not None:
        added.set_defaults(run=run)
    return added


def _add_dataset(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    dataset = _add(commands, shared, "dataset", None, "push, list and show datasets")
    actions = dataset.add_subparsers(metavar="ACTION", required=True)
    push = _add(actions, shared, "push", datasets.run_push, "upload a folder or archive as a new version")
    push.add_argument("name", metavar="NAME", help="made when it does not exist")
    push.add_argument(
        "path", metavar="DIR|ARCHIVE", type=Path, help="KITTI, or a COCO, YOLO or Pascal VOC export as it is"
    )
    push.add_argument(
        "--val-ratio", type=float, metavar="X", help="without validation: the share of pictures to take, 0-1"
    )
    push.add_argument(
        "--group-by", choices=("picture", "folder", "sequence"), default="picture",
        help="what --val-ratio keeps together: with folder, the frames of one dive; sequence goes by names",
    )  # fmt: skip
    push.add_argument("--unlabelled", action="store_true", help="plain pictures: they become a test set")
    push.add_argument(
        "--classes", type=names, metavar="A,B", help="in this order; default: all types in the labels"
    )
    push.add_argument(
        "--resize", type=size, metavar="WxH", help="squash pictures to this size when they are read"
    )
    push.add_argument("--pad", type=size, metavar="WxH", help="pad pictures with black to this size")
    push.add_argument(
        "--val-min-box-size",
        type=count,
        metavar="N",
        help="smaller boxes do not count in validation (pixels)",
    )
    _add(actions, shared, "list", datasets.run_list, "all datasets")
    show = _add(actions, shared, "show", datasets.run_show, "one dataset and its versions")
    show.add_argument("dataset", metavar="DATASET", help="name or id")
    show.add_argument("--version", type=count, metavar="N", help="default: the newest")
    lint = _add(actions, shared, "lint", dataset_reports.run_lint, "what is wrong with a version, or odd")
    lint.add_argument("dataset", metavar="DATASET", help="name or id")
    lint.add_argument("--version", type=count, metavar="N", help="default: the newest")
    diff = _add(actions, shared, "diff", dataset_reports.run_diff, "what changed between two versions")
    diff.add_argument("dataset", metavar="DATASET", help="name or id")
    diff.add_argument("base", metavar="FROM", type=count, help="number of a version")
    diff.add_argument("version", metavar="TO", type=count, help="number of a version")
    export = _add(actions, shared, "export", datasets.run_export, "download a version as a zip")
    export.add_argument("dataset", metavar="DATASET", help="name or id")
    export.add_argument("--version", type=count, metavar="N", help="default: the newest")
    export.add_argument(
        "--format", choices=("kitti", "coco", "yolo", "voc"), default="kitti", help="whose folders and labels"
    )
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: DATASET-vN-FORMAT.zip")


def _add_train(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    train = _add(commands, shared, "train", jobs.run_train, "start a training job")
    train.add_argument("name", metavar="NAME")
    train.add_argument("--dataset", required=True, help="name or id")
    train.add_argument("--dataset-version", type=count, metavar="N", help="default: the newest")
    train.add_argument("--size", type=size, metavar="WxH", help="network input, multiples of 16")
    train.add_argument("--recipe", help="default or digits")
    train.add_argument("--epochs", type=count, metavar="N")
    train.add_argument("--batch-size", type=count, metavar="N")
    train.add_argument("--learning-rate", type=float, metavar="X")
    train.add_argument("--seed", type=int, metavar="N")
    train.add_argument(
        "--allow-finding",
        action="append",
        metavar="CODE",
        help="train in spite of this error of the dataset's lint; may be repeated",
    )
    train.add_argument("--wait", action="store_true", help="show progress until the job has ended")


def _add_jobs(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    added = _add(
        commands, shared, "jobs", jobs.run_list, "list jobs; show, wait for, cancel one; read its log"
    )
    actions = added.add_subparsers(metavar="ACTION")
    for name, run, told in (
        ("list", jobs.run_list, "all jobs"),
        ("show", jobs.run_show, "one job"),
        ("wait", jobs.run_wait, "show progress until the job has ended"),
        ("cancel", jobs.run_cancel, "end a job"),
        ("log", jobs.run_log, "what the training program printed"),
    ):
        action = _add(actions, shared, name, run, told)
        if name != "list":
            action.add_argument("job", metavar="JOB", help="id, or name (the newest of that name)")


def _add_publish(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    publish = _add(
        commands, shared, "publish", jobs.run_publish, "publish an epoch as a new version of a model"
    )
    publish.add_argument("job", metavar="JOB", help="id, or name (the newest of that name)")
    publish.add_argument("--model", required=True, help="made when it does not exist")
    publish.add_argument("--epoch", default="best", metavar="best|latest|N", help="default: best")
    publish.add_argument("--alias", action="append", metavar="NAME", help="may be repeated; default: latest")
    publish.add_argument("--wait", action="store_true", help="until the version is there")


def _add_models(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    added = _add(commands, shared, "models", models.run_list, "list models; show one")
    actions = added.add_subparsers(metavar="ACTION")
    _add(actions, shared, "list", models.run_list, "all models")
    show = _add(actions, shared, "show", models.run_show, "one model, its versions and aliases")
    show.add_argument("model", metavar="MODEL")
    pull = _add(commands, shared, "pull", models.run_pull, "download a model's zip")
    pull.add_argument(
        "model", metavar="MODEL[@alias|:version]", type=model_reference, help="default: @latest"
    )
    pull.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: MODEL-VERSION.zip")
    pull.add_argument(
        "--for-device", metavar="DEVICE", help="also write FILE.release.json, for this robot's USB stick"
    )


def _add_devices(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    added = _add(commands, shared, "devices", devices.run_devices, "list robots; say what one should have")
    actions = added.add_subparsers(metavar="ACTION")
    _add(actions, shared, "list", devices.run_devices, "all robots")
    show = _add(actions, shared, "show", devices.run_show_device, "what a robot should have now")
    show.add_argument("device", metavar="DEVICE")
    wish = _add(
        actions, shared, "set", devices.run_set_device, "register a robot or change what it should have"
    )
    wish.add_argument("device", metavar="DEVICE")
    wish.add_argument("--model", required=True)
    which = wish.add_mutually_exclusive_group()
    which.add_argument("--alias", help="follow this alias (default: latest)")
    which.add_argument("--version", type=count, metavar="N", help="stay on this version")


def _add_tokens(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    added = _add(commands, shared, "tokens", devices.run_tokens, "list, create and revoke tokens (admin)")
    actions = added.add_subparsers(metavar="ACTION")
    _add(actions, shared, "list", devices.run_tokens, "all tokens, without their texts")
    create = _add(actions, shared, "create", devices.run_make_token, "make a token; it is shown once")
    create.add_argument("role", choices=ROLES)
    create.add_argument("name", metavar="NAME", help="who or what it is for")
    create.add_argument("--device", metavar="ID", help="for the role device: which robot")
    revoke = _add(actions, shared, "revoke", devices.run_revoke_token, "make a token worthless")
    revoke.add_argument("token_id", metavar="ID")


def _add_keys(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    added = _add(commands, shared, "keys", None, "make and rotate the keys that sign releases (offline)")
    actions = added.add_subparsers(metavar="ACTION", required=True)
    init = _add(
        actions, shared, "init", keys.run_init, "root keys, a release key and the first root document"
    )
    init.add_argument("folder", metavar="DIR", type=Path)
    init.add_argument("--root-keys", type=count, default=1, metavar="N", help="how many (default: 1)")
    init.add_argument("--threshold", type=count, default=1, metavar="N", help="how many of them must sign")
    sign = _add(actions, shared, "sign-root", keys.run_sign_root, "sign a root document with one more key")
    sign.add_argument("root", metavar="ROOT.json", type=Path)
    sign.add_argument("--key", required=True, metavar="KEY.pem", type=Path)
    rotate = _add(
        actions, shared, "rotate", keys.run_rotate, "the next root document, with a new release key"
    )
    rotate.add_argument("root", metavar="ROOT.json", type=Path, help="the newest")
    rotate.add_argument(
        "--key", action="append", required=True, metavar="KEY.pem", type=Path, help="a root key; repeat it"
    )
    rotate.add_argument("--release-key", metavar="FILE", type=Path, help="where the new release key goes")
    rotate.add_argument(
        "--new-root-key", action="append", default=[], metavar="FILE", type=Path,
        help="make this root key in place of the old ones; may be repeated",
    )  # fmt: skip
    rotate.add_argument("--threshold", type=count, metavar="N", help="default: as before")
    rotate.add_argument("--revoke", action="store_true", help="the old release keys sign no more")
    rotate.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: root-N.json beside it")
