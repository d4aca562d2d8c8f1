from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ayllu.cli.print import (
    clean,
    go_duration,
    human_number,
    relative_time,
    table,
    width_of,
)
from ayllu.values import human_bytes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1500, "1.5 KB"),
        (9_999, "10.0 KB"),
        (10_999, "10 KB"),
        (7_406_976, "7.4 MB"),
        (4_700_000_000, "4.7 GB"),
        (42_900_000_000, "42 GB"),
        (2 * 10**12, "2 TB"),
        (12_345 * 10**12, "12345 TB"),
    ],
)
def test_sizes_are_written_in_decimal_units(size: int, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (12, "12"),
        (999, "999"),
        (1000, "1K"),
        (124_600, "125K"),
        (22_566_000, "22.57M"),
        (26_000_000, "26M"),
        (6_738_415_616, "6.7B"),
        (7_000_000_000, "7B"),
    ],
)
def test_counts_are_written_as_models_are_named(count: int, text: str) -> None:
    assert human_number(count) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(), "Less than a second ago"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(seconds=59.9), "59 seconds ago"),
        (timedelta(seconds=60), "About a minute ago"),
        (timedelta(minutes=2), "2 minutes ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(minutes=60), "About an hour ago"),
        (timedelta(minutes=90), "2 hours ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(hours=48), "2 days ago"),
        (timedelta(days=13), "13 days ago"),
        (timedelta(days=14), "2 weeks ago"),
        (timedelta(days=60), "2 months ago"),
        (timedelta(days=729), "24 months ago"),
        (timedelta(days=730), "2 years ago"),
        (timedelta(seconds=-30), "30 seconds from now"),
        (timedelta(minutes=-5), "5 minutes from now"),
        (timedelta(days=-365 * 20), "20 years from now"),
        (timedelta(days=-365 * 22), "Forever"),
    ],
)
def test_times_are_told_from_now(ago: timedelta, text: str) -> None:
    assert relative_time((NOW - ago).isoformat(), NOW) == text


@pytest.mark.parametrize("text", ["", "0001-01-01T00:00:00Z", "yesterday", "2026-11-21T12:00:00"])
def test_a_time_that_is_none_is_never(text: str) -> None:
    assert relative_time(text, NOW) == "Never"


def test_nine_digits_of_fraction_and_a_zone_are_read() -> None:
    assert relative_time("2026-11-21T10:00:00.123456789+01:00", NOW) == "3 hours ago"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (7, "7ns"),
        (12_500, "12.5µs"),
        (523_456_789, "523.456789ms"),
        (1_000_000_000, "1s"),
        (1_234_567_891, "1.234567891s"),
        (62_500_000_000, "1m2.5s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_durations_are_written_as_go_does(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text


def test_table_columns_are_as_wide_as_their_widest_cell_and_four_spaces() -> None:
    assert table([("NAME", "ID"), ("模型", "1"), ("a", "22")]) == (
        "NAME    ID    \n模型    1     \na       22    \n"
    )


def test_rows_of_a_table_may_be_short() -> None:
    assert table([("", "stop", "<a>"), ("", "x")]) == "    stop    <a>    \n    x              \n"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b]0;title\x07b\r\n\tc\x9b1m\x7f") == "a]0;titleb\n\tc1m"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("é", 1), ("e\u0301", 1), ("日本", 4)])
def test_width_is_counted_in_cells(text: str, cells: int) -> None:
    assert width_of(text) == cells
