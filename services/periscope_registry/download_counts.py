"""Prometheus counters of zips that were given out. Names and meaning stand in ``docs/metrics.md``."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

How = Literal["redirect", "proxy"]


class DownloadCounts:
    """By version, and by device: two families, so that their number grows with each, not with both."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._versions = Counter(
            "periscope_zip_downloads",
            "Downloads of a version's zip that were begun",
            ["model", "version", "how"],
            registry=registry,
        )
        self._devices = Counter(
            "periscope_device_downloads",
            "Downloads of zips that a device began",
            ["device", "how"],
            registry=registry,
        )

    def count(self, model: str, version: int, device: str | None, how: How) -> None:
        """Count one; ``device`` None: a person or a script."""
        self._versions.labels(model, str(version), how).inc()
        if device is not None:
            self._devices.labels(device, how).inc()
