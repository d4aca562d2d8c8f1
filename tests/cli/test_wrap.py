from __future__ import annotations

import pytest
from cli.shell import screen

from ayllu.cli.wrap import Wrapper

LONG = "The quick brown fox jumps over the lazy dog and runs away"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_words_move_to_the_next_line_whole_however_the_text_is_cut(size: int) -> None:
    wrapper = Wrapper(25)
    pieces = [LONG[start : start + size] for start in range(0, len(LONG), size)]

    lines = screen("".join(map(wrapper.feed, pieces)))

    assert [line.strip() for line in lines] == [
        "The quick brown fox",
        "jumps over the lazy",
        "dog and runs away",
    ]


@pytest.mark.parametrize(
    ("columns", "text", "lines"),
    [
        (25, "a\nb", ["a", "b"]),
        (15, "abcdefghijklmno", ["abcdefghij", "klmno"]),
        (15, "ab cdefghijklmno", ["ab ", "cdefghijkl", "mno"]),
        (15, "日本語日本語日本語", ["日本語日本", "語日本語"]),
        (9, "narrow terminals are left alone", ["narrow terminals are left alone"]),
        (0, "so is what is no terminal", ["so is what is no terminal"]),
    ],
)
def test_lines_break_where_they_must(columns: int, text: str, lines: list[str]) -> None:
    assert screen(Wrapper(columns).feed(text)) == lines
