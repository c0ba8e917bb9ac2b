from __future__ import annotations

import pytest

from periscope_training import waiting_reasons
from periscope_training.waiting_reasons import cause_of, why_no_pod, why_pod_waits

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("Unschedulable", NO_GPU, waiting_reasons.NO_GPU),
        ("Unschedulable", "0/1 nodes are available: 1 Insufficient memory.", waiting_reasons.NO_MEMORY),
        ("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.", waiting_reasons.NO_CPU),
        ("Unschedulable", "1 node(s) had untolerated taint(s)", waiting_reasons.NO_SUCH_NODE),
        ("Unschedulable", "no nodes available to schedule pods", waiting_reasons.NO_NODE),
        ("ErrImagePull", "not found", waiting_reasons.IMAGE),
        ("ImagePullBackOff", 'Back-off pulling image "x"', waiting_reasons.IMAGE),
        ("CreateContainerConfigError", 'secret "s" not found', waiting_reasons.CONFIG),
        ("ContainerCreating", "", waiting_reasons.BEING_MADE),
        ("", "", waiting_reasons.BEING_MADE),
    ],
)
def test_a_waiting_pod_says_why(reason: str, message: str, words: str) -> None:
    told = why_pod_waits(reason, message)

    assert told.startswith(words)
    assert message in told or words is waiting_reasons.BEING_MADE


def test_a_job_without_a_pod_says_why() -> None:
    quota = {"reason": "FailedCreate", "message": 'pods "p" is forbidden: exceeded quota: gpus'}
    policy = {"reason": "FailedCreate", "message": "violates PodSecurity"}

    assert why_no_pod([quota], queued=False).startswith(waiting_reasons.QUOTA)
    assert why_no_pod([policy], queued=False).startswith(waiting_reasons.REFUSED)
    assert why_no_pod([], queued=True) == waiting_reasons.QUEUE
    assert why_no_pod([], queued=False) == waiting_reasons.BEING_MADE


def test_kubernetes_own_words_are_cut_off() -> None:
    assert len(why_pod_waits("Unschedulable", "x" * 5000)) < 500


def test_every_reason_has_a_word_of_its_own_for_counting() -> None:
    assert cause_of(why_pod_waits("Unschedulable", NO_GPU)) == "gpu"
    assert cause_of(why_pod_waits("ErrImagePull", "not found")) == "image"
    assert cause_of("a launcher's own words") == "other"
    assert len(set(waiting_reasons.CAUSES.values())) == len(waiting_reasons.CAUSES) == 12
