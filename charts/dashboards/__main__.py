"""``make dashboards``: write every dashboard as JSON into the chart."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from charts.dashboards.boards import BOARDS

FOLDER = Path(__file__).resolve().parents[1] / "periscope" / "dashboards"


def texts() -> dict[str, str]:
    """File names and contents; equal code gives equal bytes."""
    return {
        f"{name}.json": JSONEncoder(sort_keys=True, indent=2).encode(make().build()) + "\n"
        for name, make in BOARDS.items()
    }


def main() -> None:
    """Replace the folder's files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
