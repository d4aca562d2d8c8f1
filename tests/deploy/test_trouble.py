"""Machines that fail are avoided, for a while."""

from __future__ import annotations

from ayllu.deploy.trouble import (
    FAILURES_SECONDS,
    QUARANTINE_SECONDS,
    STABLE_SECONDS,
    TOGETHER_SECONDS,
    WORST,
    Troubles,
)


def test_three_failures_in_ten_minutes_are_ten_minutes_of_quarantine() -> None:
    troubles = Troubles()
    troubles.fail("a", 0.0)
    troubles.fail("a", 100.0)
    assert troubles.quarantined(100.0) == {}
    troubles.fail("a", 599.0)
    assert troubles.quarantined(600.0) == {"a": QUARANTINE_SECONDS - 1.0}
    assert troubles.rank("a", 600.0) == WORST
    assert troubles.rank("b", 600.0) == 0
    assert troubles.quarantined(599.0 + QUARANTINE_SECONDS) == {}
    assert troubles.rank("a", 599.0 + QUARANTINE_SECONDS) == 0


def test_failures_that_are_far_apart_are_forgotten() -> None:
    troubles = Troubles()
    for number in range(20):
        troubles.fail("a", number * FAILURES_SECONDS / 2)
    assert troubles.quarantined(10 * FAILURES_SECONDS) == {}


def test_quarantine_begins_anew_only_after_three_more_failures() -> None:
    troubles = Troubles()
    for now in (0.0, 10.0, 20.0):
        troubles.fail("a", now)
    end = 20.0 + QUARANTINE_SECONDS
    troubles.fail("a", end)
    troubles.fail("a", end + 10.0)
    assert troubles.quarantine("a", end + 10.0) == 0.0
    troubles.fail("a", end + 20.0)
    assert troubles.quarantine("a", end + 20.0) == QUARANTINE_SECONDS


def test_many_requests_that_are_lost_at_once_are_one_failure() -> None:
    troubles = Troubles()
    for number in range(50):
        troubles.fail("a", number * TOGETHER_SECONDS / 50)
    assert troubles.quarantined(TOGETHER_SECONDS) == {}
    assert troubles.rank("a", TOGETHER_SECONDS) == 2


def test_a_machine_that_returns_is_used_again_once_it_is_stable() -> None:
    troubles = Troubles()
    troubles.look({"a", "b"}, 0.0)
    assert troubles.rank("a", 0.0) == 0  # one that comes for the first time is no trouble
    troubles.look({"b"}, 10.0)
    troubles.look({"a", "b"}, 20.0)
    assert troubles.rank("a", 20.0 + STABLE_SECONDS - 1) == 1
    assert troubles.rank("b", 21.0) == 0
    troubles.look({"b"}, 30.0)
    troubles.look({"a", "b"}, 31.0)  # it flaps: the time begins anew
    assert troubles.rank("a", 20.0 + STABLE_SECONDS + 1) == 1
    assert troubles.rank("a", 31.0 + STABLE_SECONDS) == 0


def test_a_machine_that_failed_is_used_again_once_it_is_stable() -> None:
    troubles = Troubles()
    troubles.fail("a", 5.0)
    assert troubles.rank("a", 5.0 + STABLE_SECONDS - 1) == 2
    assert troubles.rank("a", 5.0 + STABLE_SECONDS) == 0
