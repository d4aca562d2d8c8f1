"""What a second machine is worth to a training: steps with it, beside steps alone.

    make bench SCRIPTS=bench/tune_parallel.py [MODEL=FILE.gguf]

A training with one thread, alone and with a helper with one thread, at both ends of loopback; the
machine needs two cores that are free. What it says itself is the same beside steps of the same run.
The last lines say from which size of a step a link of 1 Gb/s is worth it: computed from what is
sent, and what a token took. Needs `make extras`; without a model, mini is trained.
"""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from measure import show
from training import KEYS, helping, make_job, measured, reports, rows_of, run

from ayllu.models.shelf import ASSETS
from ayllu.torch_python import find_torch_python
from ayllu.trainer.files import write_json
from ayllu.trainer.spec import HELPERS, PARALLEL, Helper, Helpers, Parallel

EXAMPLES = 96
COLD = 12
"""Steps until it is known whether it helps."""
GIGABIT = 125e6


def main() -> None:
    """Measure both."""
    python = find_torch_python(os.environ.get("AYLLU_TORCH_PYTHON", ""))
    model = Path(os.environ.get("MODEL", ASSETS / "mini-f16.gguf")).resolve()
    with tempfile.TemporaryDirectory() as home:
        alone, together, other = (
            make_job(Path(home, name), model, rows_of(EXAMPLES, longest=100), **SETTINGS)
            for name in ("alone", "together", "other")
        )
        run(python, alone, "--measure", "2")
        run(python, alone)
        with helping(python, other) as (_, port):
            write_json(together / HELPERS, Helpers((Helper("other", port, KEYS),)))
            run(python, together)
        one = show("alone, per second", rates(alone), "tokens")
        two = show("with a helper", rates(together), "tokens")
        said = msgspec.json.decode((together / PARALLEL).read_bytes(), type=Parallel)
        print(f"with it beside alone: {two / one:.2f} times as fast; it said {said.speedup:.2f}")
        print(f"{said.aside}" if said.aside else "the helper was kept")
        size = 4 * measured(alone).parameters
        tokens = 2 * (2 * size / GIGABIT) * one
        print(f"{size / 1e6:.1f} MB there and back for each step: {2e3 * size / GIGABIT:.0f} ms")
        print(f"at 1 Gb/s two are as fast as one at {tokens:.0f} tokens a step")


SETTINGS: dict[str, Any] = {
    "batch": 8,
    "accumulate": 4,
    "epochs": 12,
    "rank": 16,
    "checkpoint_every": 0,
}


def rates(folder: Path) -> list[float]:
    """Tokens per second of the steps behind the first ones."""
    found = list(reports(folder).values())[COLD:]
    pairs = pairwise(found)
    rates = [(two.tokens - one.tokens) / (two.seconds - one.seconds) for one, two in pairs]
    return [median(rates[start : start + 5]) for start in range(0, len(rates) - 4, 5)]


if __name__ == "__main__":
    main()
