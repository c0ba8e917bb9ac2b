#!/usr/bin/env python3
"""Keeps the model of one Jetson robot up to date and never leaves it without a good one.

One file, standard library only, Python 3.6 and later (JetPack 4): copy it to the robot and it runs.

    jetson_agent.py [--config FILE] once | run | boot | install FILE.zip | status

On disk, under ``root`` (a consumer resolves ``current`` once, when it starts, and opens what is there):

    current -> releases/12-0123456789ab     the model in use; switched by one rename
    previous -> releases/11-ba9876543210    the one before
    releases/<version>-<sha12>/             the unpacked zip and its record, .periscope-release.json
    releases/*.tmp, downloads/*.part        unfinished work: never taken for a model
    state/                                  journal (last answer, quarantine, unsent reports) and lock

Any command may be killed at any point: a release appears by one rename after everything in it was
verified and synced, and only then ``current`` moves. Nothing rests on the clock being right.

Trust, today: the registry's answer is believed because of TLS and this device's token; a zip is believed
because its SHA-256 and those of its members are the ones in that answer; a zip from a file is believed
because somebody held it. Nothing is signed yet. Every release passes ``accept_release`` (network) or
``accept_file`` before a byte of it is unpacked: that is where a signature is to be checked.

Exit codes:

    0   the wanted model is in use (boot: a verified model is in use, new or old)
    64  the command line is wrong            65  the release is refused; the old model stays
    66  no model is installed, or no file    69  the registry cannot be reached; the old model stays
    70  a defect of this program             74  the disk is full or fails; the old model stays
    75  another agent is at work             77  the registry refuses the token or knows no such device
    78  the configuration is wrong
"""

import argparse
import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import ssl
import stat
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request
import zipfile
import zlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

AGENT_VERSION = "0.1.0"
DEFAULT_CONFIG = "/etc/periscope-agent/config.json"

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES, MAX_SUMS_BYTES, MAX_MEMBERS, MAX_DETAIL_CHARS = 4 << 20, 1 << 20, 1000, 500
MAX_PENDING_REPORTS, MAX_REPORTS_A_REQUEST, MAX_QUARANTINED = 200, 50, 50
BACKOFF_BASE_S, BACKOFF_CEILING_S, MAX_RETRY_AFTER_S = 1.0, 300.0, 3600.0
TRIES = 5  # Before `once` leaves the rest of a download to the next call.
STRIKES, QUARANTINE_S = 3, 24 * 3600.0  # Damaged downloads before quarantine; a bad zip goes there at once.
HARD_STOP_S = 5.0  # After its time, `boot` ends even if something (a name server, say) never comes back.

RECORD_NAME = ".periscope-release.json"
SUMS_NAME, LABELS_NAME = "SHA256SUMS", "labels.txt"
SHA256 = re.compile(r"[0-9a-f]{64}")
RELEASE_NAME = re.compile(r"[0-9a-z]+-[0-9a-f]{12}(-[0-9]+)?")
MEMBER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
SUMS_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class AgentError(Exception):
    """A failure that this program foresees; a class of its own only where the program acts on it."""

    exit_code = os.EX_SOFTWARE

    def __init__(self, message: str, exit_code: Optional[int] = None) -> None:
        super().__init__(message[:MAX_DETAIL_CHARS])
        self.exit_code = exit_code or self.exit_code


class Unreachable(AgentError):
    """No usable answer came: try again later and go on from there."""

    exit_code = os.EX_UNAVAILABLE
    retry_after_s = 0.0


class BadTransfer(Unreachable):
    """A whole zip arrived, but not the bytes that were promised: download it from the start."""


class Refused(AgentError):
    """The registry answered, and will not serve this device: the same request is not worth repeating."""

    exit_code = os.EX_NOPERM


class BadRelease(AgentError):
    """The zip breaks a rule, and no download makes it better."""

    exit_code = os.EX_DATAERR


