"""``python -m periscope_upkeep bootstrap|identities|backup|restore|verify``, for the bucket of ``S3_*``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from periscope.s3 import S3Store
from periscope.settings import SettingsError, required
from periscope.store import StoreError
from periscope_upkeep.backup import Backup, BackupUnusable, BucketTaken, Done
from periscope_upkeep.identities import identities
from periscope_upkeep.settings import BootstrapSettings, UserKey

RETRY_EVERY_S = 2.0
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
    start = commands.add_parser("bootstrap", help="make the bucket, its lifecycle, and on MinIO the users")
    start.add_argument("--patience-s", type=float, default=0, help="try again for so long; default: never")
    commands.add_parser("identities", help="print SeaweedFS's s3.json for the keys SERVICES_* and TRAINER_*")
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
            return _bootstrap(chosen.patience_s)
        if chosen.command == "identities":
            print(json.dumps(_identities(os.environ), indent=2), flush=True)
            return 0
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


def _identities(environ: Mapping[str, str]) -> dict[str, Any]:
    services = UserKey.from_environ(environ, "SERVICES")
    return identities(required(environ, "S3_BUCKET"), services, UserKey.from_environ(environ, "TRAINER"))


def _bootstrap(patience_s: float) -> int:
    # The MinIO SDK is needed here alone; copies are made without it.
    from periscope_upkeep.bootstrap import bootstrap
    from periscope_upkeep.minio_users import UsersRefused

    settings, deadline = BootstrapSettings.from_environ(os.environ), time.monotonic() + patience_s
    while True:
        try:
            bootstrap(settings, lambda text: print(text, flush=True))
        except (StoreError, UsersRefused) as error:
            print(f"periscope_upkeep bootstrap: {error}", file=sys.stderr, flush=True)
            if time.monotonic() >= deadline:
                return UNAVAILABLE
            time.sleep(RETRY_EVERY_S)
        else:
            return 0


def _told(done: Done) -> str:
    return f"{done.objects} objects, {done.size_bytes} bytes; {done.moved_bytes} bytes were moved"


if __name__ == "__main__":
    sys.exit(main())
