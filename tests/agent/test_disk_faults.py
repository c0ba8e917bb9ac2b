import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import unittest.mock
import zipfile

from agent_case import AGENT_PATH, AgentCase, build_zip, jetson_agent, members_of, model_files

STEPS = ("fsync", "replace", "rename", "symlink", "mkdir", "unlink", "listdir")


class Failing:
    """Replaces functions of ``os`` for the agent; the chosen call, counted over all, fails."""

    def __init__(self, failing_call, error=errno.ENOSPC):
        self.calls = 0
        self.failing_call = failing_call
        self.error = error

    def wrap(self, function):
        def counted(*arguments, **options):
            self.calls += 1
            if self.calls == self.failing_call:
                raise OSError(self.error, "injected")
            return function(*arguments, **options)

        return counted

    def __enter__(self):
        self.patches = [unittest.mock.patch.object(os, name, self.wrap(getattr(os, name))) for name in STEPS]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


class DiskFaults(AgentCase):
    """A disk that is full or fails at any step leaves the old model or the new one, never a mixture."""

    def test_every_step_may_fail(self):
        old, new = self.installed(1), self.offer(2)
        first_wish = self.simulator.desired
        call = 0
        while True:
            call += 1
            with Failing(call) as disk:
                code = self.run_agent("once")
            in_use = self.files_in_use()
            self.assertIn(in_use, (old, new), "after call %d failed" % call)
            if disk.calls < call:
                break
            self.assertIn(code, (0, 74), self.log)
            self.assertEqual(self.run_agent("once"), 0, self.log)
            self.assert_in_use(new)
            self.assert_no_litter()
            old, new = new, self.offer(call + 2)

        self.assertGreater(call, 20)
        self.assertNotEqual(self.simulator.desired, first_wish)

    def run_with_file_limit(self, limit_bytes):
        """Run in a process whose files cannot grow beyond a limit, as on a full disk."""

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        command = [sys.executable, "-B", AGENT_PATH, "--config", self.configure(), "once"]
        return subprocess.call(command, preexec_fn=limit, stderr=subprocess.DEVNULL)

    def test_a_disk_that_fills_up_during_the_download(self):
        old, new = self.installed(1), self.offer(2)

        self.assertEqual(self.run_with_file_limit(100000), 74)
        self.assert_in_use(old)
        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(new)
        self.assert_no_litter()

    def test_a_disk_that_fills_up_while_unpacking(self):
        old = self.installed(1)
        new = {**model_files(2), "zeros": bytes(600000)}
        body = build_zip(new, packing=zipfile.ZIP_DEFLATED)
        self.simulator.offer(2, body, members_of(body))

        self.assertEqual(self.run_with_file_limit(400000), 74)
        self.assert_in_use(old)
        asked = len(self.simulator.store.requests)
        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(new)
        self.assert_no_litter()
        self.assertEqual(len(self.simulator.store.requests), asked)

    def test_a_full_disk_is_made_room_on_by_dropping_older_releases(self):
        for version in (1, 2, 3):
            self.installed(version)
        files = self.offer(4)
        free = itertools.chain([0], itertools.repeat(1 << 40))
        usage = unittest.mock.Mock(side_effect=lambda path: unittest.mock.Mock(free=next(free)))
        with unittest.mock.patch.object(jetson_agent.shutil, "disk_usage", usage):
            self.assertEqual(self.run_agent("once"), 0)

        self.assert_in_use(files)
        self.assertEqual([name.split("-")[0] for name in self.releases()], ["2", "3", "4"])

    def test_a_folder_that_cannot_be_written_is_told(self):
        self.settings["root"] = self.write("a-file", "")

        self.assertEqual(self.run_agent("once"), 74)
