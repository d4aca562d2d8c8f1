from __future__ import annotations

from pathlib import Path

from ayllu.cli.history import ENTRIES, PromptHistory


def test_prompts_are_kept_newest_first_for_their_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "history"
    history = PromptHistory(path, writes=True)

    for prompt in ("one", "two\nlines", "drei ü"):
        history.store_string(prompt)

    again = PromptHistory(path, writes=True)
    assert list(again.load_history_strings()) == ["drei ü", "two\nlines", "one"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["history"]


def test_only_the_newest_hundred_are_kept(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "history", writes=True)

    for number in range(ENTRIES + 5):
        history.store_string(str(number))

    kept = list(history.load_history_strings())
    assert len(kept) == ENTRIES
    assert kept[0] == str(ENTRIES + 4)


def test_nothing_is_written_when_the_user_wants_no_history(tmp_path: Path) -> None:
    PromptHistory(tmp_path / "history", writes=False).store_string("secret")

    assert not (tmp_path / "history").exists()


def test_a_damaged_file_costs_only_its_damaged_lines(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b'"good"\n\xff\xfe\nplain\n{"a":1}\n"better"\n')
    history = PromptHistory(tmp_path / "history", writes=True)

    assert list(history.load_history_strings()) == ["better", "good"]


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")

    PromptHistory(tmp_path / "home" / "history", writes=True).store_string("x")
