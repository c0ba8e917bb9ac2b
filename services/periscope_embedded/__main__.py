"""``python -m periscope_embedded run|serve|down|status``: everything on one machine, without a cluster."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from periscope.client import ServiceError
from periscope_cli.failures import FAILED, INTERRUPTED, USAGE, CommandFailed, failure_of
from periscope_cli.parsing import count, names, size
from periscope_embedded import loop, serving
from periscope_embedded.child import NotReady
from periscope_embedded.home import AlreadyRunning, Home
from periscope_embedded.pictures import UnusableData
from periscope_embedded.robot import RobotFailed
from periscope_embedded.seaweedfs import StoreNotStarted
from periscope_embedded.settings import BadSettings, Settings
from periscope_embedded.stack import PortTaken
from periscope_embedded.supervisor import Stopped

FORESEEN = (AlreadyRunning, NotReady, PortTaken, RobotFailed, StoreNotStarted, serving.NotServing)
WRONG_WISHES = (BadSettings, UnusableData)


def _told(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser whose words argparse passes on."""

    def parser(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parser


def build_parser() -> argparse.ArgumentParser:
    """The grammar."""
    parser = argparse.ArgumentParser(prog="periscope_embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run", help="the whole loop, to a picture with detections; leaves nothing running"
    )
    run.add_argument("--data", type=Path, metavar="DIR", help="a KITTI folder; default: generated pictures")
    run.add_argument("--epochs", type=_told(count), metavar="N")
    run.add_argument("--size", type=_told(size), metavar="WxH", help="network input, multiples of 16")
    run.add_argument("--classes", type=_told(names), metavar="A,B", help="in this order")
    run.add_argument("--train-images", type=_told(count), metavar="N", default=loop.Wishes.train_images)
    run.add_argument("--val-images", type=_told(count), metavar="N", default=loop.Wishes.val_images)
    serve = commands.add_parser("serve", help="start store and services, print addresses and token")
    serve.add_argument("--foreground", action="store_true", help="stay, and end them on Ctrl-C")
    commands.add_parser("down", help="end what serve has started")
    status = commands.add_parser("status", help="tell what runs and where")
    status.add_argument("--json", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    chosen = build_parser().parse_args(arguments)
    try:
        return _run(chosen)
    except (Stopped, KeyboardInterrupt) as error:
        by = f" by {error}" if str(error) else ""
        return _say(f"interrupted{by}; the same command goes on where this one stopped", INTERRUPTED)
    except WRONG_WISHES as error:
        return _say(str(error), USAGE)
    except FORESEEN as error:
        return _say(str(error), FAILED)
    except CommandFailed as error:
        return _say(str(error), error.exit_code)
    except ServiceError as error:
        return _say(str(failure_of(error)), failure_of(error).exit_code)


def _run(chosen: argparse.Namespace) -> int:
    settings = Settings.from_environ(os.environ)
    home = Home(settings.home)
    if chosen.command == "run":
        knobs = ("data", "epochs", "size", "classes", "train_images", "val_images")
        path = loop.run(home, settings, loop.Wishes(**{name: getattr(chosen, name) for name in knobs}))
        print(path, flush=True)
        return 0
    if chosen.command == "serve":
        return serving.serve_in_foreground(home, settings) if chosen.foreground else serving.serve(home)
    return serving.down(home) if chosen.command == "down" else serving.status(home, chosen.json)


def _say(text: str, exit_code: int) -> int:
    print(f"periscope: {text}", file=sys.stderr, flush=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
