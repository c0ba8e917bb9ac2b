import ast
import itertools
import os
import random
import shutil
import unittest.mock

from agent_case import AGENT_PATH, jetson_agent
from disk import KEPT, LOST, TORN, Disk, build
from keys import make_root
from notes import Notes
from signed_case import SignedCase
from simulator import Cut

FATES = (LOST, TORN, KEPT)
MIXTURES = 3  # Of each point: other disks in which every file and folder has a fate of its own.


def always(fate):
    return lambda: fate


class Scenario:
    """What the agent did, what may be found after it, and how the robot goes on."""

    def __init__(self, name, before, notes, allowed, new, then, counter):
        self.name = name
        self.before = before
        self.notes = notes
        self.allowed = allowed  # Models that a boot without network may find; None: none at all.
        self.new = new
        self.then = then  # The command that ends on the new one.
        self.counter = counter


class PowerCut(SignedCase):
    """After a power cut at any point there is a whole, verified model, and the robot ends on the new one."""

    def setUp(self):
        super().setUp()
        self.settings.update(boot_timeout_s=0, healthy_s=1e9)
        self.chunks = unittest.mock.patch.object(jetson_agent, "CHUNK_BYTES", 700)
        self.chunks.start()
        self.addCleanup(self.chunks.stop)

    def record(self, name, arguments, allowed, new, then, expected=0, faults=()):
        """Run a command on the present disk and note all that it does to it."""
        for folder in ("releases", "downloads", "state"):
            os.makedirs(self.path(folder), exist_ok=True)
        before = os.path.join(self.folder, "before-" + name)
        shutil.copytree(self.root, before, symlinks=True)
        self.simulator.store.faults = list(faults)
        once = unittest.mock.patch.object(jetson_agent, "TRIES", 1)
        with once, Notes(jetson_agent, self.root) as notes:
            code = self.run_agent(*arguments)
        self.assertEqual(code, expected, self.log)
        scenario = Scenario(name, before, notes, allowed, new, then, self.counter)
        self.assert_noted_everything(scenario)
        return scenario

    def disk_before(self, scenario):
        """The model of the disk as it was, under the paths that the notes have."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(scenario.before, self.root, symlinks=True)
        return Disk(self.root)

    def assert_noted_everything(self, scenario):
        """Replayed, the notes give the very disk that the agent left."""
        left = Disk(self.root).tree(always(KEPT), always(KEPT))
        disk = self.disk_before(scenario)
        for note in scenario.notes:
            disk.apply(*note)
        self.assertEqual(disk.tree(always(KEPT), always(KEPT)), left)

    def disks(self, scenario, notes):
        """Every disk that a power cut may leave: how many steps were done, and the tree."""
        disk = self.disk_before(scenario)
        dice = random.Random(7)
        for done in range(len(notes) + 1):
            for bytes_fate, names_fate in itertools.product(FATES, FATES):
                yield done, disk.tree(always(bytes_fate), always(names_fate))
            for _ in range(MIXTURES):
                yield done, disk.tree(lambda: dice.choice(FATES), lambda: dice.choice(FATES))
            if done < len(notes):
                disk.apply(*notes[done])

    def fault_of(self, scenario, tree, complete):
        """What is wrong with a disk after a power cut; empty where all is well."""
        shutil.rmtree(self.root)
        build(tree, self.root)
        code = self.run_agent("boot")
        found = self.files_in_use()
        if (code, found is None) not in ((0, False), (66, True)):
            return "boot ended with %d: %s" % (code, self.log)
        if found not in ([scenario.new] if complete else scenario.allowed):
            return "the boot did not find a model that may be there: %s" % self.log
        if found == scenario.new and self.highest_counter() < scenario.counter:
            return "the new model is in use and its counter forgotten"
        if self.run_agent(*scenario.then) != 0 or self.files_in_use() != scenario.new:
            return "the robot does not end on the new model: %s" % self.log
        try:
            self.assert_no_litter()
        except AssertionError as error:
            return "litter stays: %s" % error
        return ""

    def highest_counter(self):
        return jetson_agent.load_json(self.path("state", "trust.json")).get("counter", 0)

    def survives(self, scenario):
        """Take every point; count the disks that were tried."""
        tried = set()
        for done, tree in self.disks(scenario, scenario.notes):
            complete = done == len(scenario.notes)
            if (complete, repr(tree)) in tried:
                continue
            tried.add((complete, repr(tree)))
            fault = self.fault_of(scenario, tree, complete)
            self.assertEqual(fault, "", "%s, after %d steps" % (scenario.name, done))
        self.assertGreater(len(tried), 20)

    def first_install(self):
        new = self.offer_signed(1)
        return self.record("first", ["once"], [None, new], new, ["once"])

    def update(self):
        for version in (1, 2, 3):
            old = self.installed_signed(version)
        new = self.offer_signed(4)
        return self.record("update", ["once"], [old, new], new, ["once"])

    def interrupted(self):
        old = self.installed_signed(1)
        new = self.offer_signed(2)
        cut = [Cut(1400)]
        return self.record("interrupted", ["once"], [old], new, ["once"], expected=69, faults=cut)

    def resume(self):
        old = self.interrupted().allowed[0]
        new = self.offer_signed(2, counter=self.counter)
        return self.record("resume", ["once"], [old, new], new, ["once"])

    def older_one_again(self):
        older = self.installed_signed(1)
        old = self.installed_signed(2)
        self.offer_signed(1)
        return self.record("older", ["once"], [old, older], older, ["once"])

    def rollback(self):
        good = self.installed_signed(1)
        bad = self.installed_signed(2)
        self.offer_signed(1)  # What the operator says to it.
        scenario = self.record("rollback", ["rollback"], [bad, good], good, ["once"])
        scenario.counter = 0  # Nothing new was accepted yet.
        return scenario

    def stick(self):
        old = self.installed_signed(1)
        second = make_root(2, [self.root_key], [self.other_key])
        path, new = self.usb(5, roots=[second], key=self.other_key)
        return self.record("stick", ["install", path], [old, new], new, ["install", path])

    def clean_up(self):
        old = self.installed_signed(1)
        new = self.offer_signed(2)
        for litter in ("releases/9-abcdefabcdef.tmp", "state"):
            os.makedirs(self.path(litter), exist_ok=True)
            with open(self.path(litter, "x.new"), "w") as file:
                file.write("half")
        with open(self.path("downloads", "0" * 64 + ".part"), "w") as file:
            file.write("half")
        return self.record("clean-up", ["once"], [old, new], new, ["once"])

    def test_a_first_installation(self):
        self.survives(self.first_install())

    def test_an_update_that_drops_an_older_release(self):
        self.survives(self.update())

    def test_a_download_that_goes_on(self):
        self.survives(self.resume())

    def test_going_back_by_the_registry(self):
        self.survives(self.older_one_again())

    def test_going_back_by_hand(self):
        self.survives(self.rollback())

    def test_a_stick_with_a_new_root(self):
        self.survives(self.stick())

    def test_cleaning_up(self):
        self.survives(self.clean_up())

    def test_what_came_of_a_download_is_not_lost(self):
        self.assertEqual(self.lost_downloads(self.interrupted(), without=None), 0)

    def lost_downloads(self, scenario, without):
        """On how many disks after an interrupted download what came is gone."""
        lost = 0
        notes = [note for note in scenario.notes if note[0] != "sync" or note[2] != without]
        for done, tree in self.disks(scenario, notes):
            parts = [content for name, content in tree["downloads"].items() if name.endswith(".part")]
            if done == len(notes):
                lost += [len(content) for content in parts] != [1400]
        return lost

    def test_each_sync_is_needed(self):
        """Without any one of them, a command that had ended well would be undone, or a download lost."""
        scenarios = []
        for make in (self.first_install, self.update, self.stick):
            shutil.rmtree(self.root, ignore_errors=True)
            scenarios.append(make())
        shutil.rmtree(self.root)
        interrupted = self.interrupted()
        every = [note for scenario in scenarios + [interrupted] for note in scenario.notes]
        sites = {detail for operation, _, detail in every if operation == "sync"}
        self.assertEqual(sites, syncs_in_source())
        for site in sites:
            needed = self.lost_downloads(interrupted, without=site) > 0
            self.assertTrue(needed or any(self.is_undone(each, site) for each in scenarios), site)

    def is_undone(self, scenario, site):
        """Whether some disk at the end has not the new model, had these syncs not been."""
        notes = [note for note in scenario.notes if note[0] != "sync" or note[2] != site]
        for done, tree in self.disks(scenario, notes):
            if done == len(notes) and self.fault_of(scenario, tree, complete=True):
                return True
        return False


def syncs_in_source():
    """Which functions of the agent sync a file or a folder."""
    with open(AGENT_PATH) as file:
        tree = ast.parse(file.read())
    found = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name in ("fsync", "sync_folder") and function.name != "sync_folder":
                found.add((function.name, "file" if name == "fsync" else "folder"))
    return found
