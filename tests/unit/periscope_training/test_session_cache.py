from __future__ import annotations

import threading

import pytest

from periscope_training.session_cache import Loaded, SessionCache


def test_what_was_used_last_stays_and_the_bytes_are_bounded() -> None:
    cache: SessionCache[str] = SessionCache(100)
    loads: list[str] = []

    def load(name: str) -> str:
        return cache.get(name, lambda: loads.append(name) or Loaded(name, 40))  # type: ignore[func-returns-value]

    load("a"), load("b"), load("a"), load("c"), load("a"), load("b")

    assert loads == ["a", "b", "c", "b"]
    assert cache.size_bytes == 80


def test_one_larger_than_the_limit_is_used_and_not_kept() -> None:
    cache: SessionCache[str] = SessionCache(100)

    assert cache.get("a", lambda: Loaded("a", 101)) == "a"
    assert cache.size_bytes == 0


def test_many_who_want_the_same_load_it_once() -> None:
    cache: SessionCache[int] = SessionCache(100)
    loads, begun = [], threading.Event()

    def load() -> Loaded[int]:
        loads.append(1)
        begun.wait(0.2)
        return Loaded(7, 1)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("k", load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (found, len(loads)) == ([7] * 8, 1)


def test_a_failed_load_is_not_kept_and_the_next_one_tries_again() -> None:
    cache: SessionCache[int] = SessionCache(100)

    def fail() -> Loaded[int]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        cache.get("k", fail)
    assert cache.get("k", lambda: Loaded(1, 1)) == 1