class Config(NamedTuple):
    """What the configuration file may say, in JSON; a key that is not here is refused."""

    registry_url: str
    device: str
    token_file: str
    root: str = "/var/lib/periscope-agent"
    ca_file: str = ""  # PEM; empty: the system's certificate authorities
    proxy: bool = False  # The registry passes the zip on, for robots that do not reach the object store.
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
    version: Optional[int]  # None: from a file.
    zip_url: str
    zip_sha256: str
    zip_size_bytes: int
    members: Optional[Tuple[Member, ...]]  # None: not told; then SHA256SUMS in the zip alone decides
    poll_interval_s: Optional[float]

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
    except (ValueError, TypeError) as error:
        raise AgentError("the configuration is no JSON object: %s" % error, os.EX_CONFIG)
    unknown = sorted(set(given) - set(Config._fields))
    missing = sorted({"registry_url", "device", "token_file"} - set(given))
    if unknown or missing:
        raise AgentError("unknown keys: %s; missing keys: %s" % (unknown, missing), os.EX_CONFIG)
    for name, value in given.items():
        wanted = type(Config._field_defaults.get(name, ""))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number if wanted is float else type(value) is wanted) or (number and value < 0):
            raise AgentError("%s must be a %s, and not negative" % (name, wanted.__name__), os.EX_CONFIG)
    return Config(**given)


def accept_release(body: bytes) -> Release:
    """Read the registry's answer; the one gate through which a release from the network comes.

    Works on the raw bytes, so that a signature over them can be checked here first. Ignores fields that it
    does not know: the registry may be newer. Raises Unreachable when this is, say, a Wi-Fi log-in page.
    """
    try:
        document = json.loads(body.decode("utf-8"))
        offered, listed = document["zip"], document.get("members")
        interval = document.get("poll_interval_s")
        interval_s = None if interval is None else min(max(float(interval), 1.0), 86400.0)
        members = None if listed is None else tuple(parse_member(member) for member in listed)
        url, sha256, size_bytes = str(offered["url"]), str(offered["sha256"]), int(offered["size_bytes"])
        version = int(document["version"])
        release = Release(str(document["model"]), version, url, sha256, size_bytes, members, interval_s)
        if not SHA256.fullmatch(sha256) or size_bytes < 1 or version < 1:
            raise ValueError("no SHA-256, size or version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable("the answer is not a registry's: %r" % error)
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


def wanted_sums(
    files: Dict[str, zipfile.ZipInfo], sums_text: Optional[str], promised: Optional[Sequence[Member]]
) -> Dict[str, str]:
    """Which SHA-256 each file must have, by SHA256SUMS, by promise, or both. Raises BadRelease."""
    lines = [SUMS_LINE.fullmatch(line) for line in (sums_text or "").splitlines()]
    sums = {line.group(2): line.group(1) for line in lines if line}
    told = {member.name: member.sha256 for member in promised or ()}
    sources = [sums] if promised is None else [told] if sums_text is None else [sums, told]
    names_agree = all(set(source) | {SUMS_NAME} == set(files) | {SUMS_NAME} for source in sources)
    sizes_agree = all(files[m.name].file_size == m.size_bytes for m in promised or () if m.name in files)
    hashes_agree = all(told.get(name, sums[name]) == sums[name] for name in sums)
    if len(sums) != len(lines) or not (names_agree and sizes_agree and hashes_agree):
        raise BadRelease("the zip does not hold just the members that SHA256SUMS and the registry name")
    return dict(sums, **told)


def start_of_body(status: int, headers: Any, have: int, size: int) -> Optional[int]:
    """Where a body begins in the zip; None: start over. Raises Unreachable when it is not the zip's."""
    match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "")) if status == 206 else None
    if status in (206, 416):
        goes_on = match and int(match.group(1)) == have and int(match.group(2)) == size
        return have if goes_on else None
    if headers.get("Content-Length") != str(size):
        raise Unreachable("the download has %s bytes, not %d" % (headers.get("Content-Length"), size))
    return 0


def log(message: str) -> None:
    """One line on standard error; the journal adds the time."""
    print(message, file=sys.stderr, flush=True)


