"""From an uploaded archive to a version's content: check every file, write shards, describe them.

What is found out is noted in a journal on the way. Whoever goes on after a worker died unpacks anew, decodes
nothing twice and writes no finished shard again; the version comes out the same byte for byte.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from periscope.store import ObjectStore
from periscope_dataset.basing import Base
from periscope_dataset.checking import (
    MAX_DECODING_BYTES,
    CheckedLabel,
    Rules,
    Verdict,
    check_image,
    check_label,
)
from periscope_dataset.class_mapping import ClassMapping
from periscope_dataset.facts import packed, unpacked
from periscope_dataset.findings import Findings
from periscope_dataset.foreign import Loaded, foreign_place, is_foreign, load_foreign
from periscope_dataset.grid import judged
from periscope_dataset.journal import Journal
from periscope_dataset.layout import place_of
from periscope_dataset.lint import Lint
from periscope_dataset.parallel import MemoryBudget, cores, in_order
from periscope_dataset.shards import SHARD_BYTES
from periscope_dataset.sources import Source, Unpacked
from periscope_dataset.splits import Content
from periscope_dataset.storing import store_content

CHUNK_MEMBERS = 16
"""Checked by one thread in one go."""
NOTE_MEMBERS = 1024
"""Noted together; so many are checked again at most."""
MAX_NOTED_BYTES = 16 << 20
"""Of labels' texts together; what is more is read again."""
DOWNLOADED, CHECKED = 0.1, 0.8
"""Shares of the progress at which a stage ends."""

Options = Mapping[str, Any]
Report = Callable[[float, str], None]
"""Takes the progress, 0-1, and the stage; may raise to stop the ingest."""


@dataclass(frozen=True)
class Bench:
    """Where the work is done."""

    store: ObjectStore
    scratch: Path
    """A folder that is made, and removed in the end."""
    report: Report
    journal: Journal
    budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(MAX_DECODING_BYTES))
    shard_bytes: int = SHARD_BYTES
    base: Base | None = None
    """The version that this one is made from."""


def make_version(bench: Bench, source: Source, options: Options, findings: Findings) -> dict[str, Any] | None:
    """The content of a version's manifest, its blobs stored; None when ``findings`` has errors.

    Raises:
        IngestRefused: the archive as a whole cannot be taken.
        StoreUnavailable: the store went away; try again.
    """
    shutil.rmtree(bench.scratch, ignore_errors=True)
    bench.scratch.mkdir(parents=True)
    try:
        source.prepare(bench.scratch, lambda done: bench.report(DOWNLOADED * done, "download"))
        content = Content(_rules(bench, options), findings, bench.scratch)
        _check_members(bench, source, content, options)
        source.finish()
        return _judged_and_stored(bench, source, content, options, findings)
    finally:
        shutil.rmtree(bench.scratch, ignore_errors=True)


def _judged_and_stored(
    bench: Bench, source: Source, content: Content, options: Options, findings: Findings
) -> dict[str, Any] | None:
    if not content.finish(unlabelled=options["unlabelled"]):
        return None
    described: dict[str, Any] = {
        "source": source.described(),
        "options": dict(options),
        "division": content.division,
    }
    splits = {name: judged(files, content.classes, bench.scratch) for name, files in content.splits.items()}
    if content.classes is not None:
        lint = Lint(content.classes, described["options"], findings, splits)
        lint.run(lambda: bench.report(CHECKED, "lint"))
    described["findings"] = findings.report()
    stored = store_content(
        bench.store, bench.journal, bench.scratch, splits, content.classes,
        shard_bytes=bench.shard_bytes,
        on_progress=lambda done: bench.report(CHECKED + (1 - CHECKED) * done, "store"),
    )  # fmt: skip
    return described | stored


def _rules(bench: Bench, options: Options) -> Rules:
    pad = options["pad"]
    return Rules(
        mapping=ClassMapping.of(options["classes"]),
        pad=(pad["width"], pad["height"]) if pad else None,
        val_min_box_size=options["val_min_box_size"],
        budget=bench.budget,
    )


