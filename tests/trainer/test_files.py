from __future__ import annotations

from pathlib import Path

import pytest

from ayllu.trainer.files import Progress, checkpoints, replacing
from ayllu.trainer.spec import PROGRESS, Report


def report(step: int) -> Report:
    return Report(step=step, steps=9, epoch=0, loss=1, learning_rate=1, tokens=1, seconds=1)


def test_a_line_that_was_left_half_written_is_cut_off(tmp_path: Path) -> None:
    Progress(tmp_path).add(report(1))
    whole = (tmp_path / PROGRESS).read_bytes()
    (tmp_path / PROGRESS).write_bytes(whole + whole[:20])
    Progress(tmp_path).add(report(2))
    assert (tmp_path / PROGRESS).read_bytes() == whole + whole.replace(b'"step":1', b'"step":2')


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    def write(*, fails: bool) -> None:
        with replacing(tmp_path / "result") as new:
            new.mkdir()
            (new / "weights").write_text(str(fails))
            if fails:
                raise OSError

    write(fails=False)
    with pytest.raises(OSError, match=r"^$"):
        write(fails=True)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result" / "weights").read_text() == "False"


def test_checkpoints_come_newest_first(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", ".checkpoint-11.new", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-9"]
