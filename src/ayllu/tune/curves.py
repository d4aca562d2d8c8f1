"""How a training goes: its losses as points and as a drawing, its pace and what is left. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

from ayllu.trainer.spec import Report

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 48
_TICKS = 5
_LONGEST_TITLE = 60
"""Characters that fit beside the legend."""

_RECENT = 20
"""Reports that the pace is told from."""

_STYLE = """
svg{background:#fff;color:#222;font:13px sans-serif}
.grid{stroke:#ddd}.loss{stroke:#2563b8;color:#2563b8}
.validation{stroke:#c2410c;color:#c2410c}
@media(prefers-color-scheme:dark){svg{background:#16181c;color:#ddd}
.grid{stroke:#33363d}.loss{stroke:#7cb0ff;color:#7cb0ff}
.validation{stroke:#ff9d66;color:#ff9d66}}
"""

Point = tuple[int, float]
"""A step, and a loss in nats per token."""


class Curves(Struct, frozen=True):
    """The losses after each step that was reported, in the steps' order."""

    loss: tuple[Point, ...] = ()
    validation_loss: tuple[Point, ...] = ()


class Pace(Struct, frozen=True):
    """How fast a training has been of late; 0 where nobody knows yet."""

    tokens_per_second: float = 0.0
    seconds_left: float = 0.0


def latest(reports: Sequence[Report]) -> list[Report]:
    """One report of each step, the last that there is, in the steps' order."""
    by_step = {report.step: report for report in reports}
    return [by_step[step] for step in sorted(by_step)]


def curves(reports: Sequence[Report]) -> Curves:
    """The losses of a training, of which there may be several reports of a step."""
    steps = latest(reports)
    return Curves(
        tuple((report.step, report.loss) for report in steps if math.isfinite(report.loss)),
        tuple(
            (report.step, report.validation_loss)
            for report in steps
            if report.validation_loss is not None and math.isfinite(report.validation_loss)
        ),
    )


def pace(reports: Sequence[Report]) -> Pace:
    """How fast it goes: from the last reports of one start, which count on without a break."""
    if not reports:
        return Pace()
    last = first = reports[-1]
    for report in reversed(reports[-_RECENT:-1]):
        if report.step >= first.step or report.seconds > first.seconds:
            break  # it was started again there
        first = report
    seconds, steps = last.seconds - first.seconds, last.step - first.step
    if steps <= 0 or seconds <= 0:
        seconds, steps, tokens = last.seconds, last.step, last.tokens
    else:
        tokens = last.tokens - first.tokens
    if steps <= 0 or seconds <= 0:
        return Pace()
    return Pace(
        tokens_per_second=round(tokens / seconds, 1),
        seconds_left=round((last.steps - last.step) * seconds / steps, 1),
    )


def draw(shown: Curves, title: str) -> str:
    """The curves as SVG, readable on light and on dark, the losses over the steps."""
    points = (*shown.loss, *shown.validation_loss)
    last = max((step for step, _ in points), default=1)
    losses = [loss for _, loss in points] or [0.0, 1.0]
    least, most = min(losses), max(losses)
    margin = (most - least) * 0.05 or 0.5
    least, most = max(0.0, least - margin), most + margin

    def place(point: Point) -> tuple[float, float]:
        right = point[0] / last * (WIDTH - _LEFT - _RIGHT)
        up = (point[1] - least) / (most - least) * (HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + right, 1), round(HEIGHT - _BOTTOM - up, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        _text(_LEFT, 22, title[:_LONGEST_TITLE], "start"),
    ]
    for tick in _ticks(least, most):
        _, y = place((0, tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{tick:g}", "end"))
    for tick in _ticks(0, last):
        x, _ = place((int(tick), least))
        parts.append(_text(x, HEIGHT - _BOTTOM + 18, f"{int(tick)}", "middle"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, "step", "middle"))
    turned = f'transform="rotate(-90 16 {HEIGHT / 2})"'
    parts.append(_text(16, HEIGHT / 2, "loss (nats per token)", "middle", turned))
    named = (("loss", "training", shown.loss), ("validation", "validation", shown.validation_loss))
    for place_in_legend, (style, name, curve) in enumerate(named):
        if curve:
            x = WIDTH - _RIGHT - 220 + 110 * place_in_legend
            parts.append(f'<path class="{style}" stroke-width="2" d="M{x} 18h20"/>')
            parts.append(_text(x + 26, 22, name, "start"))
            line = " ".join(f"{x},{y}" for x, y in map(place, curve))
            parts.append(
                f'<polyline class="{style}" fill="none" stroke-width="2" points="{line}"/>'
            )
            if len(curve) == 1 or style == "validation":
                parts += [_dot(style, *place(point)) for point in curve]
    return "".join((*parts, "</svg>\n"))


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers between two others, about as many as there is room for."""
    rough = (most - least) / _TICKS
    if rough <= 0:
        return [least]
    power = 10.0 ** math.floor(math.log10(rough))
    width = next(power * step for step in (1, 2, 5, 10) if power * step >= rough)
    count = int(most / width) - math.ceil(least / width) + 1
    return [round((math.ceil(least / width) + n) * width, 10) for n in range(count)]


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    place = f'x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor" {more}'.rstrip()
    return f"<text {place}>{escape(text)}</text>"


def _dot(style: str, x: float, y: float) -> str:
    return f'<circle class="{style}" fill="currentColor" cx="{x}" cy="{y}" r="2.5"/>'