def _loaded(bench: Bench, source: Source, options: Options, division: dict[str, Any]) -> Iterator[Loaded]:
    names = source.names()
    uploaded = _uploaded(bench, source, options, division) if names or bench.base is None else iter(())
    return uploaded if bench.base is None else bench.base.join(uploaded, bench.scratch)


def _uploaded(bench: Bench, source: Source, options: Options, division: dict[str, Any]) -> Iterator[Loaded]:
    if is_foreign(source.names(), options):
        unpacked_all = _watched(bench, source.members(bench.scratch, foreign_place))
        yield from load_foreign(unpacked_all, bench.scratch, options, division)
        return
    for member, file in source.members(bench.scratch, place_of):
        yield Loaded(member, file)


def _watched(bench: Bench, members: Unpacked) -> Unpacked:
    """What is told apart only when all of it is there takes a while until then, and may be stopped."""
    for number, pair in enumerate(members):
        if number % CHUNK_MEMBERS == 0:
            bench.report(DOWNLOADED, "unpack")
        yield pair


def _check_members(bench: Bench, source: Source, content: Content, options: Options) -> None:
    """Check all pictures and labels on all cores; what was noted before is believed."""
    total, done = max(source.size_bytes(), 1), 0
    loaded = (
        item
        for item in _loaded(bench, source, options, content.division)
        if content.accepts(item.member.path, item.member.place)
    )
    chunks = _chunks(loaded, CHUNK_MEMBERS)
    for number in itertools.count():
        batch = itertools.islice(chunks, NOTE_MEMBERS // CHUNK_MEMBERS)
        checked = _batch(bench, f"checked/{number:06d}", batch, partial(_verdict, content.rules))
        count = 0
        for item, verdict in checked:
            content.enter(item.member.path, item.member.place, verdict)
            count += 1
            done += item.member.size_bytes
            if count % CHUNK_MEMBERS == 0:
                bench.report(DOWNLOADED + (CHECKED - DOWNLOADED) * min(done / total, 1), "check")
        if not count:
            return


def _batch(
    bench: Bench, name: str, chunks: Iterator[Sequence[Loaded]], check: Callable[[Loaded], Verdict]
) -> Iterator[tuple[Loaded, Verdict]]:
    """One record's worth of members with what is true of them."""
    noted = bench.journal.load(name)
    if noted is not None:
        items = itertools.chain.from_iterable(chunks)
        for item, told in zip(items, noted["verdicts"], strict=True):
            if "text" in told:
                (item.file.parent / told["label"]["file"]).write_text(told["text"])
            yield item, unpacked(told)
        return
    told_all, text_bytes = [], 0

    def work(chunk: Sequence[Loaded]) -> list[tuple[Loaded, Verdict]]:
        return [(item, check(item)) for item in chunk]

    for pairs in in_order(work, chunks, cores(), 2 * cores() + 2):
        for item, verdict in pairs:
            told_all.append(_told(item, verdict))
            text_bytes += len(told_all[-1].get("text", ""))
            if text_bytes > MAX_NOTED_BYTES:
                told_all.clear()
            yield item, verdict
    if told_all and text_bytes <= MAX_NOTED_BYTES:
        bench.journal.note(name, {"verdicts": told_all})


def _told(item: Loaded, verdict: Verdict) -> dict[str, Any]:
    """For the journal; of a label that is not in the archive as it is, the text too."""
    told = packed(verdict)
    if isinstance(verdict.fact, CheckedLabel) and (item.make or item.file.name != verdict.fact.file):
        told["text"] = (item.file.parent / verdict.fact.file).read_text()
    return told


def _verdict(rules: Rules, item: Loaded) -> Verdict:
    path = item.member.path
    if item.member.place.kind == "images":
        return check_image(path, item.file, rules)
    if item.make is None:
        return check_label(path, item.file, rules)
    label = item.make()
    if label.finding is not None:
        return Verdict(None, [label.finding])
    item.file.write_text(label.text)
    return check_label(path, item.file, rules)


def _chunks(items: Iterator[Loaded], count: int) -> Iterator[list[Loaded]]:
    while chunk := list(itertools.islice(items, count)):
        yield chunk
