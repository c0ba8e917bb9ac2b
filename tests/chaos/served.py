"""``python -m tests.chaos.served serve|down``: the embedded default, its services reaching the store by a proxy."""

from __future__ import annotations

import os
import sys

from periscope_embedded.__main__ import main
from periscope_embedded.seaweedfs import BUCKET, SeaweedFS

PROXY_PORT = "CHAOS_PROXY_PORT"


def by_proxy(store: SeaweedFS, bucket: str = BUCKET) -> dict[str, str]:
    """What services are told of the store; see SeaweedFS.environ."""
    return {**straight(store, bucket), "S3_ENDPOINT": f"http://127.0.0.1:{os.environ[PROXY_PORT]}"}


straight = SeaweedFS.environ

if __name__ == "__main__":
    SeaweedFS.environ = by_proxy  # type: ignore[method-assign]
    sys.exit(main())
