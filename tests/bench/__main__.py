"""`make bench`: every comparison, in one table."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings

import structlog

from tests.bench import browsing, datasets, detectnet, growing, ingest_kills, predicting, reconciling, robots
from tests.bench.measure import table

GROUPS = {
    "detectnet": detectnet.rows,
    "predict": predicting.rows,
    "reconcile": reconciling.rows,
    "datasets": datasets.rows,
    "ingest": ingest_kills.rows,
    "browse": browsing.rows,
    "registry": robots.rows,
    "growth": growing.rows,
}


def main() -> None:
    """Measure the named groups, or all, and print the table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="default: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    # Standard output is for the table alone.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = []
    for name in given.groups or GROUPS:
        for row in GROUPS[name](given.threads):
            print(row.to_markdown(), file=sys.stderr, flush=True)
            rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
