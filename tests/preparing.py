"""Has a user's rows prepared for training, with a pool of its own, and reads what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from talking import with_pool

from ayllu.gguf.tool import Step
from ayllu.models.model import Model
from ayllu.runner.pool import Pool
from ayllu.trainer.spec import EXAMPLES, Settings
from ayllu.tune.data import read
from ayllu.tune.prepare import Prepared, prepare

NO_SPLIT = Settings(validation=0)


class Made:
    """What was prepared, and the arrays that were written."""

    def __init__(self, prepared: Prepared, folder: Path, steps: Sequence[Step]) -> None:
        self.prepared = prepared
        self.steps = steps
        arrays = np.load(folder / EXAMPLES)
        assert {name: array.dtype.name for name, array in arrays.items()} == {
            "tokens": "int32",
            "trained": "uint8",
            "ends": "int64",
            "held": "uint8",
            "starts": "int32",
            "start_ends": "int64",
            "turn": "int32",
            "answer": "int32",
            "last": "int32",
        }
        self.starts = [part.tolist() for part in np.split(arrays["starts"], arrays["start_ends"])]
        assert self.starts.pop() == []
        self.turn, self.answer, self.last = (
            arrays[name].tolist() for name in ("turn", "answer", "last")
        )
        ends = arrays["ends"]
        self.tokens = np.split(arrays["tokens"], ends[:-1])
        self.trained = np.split(arrays["trained"], ends[:-1])
        self.held = arrays["held"].tolist()
        assert ends[-1] == len(arrays["tokens"]) == len(arrays["trained"]) == prepared.tokens
        assert len(ends) == len(self.held) == prepared.examples
        assert arrays["trained"].sum() == prepared.trained_tokens

    @property
    def samples(self) -> list[list[tuple[str, bool]]]:
        """The samples' texts, and whether they are learned."""
        return [[(s.text, s.trained) for s in one.segments] for one in self.prepared.samples]


async def make(
    pool: Pool,
    model: Model,
    folder: Path,
    rows: Sequence[Any] | str,
    settings: Settings = NO_SPLIT,
    **more: Any,
) -> Made:
    """Prepare rows, or a text."""
    name = "rows.txt" if isinstance(rows, str) else "rows.jsonl"
    path = folder / name
    path.write_text(rows if isinstance(rows, str) else "".join(f"{json.dumps(r)}\n" for r in rows))
    steps: list[Step] = []
    data = await read({name: path}, folder)
    async with aclosing(prepare(pool, model, data, settings, folder, **more)) as items:
        async for item in items:
            if isinstance(item, Prepared):
                return Made(item, folder, steps)
            steps.append(item)
    pytest.fail("nothing was prepared")


def made(
    folder: Path,
    model: Model,
    rows: Sequence[Any] | str,
    settings: Settings = NO_SPLIT,
    **more: Any,
) -> Made:
    """The same with a pool of its own."""
    found: list[Made] = []

    async def work(pool: Pool) -> None:
        found.append(await make(pool, model, folder, rows, settings, **more))

    with_pool(folder, work)
    return found[0]