def sync_folder(path: str) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_json(path: str, value: object) -> None:
    """Replace a small file whole; a reader sees the old or the new one."""
    with open(path + ".new", "wb") as file:
        file.write(json.dumps(value, indent=1).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(os.path.dirname(path))


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
        """Keep a second agent away. Raises AgentError."""
        with open(os.path.join(self.state, "lock"), "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AgentError("another agent is at work on %s" % self.root, os.EX_TEMPFAIL)
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
        record: Dict[str, Any] = {key: getattr(release, key) for key in ("model", "version", "zip_sha256")}
        record["sequence"] = 1 + max([0] + [int(self.record(n).get("sequence", 0)) for n in self.names()])
        folder = os.path.join(self.releases, name + ".tmp")
        remove(folder)
        os.mkdir(folder)
        try:
            members = unpack(zip_path, folder, release.members, max_unpacked_bytes)
            record["members"] = [dict(member._asdict()) for member in members]
            save_json(os.path.join(folder, RECORD_NAME), record)
            os.rename(folder, os.path.join(self.releases, name))
            sync_folder(self.releases)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return name

    def activate(self, name: str) -> None:
        """Make an intact release the current one and remember the one before, if it is worth it."""
        old = self.linked("current")
        if self.is_intact(old, thorough=False):
            self._point("previous", str(old))
        self._point("current", name)

    def _point(self, link: str, name: str) -> None:
        path = os.path.join(self.root, link)
        remove(path + ".new")
        os.symlink(os.path.join("releases", name), path + ".new")
        os.replace(path + ".new", path)
        sync_folder(self.root)

    def repair(self, thorough: bool) -> Optional[str]:
        """The current release if it is intact, else the best other that is; None where there is none."""
        current = self.linked("current")
        if self.is_intact(current, thorough):
            return current
        if self.record(current):  # From now on it is no release, whatever a quicker look would say.
            record = os.path.join(self.releases, str(current), RECORD_NAME)
            os.replace(record, record + ".damaged")
        for name in [self.linked("previous")] + self.names():
            if name is not None and self.is_intact(name):
                log("%s is damaged or missing: back to %s" % (current or "current", name))
                self._point("current", name)
                return name
        return None

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
            raise AgentError("%d bytes of disk are needed and not free" % needed_bytes, os.EX_IOERR)


def unpack(
    zip_path: str, folder: str, promised: Optional[Sequence[Member]], max_unpacked_bytes: int
) -> List[Member]:
    """Write the members of a zip into an empty folder, each verified and synced. Raises BadRelease."""
    members = []
    try:
        with zipfile.ZipFile(zip_path) as archive:
            files = safe_files(archive.infolist(), max_unpacked_bytes)
            if SUMS_NAME in files and files[SUMS_NAME].file_size > MAX_SUMS_BYTES:
                raise BadRelease("SHA256SUMS is too large")
            sums_text = archive.read(SUMS_NAME).decode("utf-8") if SUMS_NAME in files else None
            sums = wanted_sums(files, sums_text, promised)
            for name in sorted(files):
                members.append(extract(archive, files[name], os.path.join(folder, name), sums.get(name)))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadRelease("the zip cannot be read: %s" % error)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        raise BadRelease("members overlap, or a name or the index is unusable: %s" % error)
    for path, _, _ in os.walk(folder):
        sync_folder(path)
    return members


def extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, sha256: Optional[str]) -> Member:
    """Write one member; ``sha256`` None (SHA256SUMS itself) accepts any. Raises BadRelease, OSError."""
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
    """The release that a zip on disk is; the one gate through which a release from a file comes."""
    if not os.path.isfile(path):
        raise AgentError("there is no file %s" % path, os.EX_NOINPUT)
    if file_size(path) > max_zip_bytes:
        raise AgentError("the zip has more bytes than max_zip_bytes", os.EX_DATAERR)
    return Release(os.path.basename(path), None, "", hash_file(path), file_size(path), None, None)


class Journal:
    """What the agent remembers between calls: last answer, zips in quarantine, reports not yet sent."""

    def __init__(self, state: str) -> None:
        self._path = os.path.join(state, "journal.json")

    def load(self, key: str) -> Dict[str, Any]:
        """One part of the journal; empty where it is absent or damaged."""
        value = load_json(self._path).get(key)
        return value if isinstance(value, dict) else {}

    def save(self, key: str, value: Dict[str, Any]) -> None:
        """Replace one part of the journal, if it is not the same."""
        saved = load_json(self._path)
        if saved.get(key) != value:
            save_json(self._path, dict(saved, **{key: value}))

    def quarantine_reason(self, sha256: str) -> Optional[str]:
        """Why a zip is not tried now, or None when it may be: after a day each gets another chance."""
        entry = self.load("quarantine").get(sha256, {})
        rested = abs(time.time() - entry.get("at_s", 0)) > QUARANTINE_S
        return None if rested or entry.get("strikes", 0) < STRIKES else str(entry["reason"])

    def strike(self, sha256: str, reason: str, strikes: int) -> None:
        """Note that a zip failed; after STRIKES of them it is in quarantine."""
        entries = self.load("quarantine")
        strikes += entries.pop(sha256, {}).get("strikes", 0) % STRIKES
        entries[sha256] = {"reason": reason, "strikes": strikes, "at_s": time.time()}
        self.save("quarantine", dict(list(entries.items())[-MAX_QUARANTINED:]))

    def lift(self, sha256: str) -> None:
        """Forget a zip that turned out to be good."""
        entries = self.load("quarantine")
        self.save("quarantine", {sha: entries[sha] for sha in entries if sha != sha256})

    def pending(self) -> List[Dict[str, Any]]:
        """Reports not yet sent, oldest first."""
        return list(self.load("reports").get("pending", []))

    def report(self, state: str, about: Dict[str, Any], detail: str = "") -> None:
        """Keep a report for the registry, unless it says the same as the one before; the oldest may go."""
        news = {key: about.get(key) for key in ("model", "version", "zip_sha256")}
        news.update(state=state, detail=detail[:MAX_DETAIL_CHARS])
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
        self._device = "%s/v1/devices/%s" % (self._base, urllib.parse.quote(config.device, safe=""))
        # Neither redirects nor error statuses have a handler: every answer comes back as it is.
        self._opener = urllib.request.OpenerDirector()
        context = ssl.create_default_context(cafile=config.ca_file or None)
        for handler in (urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(context=context)):
            self._opener.add_handler(handler)

    def _open(self, url: str, deadline: float, headers: Dict[str, str], body: Optional[bytes] = None) -> Any:
        """Any HTTP answer, still to be read. The token goes to the registry's own addresses only."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise Unreachable("an address that is not HTTP was offered: %s" % url)
        sent = dict(headers, **{"User-Agent": "periscope-jetson-agent/" + AGENT_VERSION})
        if url.startswith(self._base + "/v1/"):
            sent["Authorization"] = "Bearer " + self._token
        timeout_s = min(self._config.timeout_s, left_s(deadline))
        try:
            return self._opener.open(urllib.request.Request(url, body, sent), timeout=timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable("%s://%s: %r" % (parts.scheme, parts.netloc, error))

    def ask(
        self, what: str, deadline: float, headers: Dict[str, str], body: Optional[bytes] = None
    ) -> Tuple[bytes, str]:
        """A small answer about this device: body (empty when not modified) and ETag."""
        with contextlib.closing(self._open(self._device + what, deadline, headers, body)) as answer:
            if answer.code == 304:
                return b"", ""
            promised = str(answer.headers.get("Content-Length", ""))
            most = int(promised) if promised.isdigit() else MAX_ANSWER_BYTES
            content = b"".join(read_chunks(answer, min(most, MAX_ANSWER_BYTES), deadline))
            if promised.isdigit() and len(content) != most:
                raise Unreachable("the registry's answer was cut off, or is too long")
            if answer.code >= 300:
                raise failure_of("the registry", answer, content)
            return content, answer.headers.get("ETag", "")

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
            start = start_of_body(answer.code, answer.headers, have, size)
            if start is None:
                remove(path)
                raise Unreachable("the download cannot go on at byte %d: it starts over" % have)
            with open(path, "ab" if start else "wb") as part:
                for chunk in read_chunks(answer, size - start, deadline):
                    part.write(chunk)
                part.flush()
                os.fsync(part.fileno())
        if file_size(path) < size:
            raise Unreachable("the connection ended after %d of %d bytes" % (file_size(path), size))
    if hash_file(path) != release.zip_sha256:
        remove(path)
        raise BadTransfer("the download of version %s has another SHA-256" % release.version)


class Agent:
    """Makes what is on the shelf what the registry wants. All but ``status`` needs the shelf's lock."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config = config
        self.registry = registry
        self.shelf = Shelf(config.root)
        self.journal = Journal(self.shelf.state)
        self.poll_interval_s = config.poll_interval_s

    def recover(self, thorough: bool) -> Optional[str]:
        """Clear litter and make ``current`` an intact release; None where there is none."""
        self.shelf.clear_litter()
        before = self.shelf.linked("current")
        lost = self.shelf.record(before)
        name = self.shelf.repair(thorough)
        if lost and name != before:
            state = "damaged" if name is None else "rolled_back"
            self.journal.report(state, self.shelf.record(name) or lost, "%s was damaged" % before)
        return name

    def update(self, deadline: float) -> None:
        """One try to have the wanted release in use. Raises AgentError or OSError; the old one then stays."""
        release = self.fetch_release(deadline)
        try:
            self.bring_in(release, deadline)
        except (AgentError, OSError) as error:
            if isinstance(error, (BadRelease, BadTransfer)):
                strikes = STRIKES if isinstance(error, BadRelease) else 1
                self.journal.strike(release.zip_sha256, str(error), strikes)
            if isinstance(error, BadTransfer) or not isinstance(error, (Unreachable, OSError)):
                self.shelf.drop_downloads()
            if isinstance(error, BadTransfer) or not isinstance(error, Unreachable):
                self.journal.report("failed", dict(release._asdict()), str(error))
            raise
        finally:
            self.send_reports(deadline)

    def fetch_release(self, deadline: float) -> Release:
        """Ask what this device should have; an unchanged answer is taken from the journal."""
        known = self.journal.load("answer")
        source = "%s %s" % (self.config.registry_url, self.config.device)
        etag = str(known.get("etag", "")) if known.get("source") == source else ""
        body, new_etag = self.registry.ask("/desired", deadline, {"If-None-Match": etag} if etag else {})
        if not body:
            return accept_release(str(known.get("body")).encode("utf-8"))
        release = accept_release(body)
        self.journal.save("answer", {"source": source, "etag": new_etag, "body": body.decode("utf-8")})
        return release

    def bring_in(self, release: Release, deadline: float) -> None:
        """Download, verify, unpack beside, switch; only tidy up when the release is in use already."""
        self.poll_interval_s = release.poll_interval_s or self.config.poll_interval_s
        name = self.shelf.linked("current")
        in_use = self.shelf.record(name).get("zip_sha256") == release.zip_sha256
        if name is None or not in_use or not self.shelf.is_intact(name, thorough=False):
            name = self.shelf.find(release.zip_sha256) or self.obtain(release, deadline)
        self.put_in_use(name, release, "")

    def obtain(self, release: Release, deadline: float) -> str:
        """Download and unpack; return the new release's name."""
        reason = self.journal.quarantine_reason(release.zip_sha256)
        if reason is not None:
            raise AgentError("version %s is in quarantine: %s" % (release.version, reason), os.EX_DATAERR)
        too_large = release.zip_size_bytes > self.config.max_zip_bytes
        if too_large or release.unpacked_bytes > self.config.max_unpacked_bytes:
            raise AgentError("version %s is larger than the ceilings" % release.version, os.EX_DATAERR)
        part = os.path.join(self.shelf.downloads, release.zip_sha256 + ".part")
        self.shelf.drop_downloads(keep_sha256=release.zip_sha256)
        missing_bytes = release.zip_size_bytes - file_size(part)
        self.shelf.require_space(missing_bytes + release.unpacked_bytes + self.config.spare_bytes)
        fetch_zip(self.registry, release, part, deadline)
        return self.shelf.add(part, release, self.config.max_unpacked_bytes)

    def put_in_use(self, name: str, release: Release, detail: str) -> None:
        """Switch to an intact release, unless it is in use already, and tidy up."""
        if name != self.shelf.linked("current"):
            self.shelf.activate(name)
            log("%s is in use: %s" % (name, release.model))
        self.shelf.drop_downloads()
        self.shelf.prune(self.config.keep_releases)
        self.journal.lift(release.zip_sha256)
        self.journal.report("active", self.shelf.record(name), detail)

    def send_reports(self, deadline: float) -> None:
        """Send what waits. A failure costs nothing: it is tried again, or dropped if it cannot be taken."""
        try:
            while self.journal.pending():
                batch = self.journal.pending()[:MAX_REPORTS_A_REQUEST]
                body = json.dumps({"reports": batch}).encode("utf-8")
                try:
                    self.registry.ask("/reports", deadline, {"Content-Type": "application/json"}, body)
                except Refused as error:
                    log("reports are dropped: %s" % error)  # Else they would be sent for ever.
                rest = self.journal.pending()[len(batch) :]
                self.journal.save("reports", dict(self.journal.load("reports"), pending=rest))
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
        agent.keep_trying(float("inf"), TRIES)


def run(agent: Agent) -> None:
    """Update for ever, with the registry's interval and jitter; failures are logged and tried again."""
    failures, thorough = 0, True
    while True:
        try:
            with agent.shelf.locked():
                agent.recover(thorough)
                agent.keep_trying(float("inf"), TRIES)
            failures, thorough = 0, False
        except (AgentError, OSError) as error:
            failures += 1
            log(str(error))
        time.sleep(random.uniform(0.5, 1.5) * agent.poll_interval_s * min(1 + failures, 10))


def boot(agent: Agent) -> None:
    """Verify the installed model, fall back if it is damaged, update if that is quick. Raises AgentError."""
    stop = None
    try:
        with agent.shelf.locked():
            code = os.EX_NOINPUT if agent.recover(thorough=True) is None else os.EX_OK
            # Being killed is safe at any point, so what hangs beyond its time is simply ended.
            stop = threading.Timer(agent.config.boot_timeout_s + HARD_STOP_S, os._exit, [code])
            stop.daemon = True
            stop.start()
            agent.keep_trying(time.monotonic() + agent.config.boot_timeout_s, sys.maxsize)
    except Exception as error:  # Whatever is wrong with the update: a robot with a good model starts.
        log("no update: %r" % error)
    finally:
        if stop is not None:
            stop.cancel()
    if not agent.shelf.is_intact(agent.shelf.linked("current"), thorough=False):
        raise AgentError("no verified model is installed", os.EX_NOINPUT)


def install(agent: Agent, path: str) -> None:
    """Put a zip from a file in use, with the same checks; at its next word the registry's wish wins again."""
    with agent.shelf.locked():
        agent.recover(thorough=False)
        release = accept_file(path, agent.config.max_zip_bytes)
        name = agent.shelf.find(release.zip_sha256)
        if name is None:
            agent.shelf.require_space(release.unpacked_bytes + agent.config.spare_bytes)
            name = agent.shelf.add(path, release, agent.config.max_unpacked_bytes)
        agent.put_in_use(name, release, "installed from a file")


def status(agent: Agent) -> None:
    """Print as JSON what is installed, quarantined and not yet reported."""
    current = agent.shelf.linked("current")
    told = {key: agent.shelf.record(current).get(key) for key in ("model", "version", "zip_sha256")}
    told.update(device=agent.config.device, agent_version=AGENT_VERSION, releases=agent.shelf.names())
    told.update(current=current, current_intact=agent.shelf.is_intact(current))
    told.update(previous=agent.shelf.linked("previous"), quarantine=agent.journal.load("quarantine"))
    print(json.dumps(dict(told, unsent_reports=len(agent.journal.pending())), indent=1, sort_keys=True))


COMMANDS: Dict[str, Callable[..., None]] = {f.__name__: f for f in (once, run, boot, install, status)}


def load_agent(config_path: str) -> Agent:
    """Read configuration and token. Raises AgentError."""
    try:
        with open(config_path, encoding="utf-8") as file:
            config = parse_config(file.read(1 << 20))
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
    try:
        return vars(parser.parse_args(arguments))
    except SystemExit as wish:
        raise SystemExit(os.EX_USAGE if wish.code else os.EX_OK)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    chosen = parse_arguments(arguments)
    command = COMMANDS[chosen.pop("command")]
    try:
        agent = load_agent(chosen.pop("config"))
        for folder in (agent.shelf.releases, agent.shelf.downloads, agent.shelf.state):
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
