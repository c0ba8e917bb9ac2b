import os
import subprocess
import sys
import time
import unittest.mock

from agent_case import AGENT_PATH, AgentCase, build_zip, jetson_agent, model_files
from simulator import Body, Flip, Hang

NOWHERE = "http://127.0.0.1:1"


class Boot(AgentCase):
    """A robot starts with a verified model, network or not."""

    def damage(self, name="labels.txt", release="current"):
        path = self.path(release, name)
        with open(path, "rb") as file:
            body = file.read()
        with open(path, "wb") as file:
            file.write(bytes([body[0] ^ 1]) + body[1:])

    def test_with_a_model_and_no_network(self):
        files = self.installed(1)
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_with_neither_model_nor_network(self):
        self.settings["registry_url"] = NOWHERE
        self.settings["boot_timeout_s"] = 0.2

        self.assertEqual(self.run_agent("boot"), 66)
        self.assertIsNone(self.files_in_use())

    def test_with_a_network_and_no_model(self):
        files = self.offer(1)

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_with_a_newer_model_in_the_registry(self):
        self.installed(1)
        files = self.offer(2)

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_a_device_that_the_registry_no_longer_knows_starts_on_its_model(self):
        files = self.installed(1)
        self.simulator.desired = None

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_a_bad_new_model_leaves_the_old_one(self):
        files = self.installed(1)
        self.simulator.offer(2, b"no zip" * 100, members=False)

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_one_flipped_bit_in_the_model_and_no_network_means_the_previous_one(self):
        files = self.installed(1)
        self.installed(2)
        self.damage()
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)
        self.assertIn("back to 1-", self.log)

    def test_a_damaged_model_is_fetched_anew_when_there_is_a_network(self):
        files = self.installed(1)
        self.damage("snapshot_iter_540.caffemodel")

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_falling_back_is_reported(self):
        self.installed(1)
        self.installed(2)
        self.damage()
        self.run_agent("boot")

        self.assertIn("rolled_back", [report["state"] for report in self.simulator.reports])

    def test_with_current_and_previous_damaged_an_older_one_serves(self):
        files = self.installed(1)
        self.installed(2)
        self.installed(3)
        self.damage()
        self.damage(release="previous")
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_with_everything_damaged_and_no_network_it_says_so(self):
        self.installed(1)
        self.damage()
        self.settings.update(registry_url=NOWHERE, boot_timeout_s=0.1)

        self.assertEqual(self.run_agent("boot"), 66)

    def test_damage_that_boot_has_seen_is_repaired_by_the_next_update(self):
        files = self.installed(1)
        address = self.settings["registry_url"]
        self.damage()
        self.settings.update(registry_url=NOWHERE, boot_timeout_s=0.1)
        self.assertEqual(self.run_agent("boot"), 66)
        self.settings["registry_url"] = address

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)

    def test_a_lost_current_link_is_found_again(self):
        files = self.installed(1)
        os.unlink(self.path("current"))
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_a_link_to_nowhere_is_replaced(self):
        files = self.installed(1)
        os.unlink(self.path("current"))
        os.symlink("releases/9-000000000000", self.path("current"))
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_a_member_replaced_by_a_link_is_no_member(self):
        files = self.installed(1)
        self.installed(2)
        os.rename(self.path("current", "labels.txt"), self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), self.path("current", "labels.txt"))
        self.settings["registry_url"] = NOWHERE

        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(files)

    def test_unfinished_work_is_no_model(self):
        for name in ("releases/1-0123456789ab.tmp", "releases/2-0123456789ab"):
            os.makedirs(self.path(name))
            with open(self.path(name, "model.json"), "w") as file:
                file.write("{}")
        self.settings.update(registry_url=NOWHERE, boot_timeout_s=0.1)

        self.assertEqual(self.run_agent("boot"), 66)
        self.assertFalse(os.path.exists(self.path("releases/1-0123456789ab.tmp")))
        self.assertIsNone(self.files_in_use())

    def test_a_silent_registry_holds_it_up_for_its_time_and_no_longer(self):
        files = self.installed(1)
        self.simulator.registry.faults = [Hang(30)] * 5
        self.settings.update(boot_timeout_s=0.5, timeout_s=60)
        began = time.monotonic()

        self.assertEqual(self.run_agent("boot"), 0)
        self.assertLess(time.monotonic() - began, 10)
        self.assert_in_use(files)

    def test_what_never_comes_back_is_ended(self):
        self.installed(1)
        program = (
            "import sys, time, socket; sys.path.insert(0, {folder!r}); import jetson_agent\n"
            "jetson_agent.HARD_STOP_S = 0.2\n"
            "socket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
            "sys.exit(jetson_agent.main(['--config', {config!r}, 'boot']))"
        ).format(folder=os.path.dirname(AGENT_PATH), config=self.configure(boot_timeout_s=0.2))

        code = subprocess.call([sys.executable, "-B", "-c", program], stderr=subprocess.DEVNULL, timeout=30)
        self.assertEqual(code, 0)

    def test_while_another_agent_works_it_still_answers_for_the_model(self):
        files = self.installed(1)
        with jetson_agent.Shelf(self.root).locked():
            self.assertEqual(self.run_agent("boot"), 0)

        self.assert_in_use(files)

    def test_a_defect_in_the_update_does_not_ground_the_robot(self):
        files = self.installed(1)
        with unittest.mock.patch.object(jetson_agent.Agent, "update", side_effect=TypeError("a defect")):
            self.assertEqual(self.run_agent("boot"), 0)

        self.assert_in_use(files)

    def test_a_clock_that_starts_in_1970_changes_nothing(self):
        files = self.installed(1)
        self.offer(2)
        self.simulator.store.faults = [Flip(1000)] * 3
        self.assertEqual(self.run_agent("once"), 65)
        with unittest.mock.patch.object(jetson_agent.time, "time", return_value=5.0):
            self.simulator.store.faults = [Body(500)] * 20
            self.assertEqual(self.run_agent("boot"), 0)
            self.assert_in_use(files)
            self.simulator.store.faults = []
            newer = self.offer(3)
            self.assertEqual(self.run_agent("boot"), 0)

        self.assert_in_use(newer)


