"""Notes of everything that the agent does to its disk, in the order in which it does it.

A note is (operation, path, detail). A file's bytes are noted when they leave the program, that is when it flushes.
The detail of a sync is which function of the agent asked for it, and whether for a file or a folder.
"""

import builtins
import os
import shutil
import sys

NOTED_BYTES = 1500  # So that a long write is several steps.


class NotingFile:
    """A file open for writing."""

    def __init__(self, file, path, note):
        self._file = file
        self._path = path
        self._note = note
        self._waiting = b""

    def write(self, content):
        self._waiting += content
        return self._file.write(content)

    def flush(self):
        self._file.flush()
        for start in range(0, len(self._waiting), NOTED_BYTES):
            self._note("write", self._path, self._waiting[start : start + NOTED_BYTES])
        self._waiting = b""

    def fileno(self):
        return self._file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.flush()
        self._file.close()


class Notes:
    """While it is entered, notes what a module does below a folder; ``taken`` holds the notes."""

    def __init__(self, module, root):
        self.taken = []
        self._module = module
        self._root = root
        self._real = {
            name: getattr(os, name) for name in ("fsync", "mkdir", "rmdir", "unlink", "rename", "replace")
        }
        self._real_symlink = os.symlink
        self._real_rmtree = shutil.rmtree

    def __enter__(self):
        self._module.open = self._open
        os.fsync = self._fsync
        os.symlink = self._symlink
        shutil.rmtree = self._rmtree
        for name in ("mkdir", "rmdir", "unlink", "rename", "replace"):
            setattr(os, name, self._noting(name))
        return self.taken

    def __exit__(self, *_):
        del self._module.open
        os.symlink = self._real_symlink
        shutil.rmtree = self._real_rmtree
        for name, function in self._real.items():
            setattr(os, name, function)

    def _is_below(self, path):
        return os.path.abspath(path).startswith(self._root)

    def _note(self, operation, path, detail=None):
        if self._is_below(path):
            self.taken.append((operation, os.path.abspath(path), detail))

    def _noting(self, name):
        function = self._real[name]
        operation = {"rmdir": "remove", "unlink": "remove", "replace": "rename"}.get(name, name)

        def noting(path, *others, **options):
            function(path, *others, **options)
            self._note(operation, path, os.path.abspath(others[0]) if operation == "rename" else None)

        return noting

    def _symlink(self, target, path):
        self._real_symlink(target, path)
        self._note("symlink", path, target)

    def _open(self, path, mode="r", **options):
        file = builtins.open(path, mode, **options)  # noqa: SIM115 - the caller closes it
        if mode not in ("wb", "ab", "xb") or not self._is_below(path):
            return file
        self._note("open", path, mode)
        return NotingFile(file, path, self._note)

    def _fsync(self, handle):
        self._real["fsync"](handle)
        frame, kind = sys._getframe(1), "file"
        if frame.f_code.co_name == "sync_folder":
            frame, kind = frame.f_back, "folder"
        self._note("sync", os.readlink("/proc/self/fd/%d" % handle), (frame.f_code.co_name, kind))

    def _rmtree(self, path, ignore_errors=False, **options):
        """As the library's, by paths, so that each step can be noted."""
        if not self._is_below(path):
            self._real_rmtree(path, ignore_errors, **options)
        elif os.path.isdir(path) or not ignore_errors:
            for name in os.listdir(path):
                below = os.path.join(path, name)
                is_folder = os.path.isdir(below) and not os.path.islink(below)
                self._rmtree(below) if is_folder else os.unlink(below)
            os.rmdir(path)
