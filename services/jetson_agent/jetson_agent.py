#!/usr/bin/env python3
"""Keeps the model of one Jetson robot up to date and never leaves it without a good one.

One file, standard library only, Python 3.6 and later (JetPack 4): copy it to the robot and it runs.

    jetson_agent.py [--config FILE] once | run | boot | start | activate | rollback | status
                                    | install FILE.zip | enrol CODE

On disk, under ``root`` (a consumer resolves ``current`` once, when it starts, and opens what is there):

    current -> releases/12-0123456789ab     the model in use; switched by one rename
    previous -> releases/11-ba9876543210    the last good one before
    releases/<version>-<sha12>/             the unpacked zip and its record, .periscope-release.json
    releases/*.tmp, downloads/*.part        unfinished work: never taken for a model
    state/                                  journal (answer, trial, quarantine, reports), trust, lock

Any command may be killed at any point: a release appears by one rename after everything in it was
verified and synced, and only then ``current`` moves. Nothing rests on the clock being right.

Trust: with ``root_file``, a release counts when a release key of the newest root document signed it for
this device and its counter is not below one that was accepted; zip and members are those of the signed
text, from the network or from a stick. Without, the registry's certificate is believed, and a stick's holder.

Exit codes:

    0   the wanted model is in use (boot: a verified model is in use, new or old)
    64  the command line is wrong            65  the release is refused; the old model stays
    66  no model is installed, or no file    69  the registry cannot be reached; the old model stays
    70  a defect of this program             74  the disk is full or fails; the old model stays
    75  it must wait: another agent, a mission, or a release that wants a boot or a word
    77  the registry refuses the token or knows no such device     78  the configuration is wrong
"""

import argparse
import base64
import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import platform
import random
import re
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import urllib.request
import zipfile
import zlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

AGENT_VERSION = "0.2.0"
DEFAULT_CONFIG = "/etc/periscope-agent/config.json"

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES, MAX_MEMBERS, MAX_DETAIL_CHARS = 4 << 20, 1000, 500
MAX_PENDING_REPORTS, MAX_REPORTS_A_REQUEST, MAX_QUARANTINED = 200, 50, 50
BACKOFF_BASE_S, BACKOFF_CEILING_S, MAX_RETRY_AFTER_S = 1.0, 300.0, 3600.0
TRIES = 5  # Before `once` leaves the rest of a download to the next call.
STRIKES, QUARANTINE_S = 3, 24 * 3600.0  # Damaged downloads, or starts on trial; a bad zip strikes out at once.
HARD_STOP_S = 5.0  # After its time, `boot` ends even if something (a name server, say) never comes back.
HEARTBEAT_S = 30.0  # A word in the log while a program builds an engine.

RECORD_NAME, LABELS_NAME = ".periscope-release.json", "labels.txt"
ACTIVATIONS = ("now", "on_boot", "manual")
SHA256 = re.compile(r"[0-9a-f]{64}")
RELEASE_NAME = re.compile(r"[0-9a-z]+-[0-9a-f]{12}(-[0-9]+)?")
MEMBER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class AgentError(Exception):
    """A failure that this program foresees; a class of its own only where the program acts on it."""

    exit_code, reason, strikes = os.EX_SOFTWARE, "defect", 0

    def __init__(self, message: str, exit_code: Optional[int] = None, reason: str = "") -> None:
        super().__init__(message[:MAX_DETAIL_CHARS])
        self.exit_code, self.reason = exit_code or self.exit_code, reason or self.reason


class Unreachable(AgentError):
    """No usable answer came: try again later and go on from there."""

    exit_code, reason, retry_after_s = os.EX_UNAVAILABLE, "unreachable", 0.0


class BadTransfer(Unreachable):
    """A whole zip arrived, but not the bytes that were promised: download it from the start."""

    reason, strikes = "damaged_download", 1


class Refused(AgentError):
    """The registry answered, and will not serve this device: the same request is not worth repeating."""

    exit_code, reason = os.EX_NOPERM, "refused"


class Waits(AgentError):
    """Nothing is wrong, but it cannot be now."""

    exit_code, reason = os.EX_TEMPFAIL, "waits"


class BadRelease(AgentError):
    """The zip breaks a rule, and no download makes it better."""

    exit_code, reason, strikes = os.EX_DATAERR, "bad_zip", STRIKES


class Untrusted(AgentError):
    """Nobody whom this robot trusts says that it should have this."""

    exit_code, reason = os.EX_DATAERR, "signature"


class Config(NamedTuple):
    """What the configuration file may say, in JSON; a key that is not here is refused."""

    registry_url: str
    device: str
    token_file: str
    root: str = "/var/lib/periscope-agent"
    root_file: str = ""  # The first root document; empty: releases need no signature.
    group: str = "*"  # Releases signed for this group are taken, too; "*": those for everybody.
    factory_zip: str = ""  # What `boot` installs where no release is left.
    ca_file: str = ""  # PEM; empty: the system's certificate authorities
    http_proxy: str = ""  # http://host:port between the robot and everything else
    proxy: bool = False  # The registry passes the zip on, for robots that do not reach the object store.
    mission_lock: str = "/run/periscope-mission"  # While this file is there, the model stays.
    warm_up: Sequence[str] = ()  # Program that builds the engine of $PERISCOPE_MODEL; empty: none
    smoke_test: Sequence[str] = ()  # Program that runs the golden picture of $PERISCOPE_MODEL; empty: none
    probe: Sequence[str] = ()  # Program that prints JetPack, TensorRT and module as JSON; empty: none
    warm_up_timeout_s: float = 1800.0  # Of each of these programs.
    healthy_s: float = 300.0  # After so long without a new start a release is confirmed.
    timeout_s: float = 15.0  # Longest silence of a connection.
    boot_timeout_s: float = 20.0  # Longest that `boot` spends on the network.
    poll_interval_s: float = 60.0  # Of `run`, until the registry names another.
    max_zip_bytes: int = 1 << 30
    max_unpacked_bytes: int = 2 << 30
    spare_bytes: int = 64 << 20  # Disk that stays free.
    keep_releases: int = 3  # `current` and `previous` always stay.


Member = NamedTuple("Member", [("name", str), ("sha256", str), ("size_bytes", int)])


