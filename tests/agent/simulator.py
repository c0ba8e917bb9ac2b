"""A registry and an object store on the loopback interface, whose state a test edits by plain attributes.

Runs on Python 3.6. Faults are values in ``registry.faults`` or ``store.faults``; each request takes one.
"""

import hashlib
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

TOKEN = "psc_01TESTTESTTESTTESTTESTTEST_secret"


class Cut:
    """Promise everything, send so many bytes, close the connection."""

    def __init__(self, after):
        self.after = after


class Flip:
    """Send one bit of the body wrong."""

    def __init__(self, at):
        self.at = at


class Body:
    """Answer with another status, body or headers."""

    def __init__(self, status, body=b"", headers=None):
        self.status = status
        self.body = body
        self.headers = headers or {}


class Endless:
    """Send another page without telling its length, as a log-in page of a wireless network does."""


class WholeBody:
    """Ignore Range: answer 200 with everything."""


class WrongRange:
    """Answer 206 with a Content-Range of another part or another file."""

    def __init__(self, shift=0, extra=0):
        self.shift = shift
        self.extra = extra


class Hang:
    """Take the request and stay silent."""

    def __init__(self, seconds):
        self.seconds = seconds


class Trickle:
    """Send the body in pieces with a pause after each."""

    def __init__(self, piece_bytes, pause_s):
        self.piece_bytes = piece_bytes
        self.pause_s = pause_s


class Server(socketserver.ThreadingMixIn, HTTPServer):
    """One of the two servers; keeps what it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, simulator, handler):
        HTTPServer.__init__(self, ("127.0.0.1", 0), handler)
        self.simulator = simulator
        self.faults = []
        self.requests = []
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.daemon = True
        self.thread.start()

    def handle_error(self, request, client_address):
        """A client that was killed is no error here."""

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Keep the test's output clean."""

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_fault(self, fault):
        """Whether the fault was the whole answer."""
        if isinstance(fault, Body):
            self.answer(fault.status, fault.body, fault.headers)
        elif isinstance(fault, Hang):
            time.sleep(fault.seconds)
            self.close_connection = True
        elif isinstance(fault, Endless):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>log in</html>" * 100)
            self.close_connection = True
        else:
            return False
        return True

    def take(self):
        """Note the request and return the fault meant for it."""
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        return self.server.faults.pop(0) if self.server.faults else None


class RegistryHandler(Handler):
    def do_GET(self):
        fault = self.take()
        if self.answer_fault(fault):
            return
        simulator = self.server.simulator
        if self.headers.get("Authorization") != "Bearer " + TOKEN:
            self.answer(401, b'{"status":401,"detail":"unknown token"}')
        elif self.path == "/v1/devices/sub-1/desired":
            self.answer_desired(simulator, fault)
        elif self.path.startswith("/v1/roots/") and int(self.path.split("/")[3]) in simulator.roots:
            self.answer(200, json.dumps(simulator.roots[int(self.path.split("/")[3])]).encode())
        elif "/zip" in self.path and "proxy=1" in self.path:
            answer_zip(self, simulator.zip_of(self.path.split("?")[0]), fault)
        elif self.path.endswith("/zip"):
            sha256 = hashlib.sha256(simulator.zip_of(self.path)).hexdigest()
            location = "%s/bucket/%s?X-Amz-Signature=abc" % (simulator.store.url, sha256)
            self.answer(307, b"", {"Location": location, "ETag": '"sha256:%s"' % sha256})
        else:
            self.answer(404, b'{"status":404,"detail":"no such thing"}')

    def answer_desired(self, simulator, fault):
        if simulator.desired is None:
            self.answer(404, b'{"status":404,"detail":"no device sub-1"}')
            return
        body = json.dumps(simulator.desired).encode()
        etag = '"%s"' % hashlib.sha256(body).hexdigest()
        if self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.send_header("ETag", etag)
            self.end_headers()
        elif isinstance(fault, Cut):
            self.answer(200, body[: fault.after], {"Content-Length": str(len(body)), "ETag": etag})
            self.close_connection = True
        else:
            self.answer(200, body, {"ETag": etag})

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode())
        simulator = self.server.simulator
        if self.answer_fault(self.take()):
            return
        if self.path == "/v1/devices/sub-1:enrol":
            taken = content == {"code": simulator.code} and "Authorization" not in self.headers
            token = json.dumps({"token": TOKEN}).encode()
            self.answer(201, token) if taken else self.answer(403, b'{"detail":"no such code"}')
        else:
            simulator.reports += content["reports"]
            simulator.inventories.append(content["inventory"])
            self.answer(200, b'{"accepted":1}')


class StoreHandler(Handler):
    def do_GET(self):
        fault = self.take()
        if not self.answer_fault(fault):
            wanted = self.path.split("?")[0].rsplit("/", 1)[1]
            answer_zip(self, self.server.simulator.blobs[wanted], fault)


def answer_zip(handler, body, fault):
    """Serve a zip with Range, as the fault would have it."""
    start, status, size = 0, 200, len(body)
    headers = {"Accept-Ranges": "bytes"}
    asked = handler.headers.get("Range")
    if isinstance(fault, Flip):
        body = body[: fault.at] + bytes([body[fault.at] ^ 1]) + body[fault.at + 1 :]
    if asked and not isinstance(fault, WholeBody):
        start = int(asked[len("bytes=") :].split("-")[0])
        if start >= size:
            handler.answer(416, b"", {"Content-Range": "bytes */%d" % size})
            return
        status = 206
        shift, extra = (fault.shift, fault.extra) if isinstance(fault, WrongRange) else (0, 0)
        headers["Content-Range"] = "bytes %d-%d/%d" % (start + shift, size - 1, size + extra)
    body = body[start:]
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    send_pieces(handler, body, fault)


def send_pieces(handler, body, fault):
    """Send a body whole, cut off, or slowly."""
    if isinstance(fault, Cut):
        handler.wfile.write(body[: fault.after])
        handler.close_connection = True
    elif isinstance(fault, Trickle):
        for at in range(0, len(body), fault.piece_bytes):
            handler.wfile.write(body[at : at + fault.piece_bytes])
            time.sleep(fault.pause_s)
    else:
        handler.wfile.write(body)


class Simulator:
    """What the servers know: what the device should have, the zips, the reports that came."""

    def __init__(self):
        self.desired = None
        self.blobs = {}
        self.versions = {}
        self.reports = []
        self.inventories = []
        self.roots = {}
        self.code = "1234"
        self.registry = Server(self, RegistryHandler)
        self.store = Server(self, StoreHandler)

    def offer(self, version, body, members=None, **changes):
        """Let the device want a zip. ``members`` False leaves the list out; ``changes`` go over the zip's."""
        sha256 = hashlib.sha256(body).hexdigest()
        self.blobs[sha256] = body
        self.versions[version] = body
        url = "/v1/models/buoys/versions/%d/zip" % version
        described = {"url": url, "sha256": sha256, "size_bytes": len(body)}
        described.update(changes)
        if described["sha256"] != sha256:
            self.blobs[described["sha256"]] = body
        self.desired = {
            "device": "sub-1",
            "model": "buoys",
            "version": version,
            "zip": described,
            "poll_interval_s": 60,
            "a_field_of_the_future": {"x": [1]},
        }
        if members is not False:
            self.desired["members"] = members or []

    def zip_of(self, path):
        return self.versions[int(path.split("/versions/")[1].split("/")[0])]

    def stop(self):
        self.registry.stop()
        self.store.stop()
