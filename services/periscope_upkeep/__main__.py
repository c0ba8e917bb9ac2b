"""``python -m periscope_upkeep bootstrap|backup|restore|verify``, for the bucket that ``S3_*`` names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from periscope.s3 import S3Store
from periscope.settings import SettingsError
from periscope.store import StoreError
from periscope_upkeep.backup import Backup, BackupUnusable, BucketTaken, Done

FAILED, UNUSABLE, UNAVAILABLE, BAD_SETTINGS = 1, 65, 69, 78
EXIT_CODES: dict[type[Exception], int] = {
    SettingsError: BAD_SETTINGS,
    StoreError: UNAVAILABLE,
    BackupUnusable: UNUSABLE,
    BucketTaken: FAILED,
    OSError: FAILED,
}


def build_parser() -> argparse.ArgumentParser:
    """The grammar."""
    parser = argparse.ArgumentParser(prog="periscope_upkeep", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("bootstrap", help="make the bucket, its lifecycle, and on MinIO the users")
    for name, words in (
        ("backup", "copy the bucket into a folder; it may be in use"),
        ("restore", "bring the newest copy into an empty bucket; stop the services first"),
        ("verify", "read the newest copy and compare every hash"),
    ):
        commands.add_parser(name, help=words).add_argument("folder", type=Path)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    chosen = build_parser().parse_args(arguments)
    try:
        if chosen.command == "bootstrap":
            return _bootstrap()
        print(_told(_run(chosen.command, Backup(chosen.folder))), flush=True)
    except tuple(EXIT_CODES) as error:
        print(f"periscope_upkeep {chosen.command}: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    return 0


def _run(command: str, backup: Backup) -> Done:
    if command == "verify":
        return backup.verify()
    store = S3Store.from_environ(os.environ)
    return backup.save(store) if command == "backup" else backup.restore(store)


def _bootstrap() -> int:
    # The MinIO SDK is needed here alone; copies are made without it.
    from periscope_upkeep.bootstrap import bootstrap
    from periscope_upkeep.minio_users import UsersRefused
    from periscope_upkeep.settings import BootstrapSettings

    try:
        bootstrap(BootstrapSettings.from_environ(os.environ), lambda text: print(text, flush=True))
    except UsersRefused as error:
        print(f"periscope_upkeep bootstrap: {error}", file=sys.stderr)
        return UNAVAILABLE
    return 0


def _told(done: Done) -> str:
    return f"{done.objects} objects, {done.size_bytes} bytes; {done.moved_bytes} bytes were moved"


if __name__ == "__main__":
    sys.exit(main())
