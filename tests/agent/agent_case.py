"""What the agent's tests share: zips to offer, a robot's folder, and assertions about what is on its disk."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import random
import shutil
import sys
import tempfile
import unittest
import zipfile

from simulator import TOKEN, Simulator

AGENT_PATH = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "services", "jetson_agent", "jetson_agent.py"
)


def load_module():
    """Import the agent by its path, for it is no package."""
    spec = importlib.util.spec_from_file_location("jetson_agent", AGENT_PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["jetson_agent"] = module
    spec.loader.exec_module(module)
    return module


jetson_agent = load_module()
jetson_agent.BACKOFF_BASE_S = 0.001


def sha256_of(body):
    return hashlib.sha256(body).hexdigest()


def model_files(version, weight_bytes=200000):
    """The members of a small model; each version has others."""
    weights = random.Random(version).getrandbits(8 * weight_bytes).to_bytes(weight_bytes, "big")
    return {
        "deploy.prototxt": b'name: "net %d"\n' % version,
        "golden/image.png": b"\x89PNG %d" % version,
        "labels.txt": b"buoy\ngate\n",
        "model.json": json.dumps({"name": "buoys", "revision": version}).encode(),
        "snapshot_iter_540.caffemodel": weights,
    }


def sums_of(files):
    lines = ["%s  %s\n" % (sha256_of(body), name) for name, body in sorted(files.items())]
    return "".join(lines).encode()


def add_member(archive, name, body, mode=0o100644, packing=zipfile.ZIP_STORED):
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = mode << 16
    info.compress_type = packing
    archive.writestr(info, body)


def build_zip(files, sums=None, packing=zipfile.ZIP_STORED, extra=()):
    """A model zip; ``extra`` are further ``(name, body, mode)`` that SHA256SUMS may not know."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in sorted(files.items()):
            add_member(archive, name, body, packing=packing)
        for name, body, mode in extra:
            add_member(archive, name, body, mode)
        if sums is not False:
            add_member(archive, "SHA256SUMS", sums_of(files) if sums is None else sums, packing=packing)
    return buffer.getvalue()


def members_of(body):
    """The list of members that the registry would give of a zip."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    return [
        {"name": name, "sha256": sha256_of(content), "size_bytes": len(content)}
        for name, content in sorted(contents.items())
    ]


class AgentCase(unittest.TestCase):
    """A robot with an empty disk, and a simulated registry."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.root = os.path.join(self.folder, "root")
        self.simulator = Simulator()
        self.addCleanup(self.simulator.stop)
        self.token_path = self.write("token", TOKEN + "\n")
        self.settings = {
            "registry_url": self.simulator.registry.url,
            "device": "sub-1",
            "token_file": self.token_path,
            "root": self.root,
            "timeout_s": 2,
            "boot_timeout_s": 1,
            "mission_lock": os.path.join(self.folder, "mission"),
            "spare_bytes": 0,
        }
        self.log = ""

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def configure(self, **changes):
        self.settings.update(changes)
        return self.write("config.json", json.dumps(self.settings))

    def run_agent(self, *arguments):
        """Run one command in this process and return its exit code; ``self.log`` is what it said."""
        return self.run_with(self.configure(), *arguments)

    def run_with(self, config_path, *arguments):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = jetson_agent.main(["--config", config_path] + list(arguments))
        self.log = errors.getvalue()
        return code

    def offer(self, version, files=None, **options):
        """Let the registry want a model; return its files."""
        files = files or model_files(version)
        body = build_zip(files)
        self.simulator.offer(version, body, members_of(body), **options)
        return files

    def installed(self, version=1):
        """A robot that has a model; return its files."""
        files = self.offer(version)
        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.simulator.store.requests.clear()
        self.simulator.registry.requests.clear()
        return files

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def files_in_use(self):
        """Names and contents below ``current``, without the agent's record; None where it is no model."""
        if not os.path.isdir(self.path("current")):
            return None
        found = {}
        top = os.path.realpath(self.path("current"))
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, top)] = file.read()
        found.pop(jetson_agent.RECORD_NAME, None)
        found.pop(jetson_agent.RECORD_NAME + ".damaged", None)
        found.pop("SHA256SUMS", None)
        return found

    def assert_in_use(self, files):
        self.assertEqual(self.files_in_use(), files)

    def assert_no_litter(self):
        litter = [
            os.path.join(folder, name)
            for folder, folders, names in os.walk(self.root)
            for name in folders + names
            if name.endswith((".tmp", ".new", ".part"))
        ]
        self.assertEqual(litter, [])

    def releases(self):
        return sorted(os.listdir(self.path("releases")))

    def journal(self, key):
        with open(self.path("state", "journal.json")) as file:
            return json.load(file).get(key, {})
