import os
import zipfile

from agent_case import AgentCase, build_zip, jetson_agent, members_of, model_files, sums_of
from simulator import Body

LINK = 0o120777
DEVICE = 0o020666
PLAIN = 0o100644


class BadZips(AgentCase):
    """A zip with the right hash and wrong contents is refused whole, once, and for good."""

    def setUp(self):
        super().setUp()
        self.old = self.installed(1)

    def assert_refused(self, body, members=False):
        self.simulator.offer(2, body, members)
        self.assertEqual(self.run_agent("once"), 65, self.log)
        self.assert_in_use(self.old)
        self.assert_no_litter()
        self.assertEqual(len(self.releases()), 1)
        self.assertEqual(len(self.journal("quarantine")), 1)
        asked = len(self.simulator.store.requests)
        self.assertEqual(self.run_agent("once"), 65)
        self.assertEqual(len(self.simulator.store.requests), asked)

    def test_a_member_that_climbs_out(self):
        self.assert_refused(build_zip({**model_files(2), "../outside": b"x"}))
        self.assertFalse(os.path.exists(self.path("outside")))
        self.assertFalse(os.path.exists(self.path("releases", "outside")))

    def test_a_member_that_climbs_out_from_a_folder(self):
        self.assert_refused(build_zip({**model_files(2), "golden/../../outside": b"x"}))

    def test_a_member_with_an_absolute_name(self):
        target = os.path.join(self.folder, "absolute")
        self.assert_refused(build_zip({**model_files(2), target: b"x"}))
        self.assertFalse(os.path.exists(target))

    def test_a_member_with_a_backslash(self):
        self.assert_refused(build_zip({**model_files(2), "..\\outside": b"x"}))

    def test_a_member_with_a_drive(self):
        self.assert_refused(build_zip({**model_files(2), "c:outside": b"x"}))

    def test_a_hidden_member_that_could_be_taken_for_the_record(self):
        self.assert_refused(build_zip({**model_files(2), jetson_agent.RECORD_NAME: b"{}"}))

    def test_a_member_that_is_a_link(self):
        files = model_files(2)
        target = b"/etc/passwd"
        sums = sums_of({**files, "extra": target})
        self.assert_refused(build_zip(files, sums, extra=[("extra", target, LINK)]))

    def test_a_member_that_is_a_device(self):
        files = model_files(2)
        self.assert_refused(
            build_zip(files, sums_of({**files, "extra": b""}), extra=[("extra", b"", DEVICE)])
        )

    def test_two_members_of_one_name(self):
        files = model_files(2)
        with self.assertWarns(UserWarning):
            body = build_zip(files, extra=[("labels.txt", files["labels.txt"], PLAIN)])
        self.assert_refused(body)

    def test_a_member_below_another(self):
        files = {**model_files(2), "a": b"x", "a/b": b"y"}
        self.assert_refused(build_zip(files))

    def test_a_member_that_unpacks_to_more_than_the_ceiling(self):
        self.settings["max_unpacked_bytes"] = 1 << 20
        files = {**model_files(2), "zeros": bytes(2 << 20)}
        self.assert_refused(build_zip(files, packing=zipfile.ZIP_DEFLATED))

    def test_too_many_members(self):
        files = {**model_files(2), **{"many/%d" % number: b"" for number in range(1001)}}
        self.assert_refused(build_zip(files))

    def test_a_packing_that_no_old_python_reads(self):
        self.assert_refused(build_zip(model_files(2), packing=zipfile.ZIP_BZIP2))

    def test_no_labels(self):
        files = model_files(2)
        del files["labels.txt"]
        self.assert_refused(build_zip(files))

    def test_a_name_that_no_disk_takes(self):
        self.assert_refused(build_zip({**model_files(2), "x" * 300: b""}))

    def test_a_zip_that_is_none(self):
        self.assert_refused(b"this is no zip" * 100)

    def test_a_zip_cut_in_the_middle(self):
        body = build_zip(model_files(2))
        self.assert_refused(body[: len(body) // 2])

    def test_a_zip_whose_index_points_before_its_start(self):
        body = build_zip(model_files(2))
        self.assert_refused(body[100:])

    def test_a_zip_with_a_damaged_member(self):
        body = bytearray(build_zip(model_files(2), packing=zipfile.ZIP_DEFLATED))
        body[len(body) // 2] ^= 255
        self.assert_refused(bytes(body))

    def test_another_member_than_the_registry_promised(self):
        body = build_zip(model_files(2))
        promised = members_of(build_zip(model_files(3)))
        self.assert_refused(body, promised)

    def test_one_member_fewer_than_the_registry_promised(self):
        body = build_zip(model_files(2))
        promised = members_of(body) + [{"name": "more", "sha256": "0" * 64, "size_bytes": 0}]
        self.assert_refused(body, promised)

    def test_one_member_more_than_the_registry_promised(self):
        body = build_zip(model_files(2))
        self.assert_refused(body, members_of(body)[:-1])

    def test_without_sums_a_member_more_is_refused_too(self):
        body = build_zip(model_files(2), sums=False)
        self.assert_refused(body, members_of(body)[:-1])

    def test_another_content_than_the_registry_promised(self):
        files = model_files(2)
        promised = members_of(build_zip(files))
        self.assert_refused(build_zip({**files, "labels.txt": b"gate\nbuoy\n"}), promised)

    def test_another_size_than_the_registry_promised(self):
        body = build_zip(model_files(2))
        promised = members_of(body)
        promised[0]["size_bytes"] += 1
        self.assert_refused(body, promised)

    def test_a_better_zip_is_taken_after_a_bad_one(self):
        self.assert_refused(b"this is no zip" * 100)
        files = self.offer(3)

        self.assertEqual(self.run_agent("once"), 0)
        self.assert_in_use(files)

    def test_without_sums_the_registrys_list_of_members_is_enough(self):
        files = model_files(2)
        body = build_zip(files, sums=False)
        self.simulator.offer(2, body, members_of(body))

        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(files)

    def test_folder_entries_as_zip_programs_write_them_are_fine(self):
        files = model_files(2)
        self.simulator.offer(2, build_zip(files, extra=[("golden/", b"", 0o040755)]), members=False)

        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(files)

    def test_the_quarantine_is_bounded(self):
        journal = jetson_agent.Journal(self.path("state"))
        for number in range(jetson_agent.MAX_QUARANTINED + 5):
            journal.strike("%064d" % number, 0, "bad", jetson_agent.STRIKES)

        self.assertEqual(len(journal.load("quarantine")), jetson_agent.MAX_QUARANTINED)
        journal.require_no_quarantine("%064d" % 0, 0)
        with self.assertRaisesRegex(jetson_agent.AgentError, "bad"):
            journal.require_no_quarantine("%064d" % 54, 0)

    def test_a_refused_zip_is_reported_once(self):
        self.assert_refused(b"this is no zip" * 100)
        self.simulator.registry.faults = [Body(304)]
        self.run_agent("once")

        failed = [report for report in self.simulator.reports if report["state"] == "failed"]
        self.assertEqual([report["version"] for report in failed[:1]], [2])
        self.assertLessEqual(len(failed), 2)
