import os

from agent_case import AgentCase, jetson_agent
from simulator import Body, Cut, Endless, Flip, Hang, Trickle, WholeBody, WrongRange


class DownloadFaults(AgentCase):
    """Whatever the network does, the old model stays in use until the new one is whole."""

    def setUp(self):
        super().setUp()
        self.old = self.installed(1)
        self.new = self.offer(2)
        self.size = self.simulator.desired["zip"]["size_bytes"]
        self.store = self.simulator.store
        self.registry = self.simulator.registry

    def assert_old_stays(self, code, *command):
        self.assertEqual(self.run_agent(*(command or ("once",))), code, self.log)
        self.assert_in_use(self.old)

    def assert_new_arrives(self):
        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(self.new)
        self.assert_no_litter()

    def part(self):
        return self.path("downloads", self.simulator.desired["zip"]["sha256"] + ".part")

    def asked_ranges(self):
        return [headers.get("Range") for _, _, headers in self.store.requests]

    def test_a_cut_connection_goes_on_where_it_broke(self):
        self.store.faults = [Cut(1000), Cut(50000)]

        self.assert_new_arrives()
        self.assertEqual(self.asked_ranges(), [None, "bytes=1000-", "bytes=51000-"])

    def test_a_download_goes_on_at_the_next_call(self):
        self.store.faults = [Cut(1000)] + [Body(500)] * 4
        self.assert_old_stays(69)
        self.assertEqual(os.path.getsize(self.part()), 1000)

        self.assert_new_arrives()
        self.assertEqual(self.asked_ranges()[-1], "bytes=1000-")

    def test_a_connection_that_ends_short_each_time_leaves_the_old_model(self):
        self.store.faults = [Cut(10)] * 5

        self.assert_old_stays(69)

    def test_a_server_that_ignores_range_is_read_from_the_start(self):
        self.store.faults = [Cut(1000), WholeBody()]

        self.assert_new_arrives()

    def test_a_range_of_another_place_starts_over(self):
        self.store.faults = [Cut(1000), WrongRange(shift=5)]

        self.assert_new_arrives()
        self.assertEqual(self.asked_ranges(), [None, "bytes=1000-", None])

    def test_a_range_of_a_file_of_another_size_starts_over(self):
        self.store.faults = [Cut(1000), WrongRange(extra=7)]

        self.assert_new_arrives()

    def test_an_unsatisfiable_range_starts_over(self):
        self.store.faults = [Cut(1000), Body(416)]

        self.assert_new_arrives()

    def test_a_part_that_is_too_long_starts_over(self):
        with open(self.part(), "wb") as part:
            part.write(b"x" * (self.size + 1))

        self.assert_new_arrives()

    def test_a_part_with_wrong_bytes_costs_one_more_download(self):
        with open(self.part(), "wb") as part:
            part.write(b"x" * 1000)

        self.assert_new_arrives()

    def test_a_longer_body_is_not_even_read(self):
        self.store.faults = [Body(200, b"x" * (self.size + 10))] * 5

        self.assert_old_stays(69)
        self.assertFalse(os.path.exists(self.part()))

    def test_a_shorter_body_is_not_even_read(self):
        self.store.faults = [Body(200, b"x" * (self.size - 10))] * 5

        self.assert_old_stays(69)
        self.assertFalse(os.path.exists(self.part()))

    def test_a_page_without_length_is_not_taken_for_the_zip(self):
        self.store.faults = [Endless()] * 5

        self.assert_old_stays(69)
        self.assertFalse(os.path.exists(self.part()))

    def test_a_flipped_bit_is_noticed_and_the_zip_fetched_again(self):
        self.store.faults = [Flip(self.size // 2)]

        self.assert_new_arrives()

    def test_three_damaged_downloads_end_in_quarantine_and_not_in_a_loop(self):
        self.store.faults = [Flip(1000)] * 10
        self.assert_old_stays(65)
        asked = len(self.store.requests)

        self.assert_old_stays(65)
        self.assertEqual(asked, 3)
        self.assertEqual(len(self.store.requests), asked)
        self.assert_no_litter()

    def test_a_day_later_a_quarantined_zip_gets_another_chance(self):
        self.store.faults = [Flip(1000)] * 3
        self.assert_old_stays(65)
        self.age_quarantine(jetson_agent.QUARANTINE_S + 1)

        self.assert_new_arrives()
        self.assertEqual(self.journal("quarantine"), {})

    def age_quarantine(self, seconds):
        journal = jetson_agent.Journal(self.path("state"))
        entries = journal.load("quarantine")
        for entry in entries.values():
            entry["at_s"] -= seconds
        journal.save("quarantine", entries)

    def test_a_hash_that_is_not_the_zips_is_a_damaged_download(self):
        self.offer(2, sha256="0" * 64)

        self.assert_old_stays(65)

    def test_an_expired_address_is_replaced_by_a_fresh_one(self):
        self.store.faults = [Body(403), Body(403)]

        self.assert_new_arrives()

    def test_a_store_that_refuses_every_address_leaves_the_old_model(self):
        self.store.faults = [Body(403)] * 100

        self.assert_old_stays(69)

    def test_a_redirect_by_the_store_is_not_followed(self):
        self.store.faults = [Body(307, headers={"Location": self.registry.url + "/v1/elsewhere"})] * 5

        self.assert_old_stays(69)
        self.assertNotIn("/v1/elsewhere", [path for _, path, _ in self.registry.requests])

    def test_a_redirect_to_a_file_of_the_robot_is_not_followed(self):
        self.registry.faults = [None, Body(307, headers={"Location": "file:///etc/passwd"})]

        self.assert_new_arrives()
        self.assertIn("not HTTP", self.log)

    def test_a_store_that_says_nothing_is_given_up(self):
        self.settings["timeout_s"] = 0.2
        self.store.faults = [Hang(1)] * 5

        self.assert_old_stays(69)

    def test_a_slow_download_is_no_failure(self):
        self.store.faults = [Trickle(60000, 0.02)]

        self.assert_new_arrives()

    def test_errors_of_the_store_and_the_registry_are_outlived(self):
        self.store.faults = [Body(500), Body(503)]
        self.registry.faults = [Body(502)]

        self.assert_new_arrives()

    def test_a_registry_that_fails_leaves_the_old_model(self):
        for status in (500, 502, 503, 429, 408, 302):
            self.registry.faults = [Body(status)] * 5
            self.assert_old_stays(69)

    def test_a_token_that_is_refused_is_not_tried_again(self):
        for status in (401, 403, 404, 410, 422):
            self.registry.faults = [Body(status, b'{"detail":"because"}')]
            self.assert_old_stays(77)
            self.assertIn("because", self.log)

    def test_the_pause_a_server_asks_for_is_kept_but_bounded(self):
        answer = self.answer_with({"Retry-After": "7"})
        endless = self.answer_with({"Retry-After": "999999"})

        self.assertEqual(jetson_agent.failure_of("the registry", answer, b"").retry_after_s, 7.0)
        self.assertEqual(jetson_agent.failure_of("the registry", endless, b"").retry_after_s, 3600.0)

    def answer_with(self, headers):
        class Answer:
            code = 503

        Answer.headers = headers
        return Answer

    def test_a_log_in_page_is_no_registry(self):
        self.registry.faults = [Body(200, b"<html>welcome to the hotel</html>")] * 5

        self.assert_old_stays(69)

    def test_an_answer_that_is_cut_off_is_no_answer(self):
        self.registry.faults = [Cut(40)] * 5

        self.assert_old_stays(69)

    def test_an_endless_answer_is_given_up(self):
        self.registry.faults = [Body(200, b" " * (jetson_agent.MAX_ANSWER_BYTES + 1))] * 5

        self.assert_old_stays(69)

    def test_nonsense_of_the_right_form_is_no_answer(self):
        good = self.simulator.desired
        for wrong in (
            {"version": 0},
            {"version": "x"},
            {"zip": None},
            {"zip": {**good["zip"], "sha256": "../../etc"}},
            {"zip": {**good["zip"], "size_bytes": -1}},
            {"members": 7},
            {"members": [{"name": "a"}]},
            {"poll_interval_s": "soon"},
        ):
            self.simulator.desired = {**good, **wrong}
            self.assert_old_stays(69)

    def test_no_network_leaves_the_old_model(self):
        self.settings["registry_url"] = "http://127.0.0.1:1"

        self.assert_old_stays(69)

    def test_no_name_server_leaves_the_old_model(self):
        self.settings["registry_url"] = "http://registry.invalid"

        self.assert_old_stays(69)

    def test_a_zip_over_the_ceiling_is_not_downloaded(self):
        self.settings["max_zip_bytes"] = self.size - 1

        self.assert_old_stays(65)
        self.assertEqual(self.store.requests, [])

    def test_members_over_the_ceiling_are_not_downloaded(self):
        self.settings["max_unpacked_bytes"] = 1000

        self.assert_old_stays(65)
        self.assertEqual(self.store.requests, [])

    def test_a_zip_for_which_there_is_no_room_is_not_downloaded(self):
        self.settings["spare_bytes"] = 1 << 60

        self.assert_old_stays(74)
        self.assertEqual(self.store.requests, [])

    def test_the_part_of_a_zip_no_longer_wanted_goes(self):
        self.store.faults = [Cut(1000)] + [Body(500)] * 4
        self.assert_old_stays(69)
        self.new = self.offer(3)

        self.assert_new_arrives()
