"""What keeping an answer of /v1/responses costs, and going on with a long conversation.

PYTHONPATH=src python bench/responses.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from measure import run, show
from msgspec import structs

from ayllu.db import Database
from ayllu.server.stored import SCHEMA, VERSION, StoredResponses
from ayllu.server.wire_responses import MessageItem, OutputText

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from blank_response import BLANK

TURNS = 500
WORDS = "as long as an answer often is " * 50
SPACE = 8 << 20


async def milliseconds(work: Awaitable[object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


async def keep(stored: StoredResponses, name: str, previous: str | None) -> float:
    """Store one turn of 1.5 KB each way."""
    said = MessageItem(id=f"said-{name}", status="completed", content=(OutputText(WORDS),))
    response = structs.replace(BLANK, id=name, previous_response_id=previous, output=(said,))
    asked = {"type": "message", "id": f"asked-{name}", "role": "user", "content": WORDS}
    return await milliseconds(stored.keep(response, [asked]))


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "responses.db", SCHEMA, VERSION)
        stored = StoredResponses(database, space=SPACE, age=3600.0, largest=SPACE)
        first = await keep(stored, "first", None)
        alone = [await keep(stored, f"alone{n}", None) for n in range(TURNS)]
        chain = [await keep(stored, f"chain{n}", f"chain{n - 1}" if n else None) for n in range(50)]
        again = [await milliseconds(stored.conversation("chain49")) for _ in range(TURNS)]
        full = [await keep(stored, f"full{n}", None) for n in range(5 * TURNS)]
        await stored.close()
    print(f"the first one, with a new file: {first:.1f} ms")
    show("an answer", alone, "ms")
    show("the next of up to 50 turns", chain, "ms")
    show("reading 50 turns", again, "ms")
    show("an answer where old ones make room", full[-TURNS:], "ms")


if __name__ == "__main__":
    run(main)
