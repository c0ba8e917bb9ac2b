import base64
import json
import os
import unittest.mock

from agent_case import jetson_agent
from keys import make_root, sign_release
from signed_case import SignedCase


class Signed(SignedCase):
    """With a pinned root, only what its keys signed for this robot, and nothing older, is put in use."""

    def test_a_signed_release_is_taken_and_a_newer_one_after_it(self):
        self.installed_signed(1)
        new = self.installed_signed(2)

        self.assert_in_use(new)

    def test_going_back_is_a_release_with_a_higher_counter(self):
        self.installed_signed(2)
        older = self.installed_signed(1)

        self.assert_in_use(older)

    def test_an_unchanged_answer_stays_good(self):
        files = self.installed_signed(1)

        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(files)

    def test_a_release_for_everybody_or_for_its_group_is_taken(self):
        self.installed_signed(1, device=None, group="*")
        self.settings["group"] = "pool"
        files = self.installed_signed(2, device=None, group="pool")

        self.assert_in_use(files)

    def test_an_unsigned_release_is_refused(self):
        old = self.installed_signed(1)
        self.offer(2)

        self.assert_refused(old, "signature")

    def test_a_key_that_the_root_does_not_name_is_refused(self):
        old = self.installed_signed(1)
        self.offer_signed(2, key=self.other_key)

        self.assert_refused(old, "signature")

    def test_another_key_under_a_good_keys_name_is_refused(self):
        old = self.installed_signed(1)
        self.offer_signed(2, key=self.other_key)
        self.simulator.desired["release"]["key_id"] = self.release_key.public["key_id"]

        self.assert_refused(old, "signature")

    def test_the_root_key_signs_no_releases(self):
        old = self.installed_signed(1)
        self.offer_signed(2, key=self.root_key)

        self.assert_refused(old, "signature")

    def test_any_changed_character_of_text_or_signature_is_refused(self):
        self.offer_signed(1)
        signed = self.simulator.desired["release"]
        keys = [self.release_key.public]

        def verdict(document, signature):
            entry = {"key_id": signed["key_id"], "signature": base64.b64encode(signature).decode()}
            try:
                jetson_agent.read_signed("release", document, [entry], keys, 1)
            except (jetson_agent.Untrusted,) + jetson_agent.MALFORMED:
                return "refused"
            return "taken"

        document, signature = signed["document"], base64.b64decode(signed["signature"])
        self.assertEqual(verdict(document, signature), "taken")
        for at in range(0, len(document), 29):
            changed = document[:at] + chr(ord(document[at]) ^ 1) + document[at + 1 :]
            self.assertEqual(verdict(changed, signature), "refused", "text at %d" % at)
        for at in range(0, len(signature), 3):
            changed = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
            self.assertEqual(verdict(document, changed), "refused", "signature at %d" % at)
        for at in (0, 1, len(signature) - 1):
            self.assertEqual(verdict(document, signature[:at]), "refused", "signature cut at %d" % at)

    def test_another_devices_or_groups_release_is_refused(self):
        old = self.installed_signed(1)
        for changes in (
            {"device": "sub-2"},
            {"device": None, "group": "lake"},
            {"device": None, "group": None},
        ):
            self.offer_signed(2, **changes)
            self.assert_refused(old, "wrong_device")

    def test_an_old_release_played_again_is_refused(self):
        self.installed_signed(1)
        replay = dict(self.simulator.desired)
        new = self.installed_signed(2)
        self.simulator.desired = replay

        self.assert_refused(new, "counter")

    def test_a_counter_that_names_two_releases_is_refused(self):
        old = self.installed_signed(1)
        self.offer_signed(2, counter=self.counter)

        self.assert_refused(old, "counter")

    def test_a_lost_memory_of_the_counter_opens_no_way_back(self):
        self.installed_signed(1)
        replay = dict(self.simulator.desired)
        new = self.installed_signed(2)
        os.unlink(self.path("state", "trust.json"))
        self.simulator.desired = replay

        self.assert_refused(new, "counter")

    def test_a_zip_that_was_not_signed_is_refused(self):
        old = self.installed_signed(1)
        self.offer_signed(3)
        signed = self.simulator.desired["release"]
        self.offer_signed(2)
        self.simulator.desired["release"] = signed

        self.assert_refused(old, "signature")

    def test_members_come_from_the_signed_text(self):
        old = self.installed_signed(1)
        self.offer_signed(2)
        desired = self.simulator.desired
        members = [dict(member) for member in desired["members"]]
        members[0]["sha256"] = "0" * 64
        desired["release"] = sign_release(self.release_key, desired, self.counter + 1, members=members)

        self.assertEqual(self.run_agent("once"), 65)
        self.assert_in_use(old)
        self.assertEqual(self.simulator.reports[-1]["reason"], "bad_zip")

    def test_a_document_of_another_format_or_shape_is_refused(self):
        old = self.installed_signed(1)
        for changes in (
            {"format": "periscope-release/2"},
            {"zip": []},
            {"members": None},
            {"activation": "soon"},
        ):
            self.offer_signed(2, **changes)
            self.simulator.reports.clear()
            self.assertEqual(self.run_agent("once"), 65, "%s %s" % (changes, self.log))
            self.assert_in_use(old)

    def test_the_counter_is_on_the_disk_before_the_release_is_in_use(self):
        self.installed_signed(1)
        self.offer_signed(2)
        with unittest.mock.patch.object(jetson_agent.Shelf, "activate", side_effect=OSError("power")):
            self.assertEqual(self.run_agent("once"), 74)

        with open(self.path("state", "trust.json")) as file:
            self.assertEqual(json.load(file)["counter"], self.counter)

    def test_a_robot_without_openssl_keeps_its_model(self):
        old = self.installed_signed(1)
        self.offer_signed(2)
        with unittest.mock.patch.dict(os.environ, {"PATH": "/nonexistent"}):
            self.assertEqual(self.run_agent("once"), 74)

        self.assertIn("openssl", self.log)
        self.assert_in_use(old)

    def test_a_clock_in_1970_changes_nothing(self):
        with unittest.mock.patch.object(jetson_agent.time, "time", return_value=0.0):
            files = self.installed_signed(1)

        self.assert_in_use(files)

    def test_a_pinned_root_that_cannot_be_read_is_told(self):
        self.offer_signed(1)
        self.write("root-1.json", "{}")

        self.assertEqual(self.run_agent("once"), 78)
        self.assertIn("root-1.json", self.log)


