"""Runs the agent's tests under this Python and under a real Python 3.6, which is what JetPack 4 has.

Python 3.6 is looked for as ``$PERISCOPE_PYTHON36``, as ``python3.6`` on the path, and among pyenv's versions.
Where there is none the run says so, and notes it in the table of skipped tests that CI prints.
"""

import glob
import os
import shutil
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
RUN = ["-B", "-W", "error", "-m", "unittest", "discover", "--start-directory", FOLDER]


def version_of(python):
    """``3.6`` and the like, or None where the program does not run."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.check_output([python, "-c", ask], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def pyenv_root():
    """Where pyenv keeps its versions; a guess where it does not say."""
    try:
        return subprocess.check_output(["pyenv", "root"], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))


def find_python36():
    """A Python 3.6 that runs, or None."""
    candidates = [os.environ.get("PERISCOPE_PYTHON36"), shutil.which("python3.6")]
    candidates += sorted(glob.glob(os.path.join(pyenv_root(), "versions", "3.6*", "bin", "python")))
    return next((found for found in candidates if found and version_of(found) == "3.6"), None)


def note_skip():
    """Tell people and CI's table that 3.6 was not there."""
    reason = "no Python 3.6 here: set PERISCOPE_PYTHON36, or install one with pyenv"
    print("SKIPPED tests/agent under Python 3.6: " + reason)
    table = os.environ.get("PERISCOPE_SKIP_TABLE")
    if table:
        with open(table, "a") as file:
            file.write("tests/agent under Python 3.6 | %s\n" % reason)


def main():
    """Exit with 0 when every run passed."""
    pythons = [sys.executable, find_python36()]
    if pythons[1] is None:
        note_skip()
    codes = []
    for python in filter(None, pythons):
        print("The agent's tests under Python %s" % version_of(python), flush=True)
        codes.append(subprocess.call([python] + RUN, cwd=FOLDER))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
