import json
import os
import stat
import unittest.mock

from agent_case import AgentCase, build_zip, jetson_agent, members_of, model_files
from simulator import TOKEN


class Programs(AgentCase):
    """The robot's own programs build the engine and run the golden picture before a release is in use."""

    def program(self, text):
        path = self.write("program", "#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return [path]

    def test_they_run_on_the_new_release_before_it_is_in_use(self):
        self.installed(1)
        mark = os.path.join(self.folder, "mark")
        current = self.path("current")
        said = 'echo "$0 $(basename $PERISCOPE_MODEL) $(basename $(readlink %s))" >> %s' % (current, mark)
        self.settings["warm_up"] = self.settings["smoke_test"] = self.program(said)
        self.installed(2)

        with open(mark) as file:
            lines = [line.split()[1:] for line in file]
        self.assertEqual([[name.split("-")[0] for name in line] for line in lines], [["2", "1"]] * 2)
        states = [report["state"] for report in self.simulator.reports]
        self.assertEqual(states[-3:], ["warming", "smoke_tested", "active"])

    def test_a_failure_keeps_the_old_model_and_three_of_them_quarantine_the_new_one(self):
        old = self.installed(1)
        self.settings["smoke_test"] = self.program("exit 3")
        self.offer(2)
        for reason in ("smoke_test", "smoke_test", "smoke_test", "quarantined"):
            self.assertEqual(self.run_agent("once"), 65)
            self.assert_in_use(old)
            self.assertEqual(self.simulator.reports[-1]["reason"], reason)

    def test_one_that_takes_too_long_is_ended_with_all_that_it_started(self):
        old = self.installed(1)
        self.settings.update(warm_up=self.program("sleep 600 & echo $! > %s/pid; wait" % self.folder))
        self.settings.update(warm_up_timeout_s=0.3)
        self.offer(2)
        self.assertEqual(self.run_agent("once"), 65)

        self.assertIn("too long", self.log)
        self.assert_in_use(old)
        with open(os.path.join(self.folder, "pid")) as file:
            pid = int(file.read())
        self.assertFalse(self.is_running(pid))

    def is_running(self, pid):
        """Whether a process does anything; one that ended and that nobody waited for does not."""
        try:
            with open("/proc/%d/stat" % pid) as file:
                return file.read().split()[2] != "Z"
        except OSError:
            return False

    def test_a_long_one_gives_a_sign_of_life(self):
        self.settings["warm_up"] = self.program("sleep 0.5")
        with unittest.mock.patch.object(jetson_agent, "HEARTBEAT_S", 0.1):
            self.installed(1)

        self.assertIn("is at work", self.log)

    def test_a_machine_that_cannot_do_it_says_so_and_takes_the_model(self):
        self.settings["warm_up"] = self.program("exit 69")
        files = self.installed(1)

        self.assertIn("nothing here can do it", self.log)
        self.assert_in_use(files)

    def test_a_release_that_waits_for_a_boot_is_tried_out_before(self):
        mark = os.path.join(self.folder, "mark")
        self.settings["warm_up"] = self.program("echo x >> " + mark)
        self.installed(1)
        body = build_zip(model_files(2))
        self.simulator.offer(2, body, members_of(body))
        self.simulator.desired["activation"] = "on_boot"
        self.assertEqual(self.run_agent("once"), 75)
        self.assertEqual(self.run_agent("boot"), 0)

        with open(mark) as file:
            self.assertEqual(file.read(), "x\nx\n")
        self.assertEqual(self.shelf_version(), "2")

    def shelf_version(self):
        return (jetson_agent.Shelf(self.root).linked("current") or "").split("-")[0]


class Factory(AgentCase):
    def test_a_robot_without_a_model_or_a_network_boots_the_factorys(self):
        files = model_files(1)
        path = self.write("factory.zip", "")
        with open(path, "wb") as file:
            file.write(build_zip(files))
        self.settings["factory_zip"] = path
        self.simulator.registry.stop()

        self.assertEqual(self.run_agent("boot"), 0, self.log)
        self.assert_in_use(files)

    def test_a_bad_factory_zip_does_not_keep_the_registrys_model_away(self):
        self.settings["factory_zip"] = self.write("factory.zip", "no zip")
        files = self.offer(1)

        self.assertEqual(self.run_agent("boot"), 0, self.log)
        self.assert_in_use(files)


class Enrolment(AgentCase):
    def test_a_code_becomes_the_token(self):
        os.unlink(self.token_path)
        self.assertEqual(self.run_agent("enrol", "1234"), 0, self.log)

        with open(self.token_path) as file:
            self.assertEqual(file.read().strip(), TOKEN)
        self.assertEqual(stat.S_IMODE(os.stat(self.token_path).st_mode), 0o600)
        self.installed(1)

    def test_a_wrong_code_leaves_the_token_that_was(self):
        self.assertEqual(self.run_agent("enrol", "9999"), 77)
        self.assertIn("no such code", self.log)

        self.installed(1)


class Inventory(AgentCase):
    def test_it_is_told_once_and_again_when_it_changed(self):
        program = self.write("probe", "#!/bin/sh\necho '%s'" % json.dumps({"tensorrt": "8.5.2"}))
        os.chmod(program, 0o755)
        self.settings["probe"] = [program]
        self.installed(1)
        told = len(self.simulator.inventories)
        self.run_agent("once")
        self.assertEqual(len(self.simulator.inventories), told)
        self.assertEqual(self.simulator.inventories[-1]["tensorrt"], "8.5.2")
        self.assertGreater(self.simulator.inventories[-1]["free_bytes"], 0)
        self.write("probe", "#!/bin/sh\necho '%s'" % json.dumps({"tensorrt": "10.3"}))
        self.run_agent("once")

        self.assertEqual(self.simulator.inventories[-1]["tensorrt"], "10.3")

    def test_a_probe_that_fails_or_prints_nonsense_costs_nothing(self):
        for text in ("exit 1", "echo no json"):
            self.settings["probe"] = [self.write("probe", "#!/bin/sh\n" + text)]
            os.chmod(self.settings["probe"][0], 0o755)
            with self.subTest(text):
                self.installed(1)
                self.assertIn("python", self.simulator.inventories[-1])
