import json

from keys import make_root
from signed_case import SignedCase


class Roots(SignedCase):
    """A newer root is taken when the one in force and its own keys say so, one by one."""

    def setUp(self):
        super().setUp()
        self.old = self.installed_signed(1)

    def publish(self, version, root):
        self.simulator.roots[version] = root

    def rotated(self, **options):
        """Root 2, which revokes the release key for another."""
        return make_root(2, [self.root_key], [self.other_key], **options)

    def test_a_rotated_release_key_counts_and_the_revoked_one_does_not(self):
        self.publish(2, self.rotated())
        new = self.installed_signed(2, key=self.other_key, root_version=2)
        self.assert_in_use(new)
        self.offer_signed(3, key=self.release_key, root_version=2)

        self.assert_refused(new, "signature")

    def test_several_roots_are_taken_one_by_one(self):
        third = make_root(3, [self.other_key], [self.release_key], [self.other_key, self.root_key])
        self.publish(2, self.rotated())
        self.publish(3, third)
        new = self.installed_signed(2, root_version=3)

        self.assert_in_use(new)
        with open(self.path("state", "trust.json")) as file:
            self.assertEqual(json.load(file)["root"], third)

    def test_a_root_that_the_old_keys_did_not_sign_is_refused(self):
        self.publish(2, make_root(2, [self.other_key], [self.other_key]))
        self.offer_signed(2, key=self.other_key, root_version=2)

        self.assert_refused(self.old, "root")

    def test_a_root_that_its_own_keys_did_not_sign_is_refused(self):
        self.publish(2, make_root(2, [self.other_key], [self.other_key], [self.root_key]))
        self.offer_signed(2, key=self.other_key, root_version=2)

        self.assert_refused(self.old, "root")

    def test_a_root_below_its_threshold_is_refused(self):
        keys = [self.root_key, self.other_key]
        twice = make_root(2, keys, [self.other_key], [self.root_key, self.root_key], threshold=2)
        self.publish(2, twice)
        self.offer_signed(2, key=self.other_key, root_version=2)
        self.assert_refused(self.old, "root")

        self.publish(2, make_root(2, keys, [self.other_key], threshold=2))
        new = self.installed_signed(2, key=self.other_key, root_version=2)
        self.assert_in_use(new)

    def test_a_root_that_skips_a_number_is_refused(self):
        self.publish(2, make_root(3, [self.root_key], [self.other_key]))
        self.offer_signed(2, key=self.other_key, root_version=3)

        self.assert_refused(self.old, "root")

    def test_a_root_with_another_key_under_a_known_name_is_refused(self):
        forged = make_root(2, [self.other_key], [self.other_key])
        forged["signatures"][0]["key_id"] = self.root_key.public["key_id"]
        self.publish(2, forged)
        self.offer_signed(2, key=self.other_key, root_version=2)

        self.assert_refused(self.old, "root")

    def test_a_root_that_the_registry_does_not_have_is_told(self):
        self.offer_signed(2, root_version=2)

        self.assert_refused(self.old, "refused", exit_code=77)
