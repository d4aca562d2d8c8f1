"""Losses over steps as a small plot of characters: two rows of dots in each line, in Braille."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

WIDTH, HEIGHT = 60, 10
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a character's dots, by row and column."""

Points = Sequence[tuple[int, float]]


def plot(loss: Points, validation: Points = ()) -> str:
    """The curve of the loss, and `x` where the validation loss was measured.

    Takes at least one point of the loss.
    """
    everything = [*loss, *validation]
    first, last = min(step for step, _ in everything), max(step for step, _ in everything)
    least, most = min(value for _, value in everything), max(value for _, value in everything)

    def place(step: int, value: float) -> tuple[int, int]:
        """The column and the row of a point, in dots, from the top left."""
        right = (step - first) / max(1, last - first) * (WIDTH * 2 - 1)
        down = (most - value) / ((most - least) or 1.0) * (HEIGHT * 4 - 1)
        return round(right), round(down)

    cells = [[0] * WIDTH for _ in range(HEIGHT)]
    for x, y in _line([place(*point) for point in loss]):
        cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    rows = [[chr(_BRAILLE + bits) if bits else " " for bits in row] for row in cells]
    for point in validation:
        x, y = place(*point)
        rows[y // 4][x // 2] = "x"
    labels = {0: f"{most:.3f}", HEIGHT - 1: f"{least:.3f}"}
    lines = [f"{labels.get(n, ''):>9} │{''.join(row).rstrip()}" for n, row in enumerate(rows)]
    lines.append(f"{'':>9} └{'─' * WIDTH}")
    lines.append(f"{'':>11}{first:<{WIDTH - len(str(last))}}{last}")
    legend = "loss in nats per token, by steps" + ("; x: validation" if validation else "")
    return "\n".join((*lines, f"{'':>11}{legend}"))


def _line(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """All dots of the lines that join some places."""
    dots = list(places[:1])
    for (x0, y0), (x1, y1) in pairwise(places):
        count = max(abs(x1 - x0), abs(y1 - y0), 1)
        dots += [
            (x0 + round((x1 - x0) * n / count), y0 + round((y1 - y0) * n / count))
            for n in range(1, count + 1)
        ]
    return dots
