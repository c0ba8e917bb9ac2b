"""Tokens for one attempt of one job: an HMAC of job, attempt and expiry, good for nothing else."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

PREFIX = "psj"


def issue(secret: str, job_id: str, attempt: int, expires_at: datetime) -> str:
    """The token's text: ``psj_<job>_<attempt>_<expiry in Unix seconds>_<HMAC-SHA-256>``."""
    claim = f"{PREFIX}_{job_id}_{attempt}_{int(expires_at.timestamp())}"
    return f"{claim}_{_mac(secret, claim)}"


def verify(secret: str, text: str, job_id: str, attempt: int, now: datetime) -> bool:
    """Whether the token is ours, for this job and attempt, and not expired."""
    claim, _, mac = text.rpartition("_")
    if not hmac.compare_digest(mac.encode(), _mac(secret, claim).encode()):
        return False
    expiry = claim.rpartition("_")[2]
    return claim == f"{PREFIX}_{job_id}_{attempt}_{expiry}" and now.timestamp() < int(expiry)


def _mac(secret: str, claim: str) -> str:
    return hmac.new(secret.encode(), claim.encode(), hashlib.sha256).hexdigest()
