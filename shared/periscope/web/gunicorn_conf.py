"""gunicorn's settings for every service: one gthread worker, and probes on a port and thread of their own.

Used as ``gunicorn -c python:periscope.web.gunicorn_conf '<service>.app:create_app_from_environ()'``.
One worker, because the gauges live in the process; replicas scale a service.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from periscope.web.logs import configure_logging, standard_library_config

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

PROBE_PATHS = ("/livez", "/readyz", "/metrics")

bind = os.environ.get("PERISCOPE_BIND", "127.0.0.1:8000")
worker_class = "gthread"
workers = 1
threads = 16
timeout = 120
graceful_timeout = 20
keepalive = 30
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 - memory, not disk
control_socket_disable = True
accesslog = None
logconfig_dict = standard_library_config("gunicorn")


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn calls it with both
    """Before the application is loaded: what it says while it starts is logged too."""
    configure_logging("starting")


def post_worker_init(worker: Any) -> None:
    """Once the application is loaded: the logs carry its name, and the second port opens."""
    configure_logging(getattr(worker.wsgi, "import_name", "periscope"))
    probe_bind = os.environ.get("PERISCOPE_PROBE_BIND")
    if probe_bind:
        host, _, port = probe_bind.rpartition(":")
        app = only_probes(worker.wsgi)
        server = make_server(host, int(port), app, threaded=True, request_handler=SilentHandler)
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


class SilentHandler(WSGIRequestHandler):
    """Logs no request: probes come every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def only_probes(app: WSGIApp) -> WSGIApp:
    """The same application, for probes and metrics only."""

    def probes(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") not in PROBE_PATHS:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /livez, /readyz and /metrics are here\n"]
        return app(environ, start_response)

    return probes
