"""`make openapi`: write the services' documents to docs/openapi; an incompatible change only with --breaking."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.unit.contracts.compatibility import breaking_changes
from tests.unit.contracts.documents import FOLDER, as_text, current_documents, written


def main() -> int:
    """Write all or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        documents = current_documents(Path(folder))
    broken = [
        f"{name}: {change}"
        for name, document in documents.items()
        if written(name)
        for change in breaking_changes(json.loads(written(name)), document)
    ]
    if broken and "--breaking" not in sys.argv:
        print("An older client would stumble over these; nothing is written.", *broken, sep="\n  ")
        return 1
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents.items():
        (FOLDER / f"{name}.json").write_text(as_text(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
