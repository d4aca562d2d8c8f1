"""Losses drawn with characters."""

from __future__ import annotations

from ayllu.cli.plot import HEIGHT, WIDTH, plot


def test_a_falling_loss_falls_and_keeps_to_its_frame() -> None:
    drawn = plot([(step, 100.0 - step) for step in range(1, 101)], [(100, 50.0)]).splitlines()
    assert len(drawn) == HEIGHT + 3
    curve = [line.partition("│")[2] for line in drawn[:HEIGHT]]
    assert drawn[0].startswith("   99.000 │")
    assert drawn[HEIGHT - 1].startswith("    0.000 │")
    assert all(len(line) <= WIDTH for line in curve)
    indents = [len(line) - len(line.lstrip()) for line in curve]
    assert indents == sorted(indents)
    assert sum(line.count("x") for line in curve) == 1
    assert drawn[HEIGHT + 1].split() == ["1", "100"]


def test_a_loss_that_stays_is_a_line() -> None:
    curve = plot([(1, 2.0), (2, 2.0)]).splitlines()[:HEIGHT]
    assert sum(bool(line.partition("│")[2]) for line in curve) == 1
