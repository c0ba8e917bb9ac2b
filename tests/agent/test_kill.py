import os
import random
import signal
import subprocess
import sys
import time

from agent_case import AGENT_PATH, AgentCase
from simulator import Trickle

KILLS = int(os.environ.get("PERISCOPE_AGENT_KILLS", "30"))

DIE_AT_STEP = """
import os, sys
sys.path.insert(0, {folder!r})
import jetson_agent
calls = 0
def dying(function):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        if calls == {step}:
            os.kill(os.getpid(), 9)
        return function(*arguments, **options)
    return wrapped
for name in ("fsync", "replace", "rename", "symlink", "mkdir", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
sys.exit(jetson_agent.main(["--config", {config!r}, "once"]))
"""


class Kill(AgentCase):
    """SIGKILL at any moment of an update leaves the old model or the new one, whole."""

    def start(self, *arguments):
        command = [sys.executable, "-B", AGENT_PATH, "--config", self.configure()] + list(arguments)
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def test_at_random_moments(self):
        dice = random.Random(20)
        old = self.installed(1)
        began = time.monotonic()
        self.assertEqual(self.start("once").wait(), 0)
        idle_s = time.monotonic() - began
        killed = 0
        for number in range(KILLS):
            new = self.offer(number + 2)
            self.simulator.store.faults = [Trickle(20000, 0.005)]
            process = self.start("once")
            time.sleep(dice.uniform(0.3 * idle_s, 2.0 * idle_s))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            self.simulator.store.faults = []
            self.assertIn(self.files_in_use(), (old, new), "after kill %d" % number)
            if number % 3 == 2:  # Often several kills fall upon one update.
                self.assertEqual(self.run_agent("boot"), 0)
                self.assert_in_use(new)
                self.assert_no_litter()
            old = self.files_in_use()

        self.assertGreater(killed, KILLS // 3)

    def test_before_every_step_that_changes_the_disk(self):
        old = self.installed(1)
        step = 0
        while True:
            step += 1
            new = self.offer(step + 1)
            program = DIE_AT_STEP.format(
                folder=os.path.dirname(AGENT_PATH), config=self.configure(), step=step
            )
            code = subprocess.call([sys.executable, "-B", "-c", program], stderr=subprocess.DEVNULL)
            self.assertIn(self.files_in_use(), (old, new), "after dying at step %d" % step)
            self.assertEqual(self.run_agent("once"), 0)
            self.assert_in_use(new)
            self.assert_no_litter()
            if code == 0:
                break
            self.assertEqual(code, -signal.SIGKILL)
            old = new

        self.assertGreater(step, 20)
