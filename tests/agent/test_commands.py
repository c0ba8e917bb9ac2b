import io
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout

from agent_case import AGENT_PATH, AgentCase, jetson_agent
from simulator import Body


class Configuration(AgentCase):
    def refused(self, **changes):
        self.settings.update(changes)
        self.assertEqual(self.run_agent("status"), 78)
        return self.log

    def test_a_key_that_is_misspelt_is_named(self):
        self.assertIn("poll_intervall_s", self.refused(poll_intervall_s=60))

    def test_a_key_that_is_missing_is_named(self):
        del self.settings["device"]

        self.assertIn("device", self.refused())

    def test_a_value_of_the_wrong_type_is_named(self):
        for name, value in (
            ("timeout_s", "15"),
            ("proxy", 1),
            ("keep_releases", 2.5),
            ("root", 7),
            ("device", None),
        ):
            before = dict(self.settings)
            self.assertIn(name, self.refused(**{name: value}))
            self.settings = before

    def test_a_negative_limit_is_refused(self):
        self.refused(spare_bytes=-1)

    def test_a_configuration_that_is_no_object_is_refused(self):
        for text in ("[1, 2]", "{", '"x"', "7"):
            path = self.write("other.json", text)
            with self.subTest(text):
                self.assertEqual(self.run_with(path, "status"), 78)

    def test_no_configuration_is_refused(self):
        self.assertEqual(self.run_with("/nonexistent/config.json", "once"), 78)

    def test_a_token_file_without_a_token_is_refused(self):
        for content in ("", "two words", "line\nline"):
            self.write("token", content)
            self.refused()

    def test_the_example_beside_the_agent_is_valid(self):
        path = os.path.join(os.path.dirname(AGENT_PATH), "config.example.json")
        with open(path) as file:
            config = jetson_agent.parse_config(file.read())

        self.assertTrue(config.registry_url.startswith("https://"))


class Commands(AgentCase):
    def test_a_wrong_command_line_exits_with_64(self):
        for arguments in ([], ["fly"], ["install"], ["once", "--fast"]):
            with self.subTest(arguments):
                code = subprocess.call(
                    [sys.executable, "-B", AGENT_PATH] + arguments, stderr=subprocess.DEVNULL
                )
                self.assertEqual(code, 64)

    def test_help_exits_with_0(self):
        help_text = subprocess.check_output([sys.executable, "-B", AGENT_PATH, "--help"]).decode()

        self.assertIn("boot", help_text)

    def test_status_tells_what_is_in_use(self):
        self.installed(3)
        output = io.StringIO()
        with redirect_stdout(output):
            self.assertEqual(self.run_agent("status"), 0)

        told = json.loads(output.getvalue())
        self.assertEqual((told["model"], told["version"], told["current_intact"]), ("buoys", 3, True))
        self.assertEqual(told["releases"], [told["current"]])
        self.assertEqual(told["quarantine"], {})

    def test_status_of_an_empty_robot_tells_that_there_is_nothing(self):
        output = io.StringIO()
        with redirect_stdout(output):
            self.assertEqual(self.run_agent("status"), 0)

        told = json.loads(output.getvalue())
        self.assertEqual((told["current"], told["current_intact"]), (None, False))

    def test_run_follows_the_registry_until_it_is_ended(self):
        self.offer(1)
        self.simulator.desired["poll_interval_s"] = 1
        process = subprocess.Popen(
            [sys.executable, "-B", AGENT_PATH, "--config", self.configure(), "run"], stderr=subprocess.DEVNULL
        )
        try:
            self.wait_for_version("1")
            self.offer(2)
            self.wait_for_version("2")
        finally:
            process.terminate()
            process.wait()

    def wait_for_version(self, version):
        for _ in range(300):
            name = jetson_agent.Shelf(self.root).linked("current") or ""
            if name.startswith(version + "-"):
                return
            time.sleep(0.05)
        self.fail("version %s never came" % version)


class Reports(AgentCase):
    def states(self):
        return [report["state"] for report in self.simulator.reports]

    def test_a_new_model_is_reported_once(self):
        self.installed(1)
        self.run_agent("once")

        self.assertEqual(self.states(), ["downloading", "unpacking", "active"])
        report = self.simulator.reports[-1]
        self.assertEqual((report["model"], report["version"], report["sequence"]), ("buoys", 1, 3))
        self.assertEqual(report["zip_sha256"], self.simulator.desired["zip"]["sha256"])

    def test_reports_wait_for_the_network(self):
        self.simulator.registry.faults = [None, None, Body(503)]
        self.installed(1)
        self.assertEqual(self.simulator.reports, [])

        self.run_agent("once")
        self.assertEqual(self.states(), ["downloading", "unpacking", "active"])

    def test_reports_that_the_registry_does_not_take_are_not_sent_for_ever(self):
        self.simulator.registry.faults = [None, None, Body(422)]
        self.installed(1)
        self.run_agent("once")

        self.assertEqual(self.simulator.reports, [])
        self.assertEqual(self.journal("reports")["pending"], [])

    def test_the_spool_is_bounded_and_drops_the_oldest(self):
        os.makedirs(self.path("state"))
        journal = jetson_agent.Journal(self.path("state"))
        for number in range(jetson_agent.MAX_PENDING_REPORTS + 7):
            journal.report("failed", {"version": number}, "x" * 10000)

        pending = journal.pending()
        self.assertEqual(len(pending), jetson_agent.MAX_PENDING_REPORTS)
        self.assertEqual(pending[0]["version"], 7)
        self.assertLessEqual(len(pending[0]["detail"]), jetson_agent.MAX_DETAIL_CHARS)

    def test_many_reports_go_in_batches(self):
        os.makedirs(self.path("state"))
        journal = jetson_agent.Journal(self.path("state"))
        for number in range(120):
            journal.report("failed", {"version": number})
        self.installed(1)

        self.assertEqual([report["sequence"] for report in self.simulator.reports], list(range(1, 124)))
        self.assertEqual(len({report["id"] for report in self.simulator.reports}), 123)

    def test_a_damaged_journal_costs_a_question_and_nothing_else(self):
        files = self.installed(1)
        with open(self.path("state", "journal.json"), "w") as file:
            file.write('{"answer": {"etag')

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
