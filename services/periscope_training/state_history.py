"""What jobs, publications and evaluations share: a state, its reason, and how it came to that."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from periscope.clock import to_rfc3339

Body = dict[str, Any]


def changed(body: Mapping[str, Any], now: datetime) -> Body:
    """A copy of a document's body with the time of the change."""
    new = copy.deepcopy(dict(body))
    new["updated_at"] = to_rfc3339(now)
    return new


def entered(new: Body, state: str, reason: str, now: datetime) -> Body:
    """Enter a state into a copy that may be changed; its history gets one entry more."""
    new["state"], new["reason"] = str(state), reason
    new["history"].append({"state": str(state), "at": to_rfc3339(now), "reason": reason})
    return new