class Release(NamedTuple):
    """What this device should have."""

    model: str
    version: Optional[int]  # None: from a file, unsigned.
    zip_sha256: str
    zip_size_bytes: int
    members: Optional[Sequence[Member]] = None  # None: not told; then the zip's own checksums alone decide.
    zip_url: str = ""
    poll_interval_s: Optional[float] = None
    activation: str = "now"
    signed: Optional[Dict[str, Any]] = None  # As the registry sent it, not yet believed.
    root_version: int = 0
    counter: int = 0  # 0: nobody signed it.

    @property
    def unpacked_bytes(self) -> int:
        """What the members need on disk; a guess where they are not told."""
        return sum(m.size_bytes for m in self.members) if self.members else 2 * self.zip_size_bytes


def left_s(deadline: float) -> float:
    """Seconds until a point in monotonic time. Raises Unreachable when it is over."""
    if deadline <= time.monotonic():
        raise Unreachable("the time for this is over")
    return max(deadline - time.monotonic(), 0.001)


def parse_config(text: str) -> Config:
    """Raise AgentError naming what is missing, unknown or of the wrong type."""
    try:
        given = dict(json.loads(text))
        config = Config(**given)
    except (ValueError, TypeError) as error:
        raise AgentError("the configuration is not right: %s" % error, os.EX_CONFIG)
    for name, value in given.items():
        wanted = type(Config._field_defaults.get(name, ""))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        words = wanted is tuple and isinstance(value, list) and all(isinstance(word, str) for word in value)
        right = number if wanted is float else words or type(value) is wanted
        if not right or (number and value < 0):
            raise AgentError("%s must be a %s, and not negative" % (name, wanted.__name__), os.EX_CONFIG)
    return config


