"""From a user's rows to a trainer's tokens: rows per second, and the memory that it takes.

    make bench SCRIPTS=bench/tune_data.py [MODEL=FILE.gguf]

10,000 conversations, as many with a Go template, 2,000 with a call of a tool, and a text of 4 MB.
Without a MODEL it is mini, which learns each conversation in two ways: with an empty thought and
without one.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
from measure import run
from msgspec import structs
from talking import model_of

from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.shelf import ASSETS
from ayllu.runner.engine import find_engine
from ayllu.runner.pool import Pool
from ayllu.trainer.spec import Settings
from ayllu.tune.data import read
from ayllu.tune.prepare import Prepared, prepare

ROWS, CALLS = 10_000, 2_000
WORDS = ("house", "river", "seven", "walks", "under", "bread", "stone", "Lima,", "maybe", "dry.")
GO = (
    "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
    "<|im_start|>{{ .Role }}\n{{ .Content }}"
    '{{ if or (ne .Role "assistant") (not $last) }}<|im_end|>\n{{ end }}'
    '{{ if and (ne .Role "assistant") $last }}<|im_start|>assistant\n{{ end }}{{ end }}'
)
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def chats(count: int) -> Iterator[dict[str, Any]]:
    """Rows of about 80 words."""
    chance = random.Random(1)  # noqa: S311 - the same every time
    for _ in range(count):
        asked, said = (" ".join(chance.choices(WORDS, k=size)) for size in (30, 50))
        yield {"question": asked, "answer": said}


def calls(count: int) -> Iterator[dict[str, Any]]:
    """Rows with a call of a tool and an answer to what it gave."""
    for number in range(count):
        call = {"id": "c", "function": {"name": "add", "arguments": json.dumps({"a": number})}}
        yield {
            "messages": [
                {"role": "user", "content": f"Add {number} to it."},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": str(number)},
                {"role": "assistant", "content": f"It is {number} now."},
            ],
            "tools": [TOOL],
        }


async def prepared(pool: Pool, model: Model, path: Path, what: str) -> None:
    """Prepare a file and print what it took."""
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    begun, most = time.perf_counter(), before
    data = await read({path.name: path}, path.parent)
    looked = time.perf_counter() - begun
    async with aclosing(prepare(pool, model, data, Settings(), path.parent)) as items:
        async for item in items:
            most = max(most, process.memory_info().rss)
            if isinstance(item, Prepared):
                seconds = time.perf_counter() - begun
                print(
                    f"{what}: {data.rows:,} rows, {item.examples:,} examples, {item.tokens:,} "
                    f"tokens in {seconds:.1f} s ({looked:.2f} s to look through): "
                    f"{data.rows / seconds:,.0f} rows/s, {item.tokens / seconds:,.0f} tokens/s, "
                    f"{(most - before) / 1e6:.0f} MB more memory"
                )


async def main() -> None:
    """Measure and print."""
    gguf = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS / "mini-f16.gguf"
    model = model_of("m", gguf)
    with tempfile.TemporaryDirectory() as name:
        rows, tools, text = (Path(name) / f for f in ("rows.jsonl", "tools.jsonl", "text.txt"))
        rows.write_text("".join(f"{json.dumps(row)}\n" for row in chats(ROWS)))
        tools.write_text("".join(f"{json.dumps(row)}\n" for row in calls(CALLS)))
        text.write_text("".join(f"{row['answer']}\n" for row in chats(13_000)))
        settings = load_settings({"AYLLU_HOME": name})
        pool = Pool(settings, find_engine(settings))
        try:
            await prepared(pool, model, tools, "calls of tools")
            await prepared(pool, model, rows, "conversations")
            go = structs.replace(model, template=GO, wants_go=True)
            await prepared(pool, go, rows, "with a Go template")
            await prepared(pool, model, text, "a text of 4 MB")
        finally:
            await pool.close()


if __name__ == "__main__":
    run(main)
