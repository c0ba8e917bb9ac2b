"""A disk that a power cut may strike: what the agent did to it, and everything that may be left of that.

``Disk`` replays notes (see ``notes.py``) on a model in which a file's bytes last from its fsync on, and a name in a
folder from the folder's fsync on. ``Disk.tree`` is one disk that may be found after a power cut: each file's bytes and
each folder's names that were not synced are lost, torn or kept.
"""

import os

LOST, TORN, KEPT = "lost", "torn", "kept"


class File:
    def __init__(self, content=b"", synced=b""):
        self.content = content
        self.synced = synced

    def left(self, fate):
        """The bytes that a power cut leaves."""
        if fate == KEPT or self.content == self.synced:
            return self.content
        if fate == LOST:
            return self.synced
        return self.content[: (len(self.synced) + len(self.content)) // 2]


class Link:
    def __init__(self, target):
        self.target = target


class Folder:
    def __init__(self):
        self.names = {}
        self.synced = {}
        self.changes = []  # Since the last sync: name, and what it names or None.

    def put(self, name, node):
        self.changes.append((name, node))
        if node is None:
            del self.names[name]
        else:
            self.names[name] = node

    def sync(self):
        self.synced, self.changes = dict(self.names), []

    def left(self, fate):
        """The names that a power cut leaves; torn: the first half of the changes."""
        names = dict(self.synced)
        half = (len(self.changes) + 1) // 2
        for name, node in {LOST: [], TORN: self.changes[:half], KEPT: self.changes}[fate]:
            names[name] = node
        return {name: node for name, node in names.items() if node is not None}


class Disk:
    """What lies below one folder, and which of it would survive."""

    def __init__(self, root):
        self.root = root
        self.top = self._load(root)

    def _load(self, path):
        """All that is there already has been there for long."""
        if os.path.islink(path):
            return Link(os.readlink(path))
        if os.path.isfile(path):
            with open(path, "rb") as file:
                content = file.read()
            return File(content, content)
        folder = Folder()
        for name in os.listdir(path):
            folder.put(name, self._load(os.path.join(path, name)))
        folder.sync()
        return folder

    def _find(self, path):
        node = self.top
        for name in os.path.relpath(path, self.root).split(os.sep):
            node = node.names[name] if name != "." else node
        return node

    def apply(self, operation, path, detail):
        """Replay one note."""
        if operation == "sync":
            self._sync(self._find(path))
        else:
            folder, name = self._find(os.path.dirname(path)), os.path.basename(path)
            getattr(self, "_" + operation)(folder, name, detail)

    def _sync(self, node):
        if isinstance(node, File):
            node.synced = node.content
        else:
            node.sync()

    def _open(self, folder, name, mode):
        if name not in folder.names:
            folder.put(name, File())
        elif mode == "wb":
            folder.names[name].content = b""

    def _write(self, folder, name, content):
        folder.names[name].content += content

    def _mkdir(self, folder, name, _):
        folder.put(name, Folder())

    def _symlink(self, folder, name, target):
        folder.put(name, Link(target))

    def _remove(self, folder, name, _):
        folder.put(name, None)

    def _rename(self, folder, name, new_path):
        node = folder.names[name]
        folder.put(name, None)
        self._find(os.path.dirname(new_path)).put(os.path.basename(new_path), node)

    def tree(self, fate_of_bytes, fate_of_names, node=None):
        """What is left, as nested dictionaries; each fate is a function without arguments."""
        node = node or self.top
        if isinstance(node, Folder):
            left = sorted(node.left(fate_of_names()).items())
            return {name: self.tree(fate_of_bytes, fate_of_names, each) for name, each in left}
        return node.left(fate_of_bytes()) if isinstance(node, File) else (node.target,)


def build(tree, path):
    """Make a disk on the disk."""
    os.mkdir(path)
    for name, node in tree.items():
        below = os.path.join(path, name)
        if isinstance(node, dict):
            build(node, below)
        elif isinstance(node, tuple):
            os.symlink(node[0], below)
        else:
            with open(below, "wb") as file:
                file.write(node)
