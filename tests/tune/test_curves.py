"""How a training goes, told from its reports."""

from __future__ import annotations

import re
import xml.dom.minidom

from ayllu.trainer.spec import Report
from ayllu.tune.curves import Curves, Pace, curves, draw, pace


def report(step: int, seconds: float, loss: float = 1.0, validation: float | None = None) -> Report:
    return Report(
        step=step,
        steps=100,
        epoch=0.0,
        loss=loss,
        learning_rate=0.0,
        tokens=step * 50,
        seconds=seconds,
        validation_loss=validation,
    )


def test_a_step_that_was_done_again_counts_as_it_was_done_last() -> None:
    found = curves(
        [report(1, 1, 9.0), report(2, 2, 8.0), report(2, 3, 7.0, 6.0), report(3, 4, 5.0)]
    )
    assert found == Curves(((1, 9.0), (2, 7.0), (3, 5.0)), ((2, 6.0),))


def test_losses_that_are_no_numbers_are_left_out() -> None:
    assert curves([report(1, 1, float("nan")), report(2, 2, 3.0)]).loss == ((2, 3.0),)


def test_the_pace_is_that_of_the_latest_steps_of_one_start() -> None:
    assert pace([]) == Pace()
    assert pace([report(10, 20.0)]) == Pace(25.0, 180.0)
    slow = [report(step, step * 10.0) for step in range(1, 31)]
    fast = [report(30 + step, 300.0 + step) for step in range(1, 21)]
    assert pace([*slow, *fast]) == Pace(50.0, 50.0)
    again = [report(20, 200.0), report(21, 201.0), report(22, 202.0)]
    assert pace([*slow[:22], *again[1:]]) == Pace(50.0, 78.0)


def test_a_drawing_is_well_formed_and_within_its_frame() -> None:
    many = Curves(tuple((step, 9 / step) for step in range(1, 400)), ((100, 1.0), (399, 0.5)))
    for shown in (Curves(), Curves(((1, 2.5),)), many):
        drawn = draw(shown, "a <model> & its loss")
        document = xml.dom.minidom.parseString(drawn)  # noqa: S318 - we have just drawn it
        assert document.getElementsByTagName("svg")
        for line in document.getElementsByTagName("polyline"):
            for x, y in re.findall(r"([-\d.]+),([-\d.]+)", line.getAttribute("points")):
                assert 0 <= float(x) <= 720
                assert 0 <= float(y) <= 400
    assert "prefers-color-scheme:dark" in drawn
    assert "loss (nats per token)" in drawn