def parse_release(document: Dict[str, Any]) -> Release:
    """Read what the registry answers or what it signed, and ignore fields of the future. Raises ValueError."""
    try:
        zip_, interval, members = document["zip"], document.get("poll_interval_s"), document.get("members")
        release = Release(
            model=str(document["model"]),
            version=int(document["version"]),
            zip_sha256=str(zip_["sha256"]),
            zip_size_bytes=int(zip_["size_bytes"]),
            members=None if members is None else [parse_member(member) for member in members],
            zip_url=str(zip_.get("url", "")),
            poll_interval_s=None if interval is None else min(max(float(interval), 1.0), 86400.0),
            activation=str(document.get("activation", "now")),
            signed=document.get("release"),
            root_version=int(document.get("root_version") or 0),
            counter=int(document.get("counter", 0)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("a field is missing or of another type: %r" % error)
    if not SHA256.fullmatch(release.zip_sha256) or min(release.zip_size_bytes, int(document["version"])) < 1:
        raise ValueError("no SHA-256, size or version")
    if release.activation not in ACTIVATIONS:
        raise ValueError("the activation %s is unknown" % release.activation)
    return release


def parse_member(document: Dict[str, Any]) -> Member:
    """Raise ValueError, KeyError or TypeError where a member is not described."""
    member = Member(str(document["name"]), str(document["sha256"]), int(document["size_bytes"]))
    if not SHA256.fullmatch(member.sha256) or member.size_bytes < 0:
        raise ValueError("member %r has no SHA-256 or size" % member.name)
    return member


def safe_files(entries: Sequence[zipfile.ZipInfo], max_unpacked_bytes: int) -> Dict[str, zipfile.ZipInfo]:
    """The files of a zip by name. Raises BadRelease for an unsafe name, a link, a duplicate, a bomb."""
    files: Dict[str, zipfile.ZipInfo] = {}
    if len(entries) > MAX_MEMBERS or sum(entry.file_size for entry in entries) > max_unpacked_bytes:
        raise BadRelease("more than %d members or %d bytes" % (MAX_MEMBERS, max_unpacked_bytes))
    for entry in entries:
        name = entry.orig_filename  # What the zip says; `filename` is cut at a zero byte.
        if name.endswith("/"):
            continue  # A folder; those that are needed are made.
        if not MEMBER_NAME.fullmatch(name) or name in files:
            raise BadRelease("unsafe or repeated member name %r" % name)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BadRelease("%s is a link or a device" % name)
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadRelease("%s is encrypted, or packed in a way this program does not read" % name)
        files[name] = entry
    if LABELS_NAME not in files:
        raise BadRelease("%s is missing: this is no model" % LABELS_NAME)
    return files


def log(message: str) -> None:
    """One line of JSON on standard error; the journal adds the time."""
    print(json.dumps({"message": message}), file=sys.stderr, flush=True)


def sync_folder(path: str) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save(path: str, content: bytes, mode: int = 0o644) -> None:
    """Replace a small file whole; a reader sees the old or the new one."""
    with open(path + ".new", "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(os.path.dirname(path))


def save_json(path: str, value: object) -> None:
    """Replace a small JSON file whole."""
    save(path, json.dumps(value, indent=1).encode("utf-8"))


def load_json(path: str) -> Dict[str, Any]:
    """A small JSON object; an absent or damaged file is an empty one."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read(2 * MAX_ANSWER_BYTES).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def hash_file(path: str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def file_size(path: str) -> int:
    """Bytes of a file; 0 where there is none."""
    return os.stat(path).st_size if os.path.exists(path) else 0


def remove(path: str) -> None:
    """Remove a file, link or folder; an absent one is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


class Shelf:
    """The releases on disk. A folder is a release when its record is there and its members agree with it."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.releases = os.path.join(self.root, "releases")
        self.downloads = os.path.join(self.root, "downloads")
        self.state = os.path.join(self.root, "state")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second agent away. Raises Waits."""
        with open(os.path.join(self.state, "lock"), "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Waits("another agent is at work on %s" % self.root)
            yield

    def clear_litter(self) -> None:
        """Remove what a killed agent left, except downloads, which can go on."""
        for folder, ending in ((self.releases, ".tmp"), (self.root, ".new"), (self.state, ".new")):
            for name in os.listdir(folder):
                if name.endswith(ending):
                    remove(os.path.join(folder, name))

    def drop_downloads(self, keep_sha256: str = "") -> None:
        """Remove downloads of anything but one zip."""
        for name in os.listdir(self.downloads):
            if name != keep_sha256 + ".part":
                remove(os.path.join(self.downloads, name))

    def names(self) -> List[str]:
        """Finished releases, the last installed first."""
        found = [name for name in os.listdir(self.releases) if RELEASE_NAME.fullmatch(name)]
        return sorted(found, key=lambda name: (-int(self.record(name).get("sequence", 0)), name))

    def highest(self, key: str) -> int:
        """The highest ``sequence`` or ``counter`` of all releases here."""
        return max([0] + [int(self.record(name).get(key, 0)) for name in self.names()])

    def record(self, name: Optional[str]) -> Dict[str, Any]:
        """What was installed under this name; empty where it is no release."""
        return load_json(os.path.join(self.releases, name or "none", RECORD_NAME))

    def linked(self, link: str) -> Optional[str]:
        """The release that ``current`` or ``previous`` names, intact or not."""
        try:
            folder, name = os.path.split(os.readlink(os.path.join(self.root, link)))
        except OSError:
            return None
        return name if folder == "releases" and RELEASE_NAME.fullmatch(name) else None

    def is_intact(self, name: Optional[str], thorough: bool = True) -> bool:
        """Whether every member is there with its size and, if thorough, its SHA-256."""
        try:
            members = [parse_member(member) for member in self.record(name)["members"]]
            for member in members:
                path = os.path.join(self.releases, str(name), member.name)
                right_size = not os.path.islink(path) and os.stat(path).st_size == member.size_bytes
                if not right_size or (thorough and hash_file(path) != member.sha256):
                    return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(members)

    def find(self, zip_sha256: str) -> Optional[str]:
        """An intact release made from this zip."""
        same = (name for name in self.names() if self.record(name).get("zip_sha256") == zip_sha256)
        return next(filter(self.is_intact, same), None)

    def add(self, zip_path: str, release: Release, max_unpacked_bytes: int) -> str:
        """Unpack a zip beside the others and verify it; return its name. Raises BadRelease, OSError."""
        base = name = "%s-%s" % (release.version or "usb", release.zip_sha256[:12])
        copy = 1
        while os.path.lexists(os.path.join(self.releases, name)):  # A damaged one, which may be in use.
            copy += 1
            name = "%s-%d" % (base, copy)
        about = {key: getattr(release, key) for key in ("model", "version", "zip_sha256", "counter")}
        folder = os.path.join(self.releases, name + ".tmp")
        remove(folder)
        os.mkdir(folder)
        try:
            members = unpack(zip_path, folder, release.members, max_unpacked_bytes)
            listed = [dict(member._asdict()) for member in members]
            record = dict(about, sequence=1 + self.highest("sequence"), members=listed)
            save_json(os.path.join(folder, RECORD_NAME), record)
            os.rename(folder, os.path.join(self.releases, name))
            sync_folder(self.releases)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return name

    def activate(self, name: str, keep: bool = True) -> None:
        """Make an intact release the current one; remember the one before, if it is good and to be kept."""
        old = self.linked("current")
        if keep and self.is_intact(old, thorough=False):
            self._point("previous", str(old))
        self._point("current", name)

    def _point(self, link: str, name: str) -> None:
        path = os.path.join(self.root, link)
        remove(path + ".new")
        os.symlink(os.path.join("releases", name), path + ".new")
        os.replace(path + ".new", path)
        sync_folder(self.root)

    def others(self) -> Iterator[str]:
        """Intact releases to go back to, the best first."""
        current = self.linked("current")
        for name in [self.linked("previous")] + self.names():
            if name is not None and name != current and self.is_intact(name):
                yield name

    def repair(self, thorough: bool) -> Optional[str]:
        """The current release if it is intact, else the best other that is; None where there is none."""
        current = self.linked("current")
        if self.is_intact(current, thorough):
            return current
        if self.record(current):  # From now on it is no release, whatever a quicker look would say.
            record = os.path.join(self.releases, str(current), RECORD_NAME)
            os.replace(record, record + ".damaged")
        name = next(self.others(), None)
        if name is not None:
            log("%s is damaged or missing: back to %s" % (current or "current", name))
            self._point("current", name)
        return name

    def prune(self, keep: int) -> None:
        """Remove all but the last ``keep`` releases; ``current`` and ``previous`` always stay."""
        held = {self.linked("current"), self.linked("previous")} - {None}
        spare = [name for name in self.names() if name not in held]
        for name in spare[max(0, keep - len(held)) :]:
            path = os.path.join(self.releases, name)
            os.rename(path, path + ".tmp")  # So that one half removed is litter and no release.
            remove(path + ".tmp")

    def require_space(self, needed_bytes: int) -> None:
        """Raise AgentError when the disk has not so many bytes to give, even without older releases."""
        if shutil.disk_usage(self.root).free < needed_bytes:
            self.prune(0)
        if shutil.disk_usage(self.root).free < needed_bytes:
            message = "%d bytes of disk are needed and not free" % needed_bytes
            raise AgentError(message, os.EX_IOERR, "disk_full")


def unpack(
    zip_path: str, folder: str, promised: Optional[Sequence[Member]], max_unpacked_bytes: int
) -> List[Member]:
    """Write the members of a zip into an empty folder, each verified and synced. Raises BadRelease."""
    try:
        with zipfile.ZipFile(zip_path) as archive:
            files = safe_files(archive.infolist(), max_unpacked_bytes)
            sizes = {name: entry.file_size for name, entry in files.items()}
            if promised is not None and sizes != {member.name: member.size_bytes for member in promised}:
                raise BadRelease("the zip does not hold just the members that were promised")
            sums = {member.name: member.sha256 for member in promised or ()}
            members = [extract(archive, files[name], folder, sums.get(name)) for name in sorted(files)]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadRelease("the zip cannot be read: %s" % error)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        raise BadRelease("members overlap, or a name or the index is unusable: %s" % error)
    for path, _, _ in os.walk(folder):
        sync_folder(path)
    return members


def extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: str, sha256: Optional[str]) -> Member:
    """Write one member; ``sha256`` None leaves it to the zip's checksum. Raises BadRelease, OSError."""
    path = os.path.join(folder, entry.orig_filename)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digest = hashlib.sha256()
    left = entry.file_size
    with archive.open(entry) as source, open(path, "xb") as target:
        for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    if left != 0 or (sha256 is not None and digest.hexdigest() != sha256):
        raise BadRelease("%s has not the SHA-256 or size it should have" % entry.filename)
    return Member(entry.filename, digest.hexdigest(), entry.file_size)


def accept_file(path: str, max_zip_bytes: int) -> Release:
    """The release that a zip on disk is; ``FILE.zip.release.json`` beside it holds the signed text."""
    if not os.path.isfile(path):
        raise AgentError("there is no file %s" % path, os.EX_NOINPUT)
    if file_size(path) > max_zip_bytes:
        raise AgentError("the zip has more bytes than max_zip_bytes", os.EX_DATAERR, "too_large")
    signed = load_json(path + ".release.json").get("release")
    return Release(os.path.basename(path), None, hash_file(path), file_size(path), signed=signed)


def key_id(pem: str) -> str:
    """SHA-256 of a public key's DER, which names it. Raises ValueError, IndexError where this is no PEM."""
    return hashlib.sha256(base64.b64decode("".join(pem.split("-----")[2].split()), validate=True)).hexdigest()


def is_signed_by(pem: str, text: str, signature: str) -> bool:
    """Whether the system's openssl finds an ECDSA signature (DER, in base64) of this key over the text."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("key", "signature", "text")]
        for path, content in zip(paths, (pem.encode(), base64.b64decode(signature), text.encode())):
            with open(path, "wb") as file:
                file.write(content)
        command = ["openssl", "dgst", "-sha256", "-verify", paths[0], "-signature", paths[1], paths[2]]
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def read_signed(kind: str, text: str, signatures: Any, keys: Any, threshold: int) -> Dict[str, Any]:
    """A document, once so many of these keys signed its exact text. Raises Untrusted, or like a bad look-up."""
    pems = {key["key_id"]: key["pem"] for key in keys if key_id(key["pem"]) == key["key_id"]}
    known = [each for each in signatures if each["key_id"] in pems]
    good = {each["key_id"] for each in known if is_signed_by(pems[each["key_id"]], text, each["signature"])}
    if len(good) < max(1, threshold):
        raise Untrusted("the %s is signed by %d of the keys, not by %d" % (kind, len(good), threshold))
    document = dict(json.loads(text))
    if document["format"] != "periscope-%s/1" % kind:
        raise Untrusted("its format is %r" % document["format"])
    return document


MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)


class Trust:
    """Whom this robot believes: the newest root document that it took, and the highest counter."""

    def __init__(self, config: Config, state: str) -> None:
        self._config = config
        self._path = os.path.join(state, "trust.json")

    def root(self) -> Dict[str, Any]:
        """The root document in force, at first that of ``root_file``. Raises Untrusted."""
        kept = load_json(self._path).get("root") or load_json(self._config.root_file)
        try:
            return dict(json.loads(kept["document"]))
        except MALFORMED:
            raise Untrusted("%s is no root document" % self._config.root_file, os.EX_CONFIG, "root")

    def advance(self, signed: Dict[str, Any]) -> None:
        """Take the next root if keys of the one in force and its own signed it. Raises Untrusted."""
        old = self.root()
        try:
            if json.loads(signed["document"])["version"] <= old["version"]:
                return
            for body in (old, json.loads(signed["document"])):
                keys, threshold = body["root_keys"], body["threshold"]
                new = read_signed("root", signed["document"], signed["signatures"], keys, threshold)
            if new["version"] != old["version"] + 1 or not new["release_keys"]:
                raise ValueError("root %s does not follow %s" % (new["version"], old["version"]))
        except MALFORMED + (Untrusted,) as error:
            raise Untrusted("the next root is refused: %r" % error, reason="root")
        save_json(self._path, dict(load_json(self._path), root=signed))

    def vouch(self, offered: Release, highest: int) -> Release:
        """The release that the signed text says; ``highest`` counter is what the disk knows. Raises Untrusted."""
        kept, signed = load_json(self._path), offered.signed
        if not signed:
            raise Untrusted("the release is not signed, and %s is pinned" % self._config.root_file)
        try:
            told = read_signed("release", signed["document"], [signed], self.root()["release_keys"], 1)
            release = parse_release(told)
            if release.members is None or release.counter < 1:
                raise ValueError("it names no members or has no counter")
            groups = ("*", self._config.group)
            is_mine = told["device"] == self._config.device if told["device"] else told["group"] in groups
        except MALFORMED as error:
            raise Untrusted("the signed release cannot be read: %r" % error)
        if not is_mine:
            raise Untrusted("it is for %s, %s" % (told["device"], told["group"]), reason="wrong_device")
        if (release.zip_sha256, release.zip_size_bytes) != (offered.zip_sha256, offered.zip_size_bytes):
            raise Untrusted("another zip was signed than the one that is offered")
        is_other = release.counter == kept.get("counter") and signed["document"] != kept.get("document")
        if release.counter < max(highest, kept.get("counter", 1)) or is_other:
            raise Untrusted("the counter %d was used before" % release.counter, reason="counter")
        return release._replace(zip_url=offered.zip_url, poll_interval_s=offered.poll_interval_s, signed=signed)

    def accept(self, release: Release) -> None:
        """Remember a release before it is put in use, so that no older one comes after it."""
        kept = load_json(self._path)
        if release.signed and release.counter > kept.get("counter", 0):
            save_json(self._path, dict(kept, counter=release.counter, document=release.signed["document"]))


class Journal:
    """What the agent remembers between calls: last answer, trial, quarantine, reports not yet sent."""

    def __init__(self, state: str) -> None:
        self._path = os.path.join(state, "journal.json")

    def load(self, key: str) -> Dict[str, Any]:
        """One part of the journal; empty where it is absent or damaged."""
        value = load_json(self._path).get(key)
        return value if isinstance(value, dict) else {}

    def save(self, key: str, value: Dict[str, Any]) -> None:
        """Replace one part of the journal, if it is not the same."""
        saved = load_json(self._path)
        if saved.get(key, {}) != value:
            save_json(self._path, dict(saved, **{key: value}))

    def require_no_quarantine(self, sha256: str, counter: int) -> None:
        """Raise AgentError while a zip is not tried: for a day, or until it is signed anew."""
        entry = self.load("quarantine").get(sha256, {})
        rested = abs(time.time() - entry.get("at_s", 0)) > QUARANTINE_S or counter > entry.get("counter", 0)
        if not rested and entry.get("strikes", 0) >= STRIKES:
            raise AgentError("it is in quarantine: %s" % entry["reason"], os.EX_DATAERR, "quarantined")

    def strike(self, sha256: str, counter: int, reason: str, strikes: int) -> None:
        """Note that a zip failed; after STRIKES of them it is in quarantine."""
        entries = self.load("quarantine")
        strikes += entries.pop(sha256, {}).get("strikes", 0) % STRIKES
        entries[sha256] = {"reason": reason, "strikes": strikes, "at_s": time.time(), "counter": counter}
        self.save("quarantine", dict(list(entries.items())[-MAX_QUARANTINED:]))

    def lift(self, sha256: str) -> None:
        """Forget a zip that turned out to be good."""
        entries = self.load("quarantine")
        self.save("quarantine", {sha: entries[sha] for sha in entries if sha != sha256})

    def pending(self) -> List[Dict[str, Any]]:
        """Reports not yet sent, oldest first."""
        return list(self.load("reports").get("pending", []))

    def report(self, state: str, about: Dict[str, Any], detail: str = "", reason: str = "") -> None:
        """Keep a report for the registry, unless it says the same as the one before; the oldest may go."""
        news = {key: about.get(key) for key in ("model", "version", "zip_sha256")}
        news.update(state=state, detail=detail[:MAX_DETAIL_CHARS], reason=reason or None)
        known = self.load("reports")
        if known.get("last") != news:
            sequence = int(known.get("sequence", 0)) + 1
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            full = dict(news, id=os.urandom(16).hex(), sequence=sequence, at=at, agent_version=AGENT_VERSION)
            pending = (self.pending() + [full])[-MAX_PENDING_REPORTS:]
            self.save("reports", {"sequence": sequence, "last": news, "pending": pending})


class Registry:
    """The registry as one device sees it. Every method raises Unreachable or Refused."""

    def __init__(self, config: Config, token: str) -> None:
        self._config = config
        self._token = token
        self._base = config.registry_url.rstrip("/")
        self.device = "/v1/devices/" + urllib.parse.quote(config.device, safe="")
        # Neither redirects nor error statuses have a handler: every answer comes back as it is.
        self._opener = urllib.request.OpenerDirector()
        context = ssl.create_default_context(cafile=config.ca_file or None)
        through = {"http": config.http_proxy, "https": config.http_proxy} if config.http_proxy else {}
        for handler in (
            urllib.request.ProxyHandler(through),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
        ):
            self._opener.add_handler(handler)

    def _open(self, url: str, deadline: float, headers: Dict[str, str], body: Optional[bytes] = None) -> Any:
        """Any HTTP answer, still to be read. The token goes to the registry's own addresses only."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise Unreachable("an address that is not HTTP was offered: %s" % url)
        sent = dict(headers, **{"User-Agent": "periscope-jetson-agent/" + AGENT_VERSION})
        if self._token and url.startswith(self._base + "/v1/"):
            sent["Authorization"] = "Bearer " + self._token
        timeout_s = min(self._config.timeout_s, left_s(deadline))
        try:
            return self._opener.open(urllib.request.Request(url, body, sent), timeout=timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable("%s://%s: %r" % (parts.scheme, parts.netloc, error))

    def ask(self, path: str, deadline: float, etag: str = "", content: object = None) -> Tuple[bytes, str]:
        """A small answer: body (empty when not modified) and ETag. ``content`` is posted as JSON."""
        headers = {"If-None-Match": etag} if etag else {}
        body = None if content is None else json.dumps(content).encode("utf-8")
        if body is not None:
            headers["Content-Type"] = "application/json"
        with contextlib.closing(self._open(self._base + path, deadline, headers, body)) as answer:
            if answer.code == 304:
                return b"", ""
            promised = str(answer.headers.get("Content-Length", ""))
            most = int(promised) if promised.isdigit() else MAX_ANSWER_BYTES
            got = b"".join(read_chunks(answer, min(most, MAX_ANSWER_BYTES), deadline))
            if promised.isdigit() and len(got) != most:
                raise Unreachable("the registry's answer was cut off, or is too long")
            if answer.code >= 300:
                raise failure_of("the registry", answer, got)
            return got, answer.headers.get("ETag", "")

    def open_zip(self, url: str, start: int, deadline: float) -> Any:
        """The answer that carries the zip from byte ``start``: 200, 206 or 416, still to be read."""
        headers = {"Range": "bytes=%d-" % start} if start else {}
        address = self._base + url if url.startswith("/") else url
        if self._config.proxy:
            address += ("&" if "?" in address else "?") + "proxy=1"
        for _ in range(3):  # A 403 from the store means an address that is too old: ask for a fresh one.
            answer = self._open(address, deadline, headers)
            redirected = answer.code in (301, 302, 303, 307, 308)
            if redirected:
                answer.close()
                location = urllib.parse.urljoin(address, answer.headers.get("Location", ""))
                answer = self._open(location, deadline, headers)
            if answer.code in (200, 206, 416):
                return answer
            answer.close()
            if not redirected or answer.code != 403:
                raise failure_of("the store" if redirected else "the registry", answer, b"")
        raise Unreachable("the store refuses every fresh address")


def read_chunks(answer: Any, most: int, deadline: float) -> Iterator[bytes]:
    """Up to ``most`` bytes of a body, as they arrive. Raises Unreachable when the connection breaks."""
    while most > 0:
        left_s(deadline)
        try:
            chunk = answer.read1(min(CHUNK_BYTES, most))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable("the connection broke: %r" % error)
        if not chunk:
            return
        most -= len(chunk)
        yield chunk


def failure_of(who: str, answer: Any, body: bytes) -> AgentError:
    """The failure that an answer other than success means, with the server's own words."""
    try:
        detail = str(json.loads(body.decode("utf-8"))["detail"])
    except (ValueError, KeyError, TypeError):
        detail = ""
    message = "%s answers %d %s" % (who, answer.code, detail)
    if 400 <= answer.code < 500 and answer.code not in (408, 429) and who == "the registry":
        return Refused(message)
    failure, asked = Unreachable(message), str(answer.headers.get("Retry-After", ""))
    failure.retry_after_s = min(float(asked), MAX_RETRY_AFTER_S) if asked.isdigit() else 0.0
    return failure


def start_of_body(answer: Any, have: int, size: int) -> Optional[int]:
    """Where a body begins in the zip; None: start over. Raises Unreachable when it is not the zip's."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "")) if answer.code == 206 else None
    if answer.code in (206, 416):
        return have if match and (int(match.group(1)), int(match.group(2))) == (have, size) else None
    if answer.headers.get("Content-Length") != str(size):
        raise Unreachable("the download has %s bytes, not %d" % (answer.headers.get("Content-Length"), size))
    return 0


def fetch_zip(registry: Registry, release: Release, path: str, deadline: float) -> None:
    """Let the part file grow until it is the zip, going on where it ends.

    Raises Unreachable when the rest did not come (what came is kept), BadTransfer when it is not the zip.
    """
    size, have = release.zip_size_bytes, file_size(path)
    if have > size:
        remove(path)
        have = 0
    if have < size:
        with contextlib.closing(registry.open_zip(release.zip_url, have, deadline)) as answer:
            start = start_of_body(answer, have, size)
            if start is None:
                remove(path)
                raise Unreachable("the download cannot go on at byte %d: it starts over" % have)
            with open(path, "ab" if start else "wb") as part:
                try:
                    for chunk in read_chunks(answer, size - start, deadline):
                        part.write(chunk)
                finally:  # What came is kept, even if the power goes next.
                    part.flush()
                    os.fsync(part.fileno())
                    sync_folder(os.path.dirname(path))
        if file_size(path) < size:
            raise Unreachable("the connection ended after %d of %d bytes" % (file_size(path), size))
    if hash_file(path) != release.zip_sha256:
        remove(path)
        raise BadTransfer("the download of version %s has another SHA-256" % release.version)


def run_program(command: Sequence[str], folder: str, timeout_s: float, reason: str) -> bool:
    """Run a program on a model; False where it says (exit code 69) that this machine has not what it needs.

    Raises AgentError with the reason and one strike when it fails or takes too long.
    """
    environment = dict(os.environ, PERISCOPE_MODEL=folder)
    process = subprocess.Popen(list(command), stdout=2, env=environment, start_new_session=True)
    began = time.monotonic()
    code = None
    while code is None and time.monotonic() < began + timeout_s:
        try:
            code = process.wait(min(HEARTBEAT_S, timeout_s))
        except subprocess.TimeoutExpired:
            log("%s: %s is at work for %.0f s" % (reason, command[0], time.monotonic() - began))
    if code is None:
        os.killpg(process.pid, 9)
        process.wait()
    if code not in (os.EX_OK, os.EX_UNAVAILABLE):
        what = "takes too long" if code is None else "ends with %d" % code
        failure = AgentError("%s %s" % (" ".join(command), what), os.EX_DATAERR, reason)
        failure.strikes = 1
        raise failure
    return code == os.EX_OK


class Agent:
    """Makes what is on the shelf what the registry wants. All but ``status`` needs the shelf's lock."""

    occasion = "now"  # Which activations may happen; `boot` and `activate` allow more.

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config = config
        self.registry = registry
        self.shelf = Shelf(config.root)
        self.journal = Journal(self.shelf.state)
        self.trust = Trust(config, self.shelf.state)
        self.poll_interval_s = config.poll_interval_s

    def recover(self, thorough: bool) -> Optional[str]:
        """Clear litter and make ``current`` an intact release; None where there is none."""
        self.shelf.clear_litter()
        before = self.shelf.linked("current")
        lost = self.shelf.record(before)
        name = self.shelf.repair(thorough)
        if lost and name != before:
            self.journal.report("damaged" if name is None else "rolled_back", lost, "%s was damaged" % before)
            if name is not None:
                self.journal.report("active", self.shelf.record(name), "after %s was damaged" % before)
        return name

    def update(self, deadline: float) -> None:
        """One try to have the wanted release in use. Raises AgentError or OSError; the old one then stays."""
        release = self.fetch_release(deadline)
        try:
            release = self.vouch(release, self.newer_roots(release.root_version, deadline))
            self.bring_in(release, deadline)
        except (AgentError, OSError) as error:
            self.note_failure(release, error)
            raise
        finally:
            self.send_reports(deadline)

    def note_failure(self, release: Release, error: Exception) -> None:
        """Strike what is bad in itself, and tell the registry unless it is about the network or may wait."""
        strikes = getattr(error, "strikes", 0)
        if strikes:
            self.journal.strike(release.zip_sha256, release.counter, str(error), strikes)
            self.shelf.drop_downloads()
        if strikes or not isinstance(error, (Unreachable, Waits)):
            is_full = getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
            reason = getattr(error, "reason", "disk_full" if is_full else "disk")
            self.journal.report("failed", dict(release._asdict()), str(error), reason)

    def fetch_release(self, deadline: float) -> Release:
        """Ask what this device should have; an unchanged answer is taken from the journal."""
        known = self.journal.load("answer")
        source = "%s %s" % (self.config.registry_url, self.config.device)
        etag = str(known.get("etag", "")) if known.get("source") == source else ""
        body, new_etag = self.registry.ask(self.registry.device + "/desired", deadline, etag)
        try:
            release = parse_release(json.loads(body.decode("utf-8") if body else str(known.get("body"))))
        except ValueError as error:
            raise Unreachable("the answer is not a registry's: %s" % error)  # A Wi-Fi's log-in page, say.
        if body:
            self.journal.save("answer", {"source": source, "etag": new_etag, "body": body.decode("utf-8")})
        return release

    def newer_roots(self, version: int, deadline: float) -> Iterator[Dict[str, Any]]:
        """The signed roots up to a version that this robot has not, one by one."""
        while self.config.root_file and version > self.trust.root()["version"]:
            path = "/v1/roots/%d" % (self.trust.root()["version"] + 1)
            try:
                yield dict(json.loads(self.registry.ask(path, deadline)[0].decode("utf-8")))
            except ValueError as error:
                raise Unreachable("the answer is no root document: %s" % error)

    def vouch(self, offered: Release, roots: Iterable[Dict[str, Any]]) -> Release:
        """What is signed, where a root is pinned, after newer roots were taken. Raises Untrusted."""
        if not self.config.root_file:
            return offered
        for root in roots:
            self.trust.advance(root)
        return self.trust.vouch(offered, self.shelf.highest("counter"))

    def bring_in(self, release: Release, deadline: float) -> None:
        """Download, verify, unpack beside, switch; only tidy up when the release is in use already."""
        self.poll_interval_s = release.poll_interval_s or self.config.poll_interval_s
        name = self.shelf.linked("current")
        in_use = self.shelf.record(name).get("zip_sha256") == release.zip_sha256
        if name is None or not in_use or not self.shelf.is_intact(name, thorough=False):
            self.journal.require_no_quarantine(release.zip_sha256, release.counter)
            name = self.shelf.find(release.zip_sha256) or self.obtain(release, deadline)
        self.put_in_use(name, release, "")

    def obtain(self, release: Release, deadline: float) -> str:
        """Download and unpack; return the new release's name."""
        too_large = release.zip_size_bytes > self.config.max_zip_bytes
        if too_large or release.unpacked_bytes > self.config.max_unpacked_bytes:
            message = "version %s is larger than the ceilings" % release.version
            raise AgentError(message, os.EX_DATAERR, "too_large")
        part = os.path.join(self.shelf.downloads, release.zip_sha256 + ".part")
        self.shelf.drop_downloads(keep_sha256=release.zip_sha256)
        missing_bytes = release.zip_size_bytes - file_size(part)
        self.shelf.require_space(missing_bytes + release.unpacked_bytes + self.config.spare_bytes)
        self.journal.report("downloading", dict(release._asdict()))
        fetch_zip(self.registry, release, part, deadline)
        self.journal.report("unpacking", dict(release._asdict()))
        return self.shelf.add(part, release, self.config.max_unpacked_bytes)

    def put_in_use(self, name: str, release: Release, detail: str) -> None:
        """Switch to an intact release, unless it is in use already, and tidy up. Raises Waits, AgentError."""
        about = self.shelf.record(name)
        self.shelf.drop_downloads()
        if name != self.shelf.linked("current"):
            if os.path.exists(self.config.mission_lock):
                raise Waits("%s is here; a mission is on (%s)" % (name, self.config.mission_lock))
            self.try_out(name)
            if ACTIVATIONS.index(release.activation) > ACTIVATIONS.index(self.occasion):
                raise Waits("%s is ready; its activation is %s" % (name, release.activation))
            self.trust.accept(release)
            self.journal.save("trial", dict(self.now(), name=name, starts=0))
            self.shelf.activate(name)
            log("%s is in use: %s" % (name, release.model))
        self.trust.accept(release)
        self.shelf.prune(self.config.keep_releases)
        self.journal.lift(release.zip_sha256)
        self.journal.report("active", about, detail)

    def try_out(self, name: str) -> None:
        """Build the engine, and run the golden picture, by the programs that the robot has for it; once."""
        if self.journal.load("tried").get("name") == name:
            return
        folder = os.path.join(self.shelf.releases, name)
        for command, reason, state in (
            (self.config.warm_up, "warm_up", "warming"),
            (self.config.smoke_test, "smoke_test", "smoke_tested"),
        ):
            done = bool(command) and run_program(command, folder, self.config.warm_up_timeout_s, reason)
            if done:
                self.journal.report(state, self.shelf.record(name))
            else:
                log("no %s of %s: nothing here can do it" % (reason, name))
        self.journal.save("tried", {"name": name})

    def now(self) -> Dict[str, Any]:
        """This moment, in a time that no clock setting moves and that ends with this boot."""
        with open("/proc/sys/kernel/random/boot_id") as file:
            return {"boot": file.read().strip(), "since_s": time.monotonic()}

    def count_start(self) -> None:
        """A release on trial that was started STRIKES times and never ran long enough goes back."""
        trial = self.journal.load("trial")
        name = self.shelf.linked("current")
        if trial.get("name") != name or name is None:
            return
        if trial["starts"] >= STRIKES and next(self.shelf.others(), None) is not None:
            return self.go_back("%d starts, none of which lasted" % trial["starts"])
        self.journal.save("trial", dict(trial, starts=trial["starts"] + 1, **self.now()))

    def confirm(self) -> None:
        """A release on trial that ran long enough is good."""
        trial, now = self.journal.load("trial"), self.now()
        is_same = trial.get("name") == self.shelf.linked("current") and trial.get("boot") == now["boot"]
        if trial and is_same and now["since_s"] - trial["since_s"] >= self.config.healthy_s:
            self.journal.save("trial", {})
            self.journal.report("confirmed", self.shelf.record(trial["name"]))

    def go_back(self, why: str) -> None:
        """Put the last good release in use again, and the present one in quarantine. Raises AgentError."""
        bad = self.shelf.record(self.shelf.linked("current"))
        name = next(self.shelf.others(), None)
        if name is None:
            raise AgentError("there is no other intact release to go back to", os.EX_NOINPUT)
        counter = max(self.shelf.highest("counter"), int(bad.get("counter", 0)))
        self.journal.strike(str(bad.get("zip_sha256")), counter, why, STRIKES)
        self.shelf.activate(name, keep=False)
        self.journal.save("trial", {})  # Later than that: a cut between them leaves a trial of nothing in use.
        log("back to %s: %s" % (name, why))
        self.journal.report("rolled_back", bad, why)  # About the release that failed, as a rollout asks.
        self.journal.report("active", self.shelf.record(name), "back: " + why)

    def inventory(self) -> Dict[str, Any]:
        """What this robot is, for the registry."""
        told: Dict[str, Any] = {"python": platform.python_version(), "agent_version": AGENT_VERSION}
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            if self.config.probe:
                told.update(json.loads(subprocess.check_output(list(self.config.probe), timeout=30).decode()))
        return dict(told, group=None if self.config.group == "*" else self.config.group)

    def send_reports(self, deadline: float) -> None:
        """Send what waits. A failure costs nothing: it is tried again, or dropped if it cannot be taken."""
        try:
            about = self.inventory()
            while self.journal.pending() or self.journal.load("inventory") != about:
                batch = self.journal.pending()[:MAX_REPORTS_A_REQUEST]
                told = dict(about, free_bytes=shutil.disk_usage(self.shelf.root).free)
                content = {"reports": batch, "inventory": told}
                try:
                    self.registry.ask(self.registry.device + "/reports", deadline, content=content)
                except Refused as error:
                    log("reports are dropped: %s" % error)  # Else they would be sent for ever.
                rest = self.journal.pending()[len(batch) :]
                self.journal.save("reports", dict(self.journal.load("reports"), pending=rest))
                self.journal.save("inventory", about)
        except (Unreachable, OSError) as error:
            log("reports wait: %s" % error)

    def keep_trying(self, deadline: float, tries: int) -> None:
        """Update, going on after broken connections, until it is done or not worth trying."""
        for failures in range(1, tries + 1):
            try:
                return self.update(deadline)
            except Unreachable as error:
                ceiling_s = min(BACKOFF_CEILING_S, BACKOFF_BASE_S * 2.0 ** min(failures, 30))
                pause_s = max(random.uniform(0.0, ceiling_s), error.retry_after_s)
                if failures == tries or pause_s >= left_s(deadline):
                    raise
                log("%s; again in %.0f s" % (error, pause_s))
                time.sleep(pause_s)


def once(agent: Agent) -> None:
    """Ask what this device should have, and make it so."""
    with agent.shelf.locked():
        agent.recover(thorough=False)
        agent.confirm()
        agent.keep_trying(float("inf"), TRIES)


def run(agent: Agent) -> None:
    """Do `once` for ever, with the registry's interval and jitter, for systems without timers."""
    failures = 0
    while True:
        try:
            once(agent)
            failures = 0
        except (AgentError, OSError) as error:
            failures += 1
            log(str(error))
        time.sleep(random.uniform(0.5, 1.5) * agent.poll_interval_s * min(1 + failures, 10))


def boot(agent: Agent) -> None:
    """Verify the installed model, fall back if it is damaged, update if that is quick. Raises AgentError."""
    stop = None
    agent.occasion = "on_boot"
    try:
        with agent.shelf.locked():
            if agent.recover(thorough=True) is None and agent.config.factory_zip:
                unless_it_fails(bring_in_file, agent, agent.config.factory_zip)
            agent.count_start()
            code = os.EX_OK if agent.shelf.linked("current") else os.EX_NOINPUT
            # Being killed is safe at any point, so what hangs beyond its time is simply ended.
            stop = threading.Timer(agent.config.boot_timeout_s + HARD_STOP_S, os._exit, [code])
            stop.daemon = True
            stop.start()
            unless_it_fails(use_what_waits, agent)
            agent.keep_trying(time.monotonic() + agent.config.boot_timeout_s, sys.maxsize)
    except Exception as error:  # Whatever is wrong with the update: a robot with a good model starts.
        log("no update: %r" % error)
    finally:
        if stop is not None:
            stop.cancel()
    if not agent.shelf.is_intact(agent.shelf.linked("current"), thorough=False):
        raise AgentError("no verified model is installed", os.EX_NOINPUT)


def unless_it_fails(step: Callable[..., None], *arguments: Any) -> None:
    """Take a step that may fail without keeping the robot from the next one."""
    try:
        step(*arguments)
    except (AgentError, OSError) as error:
        log(str(error))


def start(agent: Agent) -> None:
    """Count a start of what uses the model: three of a release on trial that do not last, and it goes back."""
    with agent.shelf.locked():
        agent.recover(thorough=False)
        agent.count_start()


def activate(agent: Agent) -> None:
    """Put in use what was downloaded and waits for a boot or for this word."""
    agent.occasion = "manual"
    with agent.shelf.locked():
        agent.recover(thorough=False)
        use_what_waits(agent)


def use_what_waits(agent: Agent) -> None:
    """Switch to the release of the last answer where it is on the disk already; no network is needed."""
    with contextlib.suppress(ValueError, Untrusted):
        release = agent.vouch(parse_release(json.loads(str(agent.journal.load("answer").get("body")))), ())
        name = agent.shelf.find(release.zip_sha256)
        if name is not None:
            agent.journal.require_no_quarantine(release.zip_sha256, release.counter)
            agent.put_in_use(name, release, "")


def install(agent: Agent, path: str) -> None:
    """Put a zip from a file in use, with the same checks; at its next word the registry's wish wins again."""
    agent.occasion = "manual"
    with agent.shelf.locked():
        agent.recover(thorough=False)
        bring_in_file(agent, path)


def bring_in_file(agent: Agent, path: str) -> None:
    """Verify, unpack beside, switch. Raises AgentError, OSError; the old release then stays."""
    found = accept_file(path, agent.config.max_zip_bytes)
    release = agent.vouch(found, load_json(path + ".release.json").get("roots", []))
    name = agent.shelf.find(release.zip_sha256)
    if name is None:
        agent.shelf.require_space(release.unpacked_bytes + agent.config.spare_bytes)
        name = agent.shelf.add(path, release, agent.config.max_unpacked_bytes)
    agent.put_in_use(name, release, "installed from a file")


def rollback(agent: Agent) -> None:
    """Go back to the release before; the present one stays away for a day or until it is signed anew."""
    with agent.shelf.locked():
        agent.recover(thorough=False)
        agent.go_back("rolled back by hand")


def enrol(agent: Agent, code: str) -> None:
    """Get this device's token by a code that works once, and keep it in the token file."""
    deadline = time.monotonic() + agent.config.timeout_s
    path = agent.registry.device + ":enrol"
    body, _ = agent.registry.ask(path, deadline, content={"code": code})
    save(os.path.abspath(agent.config.token_file), (json.loads(body.decode())["token"] + "\n").encode(), 0o600)


def status(agent: Agent) -> None:
    """Print as JSON what is installed, on trial, quarantined and not yet reported."""
    current = agent.shelf.linked("current")
    told = {key: agent.shelf.record(current).get(key) for key in ("model", "version", "zip_sha256", "counter")}
    told.update(device=agent.config.device, agent_version=AGENT_VERSION, releases=agent.shelf.names())
    told.update(current=current, current_intact=agent.shelf.is_intact(current))
    told.update(previous=agent.shelf.linked("previous"), quarantine=agent.journal.load("quarantine"))
    told.update(trial=agent.journal.load("trial"), unsent_reports=len(agent.journal.pending()))
    print(json.dumps(told, indent=1, sort_keys=True))


COMMANDS: Dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (once, run, boot, start, activate, install, rollback, enrol, status)
}


def load_agent(config_path: str, needs_token: bool) -> Agent:
    """Read configuration and token. Raises AgentError."""
    try:
        with open(config_path, encoding="utf-8") as file:
            config = parse_config(file.read(1 << 20))
        if not needs_token:
            return Agent(config, Registry(config, ""))
        with open(config.token_file, encoding="ascii") as file:
            token = file.read(4096).strip()
        if not re.fullmatch(r"[!-~]+", token):
            raise AgentError("%s holds no token" % config.token_file, os.EX_CONFIG)
        return Agent(config, Registry(config, token))
    except (OSError, UnicodeDecodeError) as error:
        raise AgentError("cannot read the configuration: %s" % error, os.EX_CONFIG)


def parse_arguments(arguments: Sequence[str]) -> Dict[str, Any]:
    """Read the command line; ends the program with 64 where it is wrong."""
    parser = argparse.ArgumentParser(description="Keeps the model of one Jetson robot up to date.")
    parser.add_argument("--config", default=DEFAULT_CONFIG, help="default: %(default)s")
    parser.add_argument("--version", action="version", version=AGENT_VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=str(command.__doc__).split(" Raises")[0])
    commands.choices["install"].add_argument("path", metavar="FILE.zip")
    commands.choices["enrol"].add_argument("code", metavar="CODE")
    try:
        return vars(parser.parse_args(arguments))
    except SystemExit as wish:
        raise SystemExit(os.EX_USAGE if wish.code else os.EX_OK)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    chosen = parse_arguments(arguments)
    command = COMMANDS[chosen.pop("command")]
    try:
        agent = load_agent(chosen.pop("config"), needs_token=command is not enrol)
        for folder in (agent.shelf.releases, agent.shelf.downloads, agent.shelf.state):
            if command is not enrol:  # Which root may run; the folders are the agent's own user's.
                os.makedirs(folder, exist_ok=True)
        command(agent, **chosen)
        return os.EX_OK
    except AgentError as error:
        log(str(error))
        return error.exit_code
    except OSError as error:
        log("the disk fails: %s" % error)
        return os.EX_IOERR
    except Exception:  # The edge of the process: a defect, told with its place.
        traceback.print_exc()
        return os.EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
