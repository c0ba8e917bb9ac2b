"""Leadership by a Lease of Kubernetes, where jobs run on Kubernetes.

As in Kubernetes' own leader election nobody compares clocks: a holder counts as gone once its entry has not
changed for as long as it said it would hold, by the clock of whoever looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from periscope.clock import to_rfc3339, utc_now
from periscope_training.kubernetes_api import AlreadyThere, Missing, Object


class Leases(Protocol):
    """Leases of one namespace. Every method may raise LauncherUnavailable."""

    def lease(self, name: str) -> Object | None:
        """A Lease, or None."""

    def create_lease(self, manifest: Mapping[str, Any]) -> Object:
        """Make a Lease. Raises AlreadyThere."""

    def replace_lease(self, name: str, manifest: Mapping[str, Any]) -> Object:
        """Replace the Lease that was read. Raises AlreadyThere when it has changed, Missing if it is gone."""


class KubernetesLease:
    """One named lease as one holder sees it; see :class:`periscope_training.leadership.Renewable`."""

    def __init__(
        self,
        leases: Leases,
        name: str,
        holder: str,
        ttl_s: int,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._name = name
        self._holder = holder
        self._ttl_s = ttl_s
        self._now = now
        self._monotonic = monotonic
        self._seen = ""
        self._seen_at_s = 0.0

    def acquire(self) -> bool:
        """Take or renew the lease; False while another holds it. Raises LauncherUnavailable."""
        found = self._leases.lease(self._name)
        try:
            if found is None:
                self._leases.create_lease(self._manifest({}, self._holder))
                return True
            if not self._may_take(found):
                return False
            self._leases.replace_lease(self._name, self._manifest(found, self._holder))
        except (AlreadyThere, Missing):
            return False
        return True

    def release(self) -> None:
        """Give the lease up at once, if it is ours. Raises LauncherUnavailable."""
        found = self._leases.lease(self._name)
        if found is None or found["spec"].get("holderIdentity") != self._holder:
            return
        try:
            self._leases.replace_lease(self._name, self._manifest(found, ""))
        except (AlreadyThere, Missing):
            return

    def _may_take(self, found: Object) -> bool:
        holder = found["spec"].get("holderIdentity") or ""
        if holder in ("", self._holder):
            return True
        if found["metadata"]["resourceVersion"] != self._seen:
            self._seen, self._seen_at_s = found["metadata"]["resourceVersion"], self._monotonic()
            return False
        lasts_s = found["spec"].get("leaseDurationSeconds") or self._ttl_s
        return self._monotonic() - self._seen_at_s >= float(lasts_s)

    def _manifest(self, found: Mapping[str, Any], holder: str) -> dict[str, Any]:
        """``found`` with a new holder; its resource version makes the write a compare-and-set."""
        before, at = found.get("spec", {}), to_rfc3339(self._now())
        changes_hands = before.get("holderIdentity") != holder
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": found.get("metadata") or {"name": self._name},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self._ttl_s,
                "acquireTime": at if changes_hands else before.get("acquireTime", at),
                "renewTime": at,
                "leaseTransitions": before.get("leaseTransitions", 0) + (changes_hands and bool(before)),
            },
        }
