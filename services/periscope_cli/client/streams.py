"""What is read while it grows: a job's events and its log.

A service ends each stream after a quarter of an hour, proxies do it earlier, and a job that waits is silent
for hours. Both functions come again and go on where they were, until the job has ended.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from periscope.client import ServiceClient
from periscope_cli.client import calls
from periscope_cli.client.calls import JOB_ENDS, Document, PatientReader

SILENCE_S = 300.0
"""A stream that is silent for so long may have been forgotten by the other side."""

Note = Callable[[str], None]


def job_events(client: ServiceClient, job_path: str, note: Note = lambda _: None) -> Iterator[Document]:
    """``{"event": ..., **data}`` for each event of a job, the last one being ``end``.

    Raises:
        ServiceProblem: the service refused.
        ServiceUnreachable: it was away for too long; before, ``note`` is told.
    """
    reader = PatientReader(client, note)
    last_id, state = "", None
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        for event in _blocks(_received(reader, f"{job_path}/events", headers=headers)):
            last_id = event.get("id", last_id)
            told = {"event": event["event"], **json.loads(event["data"])}
            if event["event"] == "state":
                # Each connection begins with it.
                if told == state:
                    continue
                state = told
            yield told
            if event["event"] == "end":
                return
        time.sleep(calls.POLL_S)


def job_log(
    client: ServiceClient, job_path: str, attempt: int | None, note: Note = lambda _: None
) -> Iterator[str]:
    """What an attempt, or the newest one and all that come after it, print until the job has ended.

    Raises as ``job_events`` does.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in _FollowedLog(PatientReader(client, note), job_path, attempt).pieces():
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


class _FollowedLog:
    """How far one reader of a job's log is: so many bytes of this attempt's."""

    def __init__(self, reader: PatientReader, job_path: str, attempt: int | None) -> None:
        self._reader = reader
        self._job_path = job_path
        self._only = attempt
        self._attempt = attempt or 1
        self._offset_bytes = 0

    def pieces(self) -> Iterator[bytes]:
        numbers, _ = self._attempts()
        if self._only is None and numbers:
            self._attempt = numbers[-1]
        while True:
            only = {} if self._only is None else {"attempt": self._only}
            params = {"follow": "true", "offset": self._offset_bytes, **only}
            for piece in _received(self._reader, f"{self._job_path}/log", params=params):
                self._offset_bytes += len(piece)
                yield piece
            numbers, is_over = self._attempts()
            yield from self._missed(numbers, is_over=is_over)
            if is_over:
                return
            time.sleep(calls.POLL_S)

    def _attempts(self) -> tuple[Sequence[int], bool]:
        """Those that are wanted and there, and whether the last of them has said everything."""
        job = self._reader.get(self._job_path).json()
        numbers = [attempt["number"] for attempt in job["attempts"]]
        is_over = job["state"] in JOB_ENDS
        if self._only is None or self._only not in numbers:
            return numbers, is_over
        return [self._only], is_over or self._only != numbers[-1]

    def _missed(self, numbers: Sequence[int], *, is_over: bool) -> Iterator[bytes]:
        """What was printed while no stream was open, but for an attempt that the next stream follows."""
        for number in numbers:
            if number < self._attempt:
                continue
            self._attempt = number
            if number == numbers[-1] and not is_over:
                return
            whole = self._reader.get(f"{self._job_path}/log", params={"attempt": number}).content
            yield whole[self._offset_bytes :]
            # The stream went on into the next attempt's where it had more than this one's.
            self._offset_bytes = max(0, self._offset_bytes - len(whole))


def _received(reader: PatientReader, path: str, **how: Any) -> Iterator[bytes]:
    """The bytes of one stream until it ends, breaks or falls silent."""
    with reader.get(path, stream=True, timeout_s=SILENCE_S, **how) as answer:
        try:
            yield from answer.iter_content(None)
        except requests.RequestException:
            return
        finally:
            reader.heard()


def _blocks(pieces: Iterator[bytes]) -> Iterator[Mapping[str, str]]:
    """The fields of each whole server-sent event; one that broke off is left out, and comes again."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        for block in whole:
            lines = (line.partition(": ") for line in block.decode().splitlines())
            fields = {name: value for name, _, value in lines}
            if "event" in fields:
                yield fields
