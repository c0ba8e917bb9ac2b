import os

from agent_case import AgentCase, build_zip, jetson_agent, model_files, sha256_of
from simulator import TOKEN, Body


class Update(AgentCase):
    def test_the_wanted_model_is_in_use_after_one_call(self):
        files = self.offer(1)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assert_no_litter()

    def test_the_current_link_is_relative_and_names_version_and_hash(self):
        self.installed(1)

        sha256 = self.simulator.desired["zip"]["sha256"]
        self.assertEqual(os.readlink(self.path("current")), "releases/1-" + sha256[:12])

    def test_a_new_version_takes_over_and_the_old_one_is_previous(self):
        self.installed(1)
        old = os.readlink(self.path("current"))
        files = self.offer(2)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assertEqual(os.readlink(self.path("previous")), old)

    def test_going_back_to_an_older_version_downloads_nothing(self):
        first = self.installed(1)
        first_wish = self.simulator.desired
        self.installed(2)
        self.simulator.desired = first_wish

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(first)
        self.assertEqual(self.simulator.store.requests, [])

    def test_only_the_last_three_releases_stay(self):
        for version in range(1, 7):
            self.installed(version)

        self.assertEqual([name.split("-")[0] for name in self.releases()], ["4", "5", "6"])

    def test_current_and_previous_stay_even_if_fewer_are_kept(self):
        self.settings["keep_releases"] = 0
        for version in range(1, 5):
            self.installed(version)

        self.assertEqual([name.split("-")[0] for name in self.releases()], ["3", "4"])

    def test_an_unchanged_wish_costs_one_short_question(self):
        self.installed(1)

        self.assertEqual(self.run_agent("once"), 0)
        self.assertEqual(len(self.simulator.registry.requests), 1)
        self.assertIn("If-None-Match", self.simulator.registry.requests[0][2])
        self.assertEqual(self.simulator.store.requests, [])

    def test_a_wish_that_could_not_be_met_is_tried_again_though_unchanged(self):
        self.simulator.store.faults = [Body(500)] * 5
        files = self.offer(1)
        self.assertEqual(self.run_agent("once"), 69)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)

    def test_an_answer_kept_for_another_registry_is_not_believed(self):
        self.installed(1)
        self.settings["registry_url"] += "/"

        self.assertEqual(self.run_agent("once"), 0)
        self.assertNotIn("If-None-Match", self.simulator.registry.requests[0][2])

    def test_the_token_goes_to_the_registry_and_never_to_the_store(self):
        self.installed(1)
        self.offer(2)
        self.run_agent("once")

        sent = [headers.get("Authorization") for _, _, headers in self.simulator.registry.requests]
        self.assertEqual(set(sent), {"Bearer " + TOKEN})
        self.assertEqual(len(self.simulator.store.requests), 1)
        self.assertNotIn("Authorization", self.simulator.store.requests[0][2])

    def test_the_token_does_not_follow_a_zip_address_on_another_host(self):
        self.offer(1, url=self.simulator.store.url + "/bucket/" + "0" * 64)
        self.simulator.blobs["0" * 64] = self.simulator.versions[1]

        self.assertEqual(self.run_agent("once"), 0)
        self.assertNotIn("Authorization", self.simulator.store.requests[0][2])

    def test_through_the_proxy_the_store_is_never_asked(self):
        self.settings["proxy"] = True
        files = self.offer(1)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assertEqual(self.simulator.store.requests, [])

    def test_without_a_list_of_members_the_sums_in_the_zip_decide(self):
        files = model_files(1)
        self.simulator.offer(1, build_zip(files), members=False)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)

    def test_a_damaged_release_in_use_is_fetched_anew_beside_it(self):
        files = self.installed(1)
        os.unlink(self.path("current", "labels.txt"))

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)
        self.assertTrue(os.readlink(self.path("current")).endswith("-2"))

    def test_what_the_consumer_writes_beside_the_model_stays(self):
        self.installed(1)
        engine = self.path("current", "snapshot_iter_540.caffemodel.1.1.8201.GPU.FP16.engine")
        with open(engine, "w") as file:
            file.write("built on the device")

        self.assertEqual(self.run_agent("once"), 0)
        self.assertTrue(os.path.exists(engine))

    def test_a_second_agent_stays_away(self):
        self.installed(1)
        shelf = jetson_agent.Shelf(self.root)
        with shelf.locked():
            self.assertEqual(self.run_agent("once"), 75)

        self.assertEqual(self.run_agent("once"), 0)

    def test_the_record_names_the_zip_it_came_from(self):
        self.installed(1)

        record = jetson_agent.Shelf(self.root).record(self.releases()[0])
        self.assertEqual(record["zip_sha256"], sha256_of(self.simulator.versions[1]))
        self.assertEqual(record["version"], 1)
