from __future__ import annotations

import pytest

from ayllu.cli.compose import Composer


@pytest.mark.parametrize(
    ("lines", "messages"),
    [
        (["hello", "you"], ["hello", "you"]),
        (['"""one line"""'], ["one line"]),
        (['"""', "a", "", "  b", '"""'], ["a\n\n  b"]),
        (['"""a', 'b"""', "c"], ["a\nb", "c"]),
        (['say "hi"'], ['say "hi"']),
        (['not """ at the start'], ['not """ at the start']),
        (['/set system """a', 'b"""'], ["/set system a\nb"]),
        (['"""pasted\nas one"""'], ["pasted\nas one"]),
        (['"""a', "/bye", '"""'], ["a\n/bye"]),
        (['""""""'], [""]),
        (['"""never closed', "b"], []),
    ],
)
def test_lines_become_messages(lines: list[str], messages: list[str]) -> None:
    composer = Composer()

    assert [got for line in lines if (got := composer.add(line)) is not None] == messages


def test_an_open_message_can_be_dropped() -> None:
    composer = Composer()
    composer.add('"""begun')

    composer.reset()

    assert not composer.is_open
    assert composer.add("next") == "next"
