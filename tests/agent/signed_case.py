"""A robot with a pinned root, and a registry that signs."""

import json
import shutil
import tempfile

from agent_case import AgentCase, build_zip, members_of, model_files
from keys import Key, make_root, sign_release


class SignedCase(AgentCase):
    @classmethod
    def setUpClass(cls):
        cls.key_folder = tempfile.mkdtemp()
        cls.root_key, cls.release_key, cls.other_key = (
            Key(cls.key_folder, name) for name in ("root", "release", "other")
        )
        cls.first_root = make_root(1, [cls.root_key], [cls.release_key])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.key_folder)

    def setUp(self):
        super().setUp()
        self.settings["root_file"] = self.write("root-1.json", json.dumps(self.first_root))
        self.counter = 1000

    def offer_signed(self, version, key=None, root_version=1, counter=None, **changes):
        """Let the registry want a model and sign it with the next counter; return the model's files."""
        files = model_files(version, 2000)
        body = build_zip(files)
        self.simulator.offer(version, body, members_of(body))
        self.counter = counter or self.counter + 1
        desired = self.simulator.desired
        desired["root_version"] = root_version
        desired["release"] = sign_release(key or self.release_key, desired, self.counter, **changes)
        return files

    def installed_signed(self, version=1, **options):
        files = self.offer_signed(version, **options)
        self.assertEqual(self.run_agent("once"), 0, self.log)
        return files

    def assert_refused(self, old, reason, exit_code=65):
        """The robot keeps its model, says why, and puts no zip into quarantine for what others said of it."""
        self.simulator.reports.clear()
        self.assertEqual(self.run_agent("once"), exit_code, self.log)
        self.assert_in_use(old)
        told = [report["reason"] for report in self.simulator.reports if report["state"] == "failed"]
        self.assertEqual(told, [reason])
        self.assertEqual(self.journal("quarantine"), {})

    def usb(self, version, roots=(), name="stick.zip", **options):
        """A stick with a zip and its signed release; return its path and the model's files."""
        files = self.offer_signed(version, **options)
        path = self.write(name, "")
        with open(path, "wb") as file:
            file.write(self.simulator.versions[version])
        beside = {"release": self.simulator.desired["release"], "roots": list(roots)}
        self.write(name + ".release.json", json.dumps(beside))
        return path, files
