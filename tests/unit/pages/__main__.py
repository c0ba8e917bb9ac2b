"""`make pages`: write the pages of the documentation that are made from the code."""

from __future__ import annotations

from tests.unit.pages.pages import PAGES


def main() -> None:
    """Write them all."""
    for path, page in PAGES.items():
        path.write_text(page())


if __name__ == "__main__":
    main()