class Stick(SignedCase):
    """A zip on a stick goes through the same checks."""

    def test_a_signed_zip_is_installed_without_a_network(self):
        path, files = self.usb(5)
        self.simulator.registry.stop()

        self.assertEqual(self.run_agent("install", path), 0, self.log)
        self.assert_in_use(files)

    def test_the_stick_may_bring_newer_roots(self):
        self.installed_signed(1)
        second = make_root(2, [self.root_key], [self.other_key])
        path, files = self.usb(5, roots=[self.first_root, second], key=self.other_key)

        self.assertEqual(self.run_agent("install", path), 0, self.log)
        self.assert_in_use(files)

    def test_a_zip_without_its_release_is_refused(self):
        old = self.installed_signed(1)
        path, _ = self.usb(5)
        os.unlink(path + ".release.json")

        self.assertEqual(self.run_agent("install", path), 65)
        self.assert_in_use(old)

    def test_another_zip_than_the_signed_one_is_refused(self):
        old = self.installed_signed(1)
        path, _ = self.usb(5)
        with open(path, "ab") as file:
            file.write(b"x")

        self.assertEqual(self.run_agent("install", path), 65)
        self.assert_in_use(old)

    def test_an_older_stick_is_refused(self):
        path, _ = self.usb(5)
        new = self.installed_signed(6)

        self.assertEqual(self.run_agent("install", path), 65)
        self.assertIn("counter", self.log)
        self.assert_in_use(new)
