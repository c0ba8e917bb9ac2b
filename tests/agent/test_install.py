import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from agent_case import AGENT_PATH, jetson_agent

FOLDER = os.path.dirname(AGENT_PATH)
FIRST = ["--registry", "https://r.example", "--device", "sub-1"]


class Install(unittest.TestCase):
    """install.sh, below a folder that stands for a robot's disk."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.disk = os.path.join(self.folder, "disk")
        self.etc = os.path.join(self.disk, "etc", "periscope-agent")

    def install(self, *arguments):
        command = [os.path.join(FOLDER, "install.sh")] + list(arguments)
        done = subprocess.run(
            command, env=dict(os.environ, DESTDIR=self.disk), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = done.stdout.decode()
        return done.returncode

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def config(self):
        with open(os.path.join(self.etc, "config.json")) as file:
            return jetson_agent.parse_config(file.read())

    def everything(self):
        """Every file and what it holds."""
        found = {}
        for folder, _, names in os.walk(self.disk):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.join(folder, name)] = file.read()
        return found

    def test_it_writes_a_configuration_that_the_agent_takes(self):
        self.assertEqual(self.install(*FIRST), 0, self.said)

        config = self.config()
        self.assertEqual((config.registry_url, config.device), ("https://r.example", "sub-1"))
        self.assertEqual((config.root_file, config.ca_file, config.factory_zip), ("", "", ""))
        self.assertEqual(config.warm_up, ["/opt/periscope-agent/detector.py", "warm-up"])

    def test_given_files_are_copied_and_named(self):
        files = {"--root-file": "r", "--ca-file": "c", "--factory-zip": "z"}
        given = [word for option, name in files.items() for word in (option, self.write(name, name))]
        self.assertEqual(self.install(*(FIRST + given)), 0, self.said)

        config = self.config()
        for path in (config.root_file, config.ca_file, config.factory_zip):
            self.assertTrue(os.path.isfile(self.disk + path), path)

    def test_a_second_time_changes_nothing(self):
        self.install(*FIRST)
        before = self.everything()

        self.assertEqual(self.install(), 0, self.said)
        self.assertEqual(self.everything(), before)

    def test_what_the_operator_changed_stays_and_old_programs_are_replaced(self):
        self.install(*FIRST)
        changed = os.path.join(self.etc, "config.json")
        with open(changed, "w") as file:
            json.dump({"registry_url": "https://other", "device": "d", "token_file": "t"}, file)
        program = os.path.join(self.disk, "opt", "periscope-agent", "jetson_agent.py")
        with open(program, "w") as file:
            file.write("old")
        self.assertEqual(self.install(*FIRST), 0, self.said)

        self.assertEqual(self.config().registry_url, "https://other")
        with open(program, "rb") as new, open(AGENT_PATH, "rb") as wanted:
            self.assertEqual(new.read(), wanted.read())

    def test_what_is_wrong_is_said_before_anything_is_written(self):
        for arguments, word in (
            ([], "--registry"),
            (["--device", "sub-1"], "--registry"),
            (["--fast"], "--fast"),
            (["--device"], "value"),
            (FIRST + ["--root-file", "/nonexistent"], "/nonexistent"),
            (["--registry", 'https://"', "--device", "x"], "quotes"),
        ):
            with self.subTest(arguments):
                self.assertEqual(self.install(*arguments), 64)
                self.assertIn(word, self.said)
                self.assertFalse(os.path.exists(self.disk))

    def test_the_units_start_programs_that_are_installed_and_wait_for_no_network(self):
        self.install(*FIRST)
        units = os.path.join(self.disk, "etc", "systemd", "system")
        for name in os.listdir(units):
            with open(os.path.join(units, name)) as file:
                text = file.read()
            for word in text.split():
                if word.startswith("/opt/"):
                    self.assertTrue(os.path.isfile(self.disk + word), "%s: %s" % (name, word))
            if name in ("periscope-model.service", "periscope-detector.service"):
                self.assertNotIn("network-online", text)
        if shutil.which("systemd-analyze"):
            paths = [os.path.join(units, name) for name in os.listdir(units)]
            verify = ["systemd-analyze", "verify", "--man=no"] + paths
            done = subprocess.run(verify, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            ours = [line for line in done.stdout.decode().splitlines() if units in line]
            self.assertEqual(ours, [])


class CameraLoop(unittest.TestCase):
    """The example follows the link, and a model that cannot be loaded leaves the one that was."""

    def setUp(self):
        path = os.path.join(FOLDER, "examples", "camera_loop.py")
        spec = importlib.util.spec_from_file_location("camera_loop", path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.link = os.path.join(self.folder, "current")
        self.loaded = []

    def point(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        os.symlink(path, self.link + ".new")
        os.replace(self.link + ".new", self.link)

    def load(self, folder):
        name = os.path.basename(folder)
        self.loaded.append(name)
        if name == "bad":
            raise RuntimeError("no engine")
        return name

    def test_it_loads_anew_only_when_the_link_moved(self):
        current = self.module.CurrentNetwork(self.link, self.load)
        self.point("one")
        self.assertEqual([current.get(), current.get()], ["one", "one"])
        self.point("bad")
        self.assertEqual([current.get(), current.get()], ["one", "one"])
        self.point("two")
        self.assertEqual(current.get(), "two")

        self.assertEqual(self.loaded, ["one", "bad", "two"])

    def test_a_first_model_that_cannot_be_loaded_is_told(self):
        self.point("bad")

        with self.assertRaises(RuntimeError):
            self.module.CurrentNetwork(self.link, self.load).get()
