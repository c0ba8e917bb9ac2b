"""Following the pods of an attempt: only what is new is asked for, and nothing is told twice or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from periscope_training.kubernetes_api import LogLine
from periscope_training.pod_logs import PodLogTail
from periscope_training.pod_records import PodRecord
from periscope_training.pod_state import PodState

FIRST = PodState("a", "train-a", "2026-11-26T10:00:00Z", node="east", running=True)
SECOND = PodState("b", "train-b", "2026-11-26T10:05:00Z", node="west", running=True)


class Node:
    """Two pods' logs with the second each line was written in, and a clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lines: dict[str, list[tuple[float, bytes]]] = {}
        self.pods: list[PodState] = [FIRST]
        self.records: list[PodRecord] = []
        self.asked: list[int | None] = []
        self.tail = PodLogTail(self, lambda: self.pods, lambda: self.records, lambda: self.now_s)  # type: ignore[arg-type]

    def writes(self, text: bytes, pod: PodState = FIRST) -> None:
        self.lines.setdefault(pod.name, []).append((self.now_s, text))

    def log_lines(self, pod: str, container: str, since_s: int | None) -> Sequence[LogLine] | None:
        self.asked.append(since_s)
        if pod not in self.lines:
            return None
        oldest = float("-inf") if since_s is None else self.now_s - since_s
        return [LogLine(f"{at:09.3f}", text) for at, text in self.lines[pod] if at >= oldest]

    def leaves(self, pod: PodState, log: bytes | None, message: str = "") -> None:
        self.pods.remove(pod)
        self.lines.pop(pod.name, None)
        if log is not None:
            gone = replace(pod, running=False, ended=True, exit_code=143, message=message)
            self.records.append(PodRecord(gone, log))


@pytest.fixture
def node() -> Node:
    node = Node()
    node.writes(b"one\n")
    node.writes(b"two\n")
    return node


def test_each_line_is_told_once_and_only_the_last_seconds_are_asked_for(node: Node) -> None:
    assert node.tail.more() == b"one\ntwo\n"
    # At the same time as the last line that was told.
    node.writes(b"three\n")
    assert node.tail.more() == b"three\n"
    node.now_s += 0.5
    node.writes(b"four\n")
    assert node.tail.more() == b"four\n"
    node.now_s += 60
    node.writes(b"five\n")
    assert node.tail.more() == b"five\n"
    assert node.tail.more() == b""
    assert node.asked == [None, 2, 3, 62, 2]


def test_a_line_that_still_grows_is_told_when_it_is_whole(node: Node) -> None:
    node.writes(b"thr")
    assert node.tail.more() == b"one\ntwo\n"
    node.lines[FIRST.name][-1] = (node.now_s, b"three\n")
    assert node.tail.more() == b"three\n"
    node.writes(b"the last word")
    node.pods[0] = replace(FIRST, running=False, ended=True, exit_code=0)
    assert node.tail.more() == b"the last word"
    assert len(node.asked) == 3
    assert node.tail.more() == b""
    assert len(node.asked) == 3, "an ended pod that is told to the end is not asked again"


def test_a_node_that_does_not_tell_is_asked_for_all_that_it_owes(node: Node) -> None:
    assert node.tail.more() == b"one\ntwo\n"
    kept = node.lines.pop(FIRST.name)
    node.now_s += 5
    assert node.tail.more() == b""
    node.lines[FIRST.name] = [*kept, (node.now_s, b"three\n")]
    node.now_s += 5
    assert node.tail.more() == b"three\n"


def test_what_a_pod_wrote_before_it_went_comes_from_its_record_and_then_the_next_pod_speaks(
    node: Node,
) -> None:
    assert node.tail.more() == b"one\ntwo\n"
    node.leaves(FIRST, None)
    node.pods.append(SECOND)
    node.writes(b"going on\n", SECOND)
    assert node.tail.more() == b"--- pod train-b on node west\ngoing on\n"
    # The leader, another replica, has put the record away by now.
    node.records.append(PodRecord(replace(FIRST, ended=True), b"one\ntwo\nSIGTERM\n"))
    assert node.tail.more() == b"--- pod train-a on node east\nSIGTERM\n"
    node.now_s += 1
    node.writes(b"step 3\n", SECOND)
    assert node.tail.more() == b"--- pod train-b on node west\nstep 3\n"


def test_who_comes_late_is_told_of_the_pods_that_have_gone(node: Node) -> None:
    node.leaves(FIRST, b"one\n", message="the node was drained")
    node.pods.append(SECOND)
    node.writes(b"going on\n", SECOND)

    assert node.tail.more() == b"one\nthe node was drained\n--- pod train-b on node west\ngoing on\n"
    assert node.tail.more() == b""


def test_the_record_of_a_very_long_log_has_lost_its_beginning_and_goes_on_all_the_same(node: Node) -> None:
    node.writes(b"3" * 5000 + b"\n")
    assert len(node.tail.more()) == 5009
    node.leaves(FIRST, b"3" * 4900 + b"\nfour\n")

    assert node.tail.more() == b"four\n"