class FromFile(AgentCase):
    """A robot without a network takes a zip from a stick, with the same checks."""

    def write_zip(self, body):
        path = os.path.join(self.folder, "model.zip")
        with open(path, "wb") as file:
            file.write(body)
        return path

    def test_a_good_zip_is_in_use(self):
        files = model_files(7)

        self.assertEqual(self.run_agent("install", self.write_zip(build_zip(files))), 0)
        self.assert_in_use(files)
        self.assert_no_litter()
        self.assertTrue(os.readlink(self.path("current")).startswith("releases/usb-"))

    def test_a_bad_zip_leaves_the_old_model(self):
        old = self.installed(1)
        body = build_zip({**model_files(7), "../outside": b"x"})

        self.assertEqual(self.run_agent("install", self.write_zip(body)), 65)
        self.assert_in_use(old)
        self.assert_no_litter()

    def test_no_file_is_told_apart(self):
        self.assertEqual(self.run_agent("install", os.path.join(self.folder, "none.zip")), 66)

    def test_a_zip_over_the_ceiling_is_refused(self):
        self.settings["max_zip_bytes"] = 1000

        self.assertEqual(self.run_agent("install", self.write_zip(build_zip(model_files(7)))), 65)

    def test_the_same_zip_again_unpacks_nothing(self):
        path = self.write_zip(build_zip(model_files(7)))
        self.run_agent("install", path)

        self.assertEqual(self.run_agent("install", path), 0)
        self.assertEqual(len(self.releases()), 1)

    def test_a_zip_that_the_registry_wants_too_is_not_downloaded_again(self):
        files = self.offer(1)
        self.run_agent("install", self.write_zip(self.simulator.versions[1]))

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assertEqual(self.simulator.store.requests, [])

    def test_the_registrys_wish_wins_at_the_next_contact(self):
        files = self.offer(1)
        self.run_agent("install", self.write_zip(build_zip(model_files(7))))

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)

    def test_a_good_copy_lifts_the_quarantine_of_a_damaged_download(self):
        files = self.offer(1)
        self.simulator.store.faults = [Flip(1000)] * 3
        self.assertEqual(self.run_agent("once"), 65)

        self.assertEqual(self.run_agent("install", self.write_zip(self.simulator.versions[1])), 0)
        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assertEqual(self.journal("quarantine"), {})
