import os
import unittest.mock

from agent_case import AgentCase, jetson_agent
from signed_case import SignedCase

STAY_AWAY_S = 10000.0


class Clock:
    """The time since boot, as a test would have it."""

    def __init__(self):
        self.ahead_s = 0.0
        self.monotonic = jetson_agent.time.monotonic

    def __call__(self):
        return self.monotonic() + self.ahead_s


class Trial(AgentCase):
    """A new release is on trial until it has run for a while; three starts that do not last end it."""

    def setUp(self):
        super().setUp()
        self.clock = Clock()
        patch = unittest.mock.patch.object(jetson_agent.time, "monotonic", self.clock)
        patch.start()
        self.addCleanup(patch.stop)

    def states(self):
        return [report["state"] for report in self.simulator.reports]

    def start(self, times=1):
        for _ in range(times):
            self.assertEqual(self.run_agent("start"), 0, self.log)

    def test_a_release_that_runs_long_enough_is_confirmed_once(self):
        self.installed(1)
        self.clock.ahead_s = 299
        self.run_agent("once")
        self.assertNotIn("confirmed", self.states())
        self.clock.ahead_s = 301
        self.run_agent("once")
        self.run_agent("once")

        self.assertEqual(self.states().count("confirmed"), 1)
        self.assertEqual(self.journal("trial"), {})

    def test_a_start_begins_the_wait_anew(self):
        self.installed(1)
        self.clock.ahead_s = 200
        self.start()
        self.clock.ahead_s = 400
        self.run_agent("once")
        self.assertNotIn("confirmed", self.states())
        self.clock.ahead_s = 501
        self.run_agent("once")

        self.assertIn("confirmed", self.states())

    def test_time_of_another_boot_does_not_count(self):
        self.installed(1)
        self.clock.ahead_s = STAY_AWAY_S
        trial = self.journal("trial")
        jetson_agent.Journal(self.path("state")).save("trial", dict(trial, boot="another"))
        self.run_agent("once")

        self.assertNotIn("confirmed", self.states())

    def test_after_three_starts_that_did_not_last_the_last_good_model_is_back_and_stays(self):
        good = self.installed(1)
        bad = self.installed(2)
        self.start(3)
        self.assert_in_use(bad)
        self.start()
        self.assert_in_use(good)

        self.assertEqual(self.run_agent("once"), 65)
        self.assertIn("quarantine", self.log)
        self.assert_in_use(good)
        told = [
            (report["state"], report["version"], report["reason"]) for report in self.simulator.reports[-3:]
        ]
        self.assertEqual(told, [("rolled_back", 2, None), ("active", 1, None), ("failed", 2, "quarantined")])

    def test_boots_are_starts(self):
        good = self.installed(1)
        self.installed(2)
        self.simulator.registry.stop()
        for _ in range(4):
            self.assertEqual(self.run_agent("boot"), 0, self.log)

        self.assert_in_use(good)

    def test_a_confirmed_release_may_start_as_often_as_it_likes(self):
        self.installed(1)
        files = self.installed(2)
        self.clock.ahead_s = STAY_AWAY_S
        self.run_agent("once")
        self.start(9)

        self.assert_in_use(files)

    def test_the_only_release_stays_however_often_it_starts(self):
        files = self.installed(1)
        self.start(9)

        self.assert_in_use(files)

    def test_a_better_version_comes_after_a_bad_one(self):
        self.installed(1)
        self.installed(2)
        self.start(4)
        files = self.installed(3)

        self.assert_in_use(files)
        self.start(4)
        self.assertEqual(self.releases()[0].split("-")[0], "1")

    def test_rollback_by_hand_goes_back_and_stays(self):
        good = self.installed(1)
        self.installed(2)
        self.assertEqual(self.run_agent("rollback"), 0, self.log)
        self.assert_in_use(good)

        self.assertEqual(self.run_agent("once"), 65)
        self.assert_in_use(good)

    def test_rollback_with_nothing_to_go_back_to_is_told(self):
        files = self.installed(1)

        self.assertEqual(self.run_agent("rollback"), 66)
        self.assert_in_use(files)


class SignedAnew(SignedCase):
    def test_what_was_rolled_back_comes_again_when_it_is_signed_anew(self):
        good = self.installed_signed(1)
        bad = self.installed_signed(2)
        self.assertEqual(self.run_agent("rollback"), 0)
        self.assertEqual(self.run_agent("once"), 65)
        self.assert_in_use(good)
        self.offer_signed(2)

        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(bad)


class Activation(SignedCase):
    def test_a_release_for_the_next_boot_waits_for_it_and_needs_no_network_then(self):
        old = self.installed_signed(1)
        new = self.offer_signed(2, activation="on_boot")
        self.assertEqual(self.run_agent("once"), 75, self.log)
        self.assert_in_use(old)
        self.simulator.registry.stop()

        self.assertEqual(self.run_agent("boot"), 0, self.log)
        self.assert_in_use(new)

    def test_a_release_that_waits_for_a_word_gets_it(self):
        old = self.installed_signed(1)
        new = self.offer_signed(2, activation="manual")
        self.assertEqual(self.run_agent("once"), 75)
        self.assertEqual(self.run_agent("boot"), 0)
        self.assert_in_use(old)

        self.assertEqual(self.run_agent("activate"), 0, self.log)
        self.assert_in_use(new)

    def test_during_a_mission_the_model_stays_and_the_next_one_is_ready(self):
        old = self.installed_signed(1)
        new = self.offer_signed(2)
        self.write("mission", "")
        self.assertEqual(self.run_agent("once"), 75)
        self.assertIn("mission", self.log)
        self.assert_in_use(old)
        asked = len(self.simulator.store.requests)
        os.unlink(os.path.join(self.folder, "mission"))

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(new)
        self.assertEqual(len(self.simulator.store.requests), asked)
        self.assertNotIn("failed", [report["state"] for report in self.simulator.reports])
