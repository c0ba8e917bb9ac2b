"""Periscope from Python: data sets, jobs, models and robots, with typed answers.

    from periscope_cli.client import Periscope

    periscope = Periscope.connect()
    job = periscope.jobs.create({"name": "first", "dataset": "dive-12", "epochs": 30})
    job = periscope.jobs.wait(job.id)
    periscope.jobs.publish(job.id, "buoys")

Failures are ``ServiceError``: ``ServiceProblem`` (a service said no), ``ServiceUnreachable``,
``DownloadCorrupt``, ``NotThere``, ``AddressMissing``, ``ConnectionUnusable``, and ``Ended`` where what was
waited for failed.
"""

from periscope.client import DownloadCorrupt, ServiceError, ServiceProblem, ServiceUnreachable
from periscope_cli.client.api import Periscope
from periscope_cli.client.models import ModelReference
from periscope_cli.errors import AddressMissing, ConnectionUnusable, Ended, NotThere

__all__ = [
    "AddressMissing",
    "ConnectionUnusable",
    "DownloadCorrupt",
    "Ended",
    "ModelReference",
    "NotThere",
    "Periscope",
    "ServiceError",
    "ServiceProblem",
    "ServiceUnreachable",
]
