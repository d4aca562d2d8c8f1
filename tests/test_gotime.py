from __future__ import annotations

import time

import pytest

from ayllu.gotime import FOREVER, format_time, parse_duration, parse_keep_alive


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("-1m", -60),
        ("+2s", 2),
        ("0", 0),
        ("-0", 0),
        ("1.5s", 1.5),
        (".5h", 1800),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("7ns", 7e-9),
    ],
)
def test_durations_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5m ", "1h-2m", "--1m", "5x", "1e3s", "-"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (10, 10),
        (0, 0),
        (-1, FOREVER),
        (2.5, 2.5),
        ("10m", 600),
        ("-1m", FOREVER),
        ("30", 30),
        (1e12, FOREVER),
        (10**400, FOREVER),
        ("1e300", FOREVER),
        ("1000000000h", FOREVER),
    ],
)
def test_keep_alive_takes_numbers_and_durations(value: object, seconds: float) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize("value", [True, [], {}, "soon", float("nan"), "nan"])
def test_other_values_of_keep_alive_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"Unsupported type|invalid duration"):
        parse_keep_alive(value)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
    ],
)
def test_times_drop_the_zeros_of_their_fraction(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text


def test_local_times_carry_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Lima")
    time.tzset()
    try:
        assert format_time(1_700_000_000_000_000_000, utc=False) == "2023-11-14T17:13:20-05:00"
    finally:
        monkeypatch.undo()
        time.tzset()
