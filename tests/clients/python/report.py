"""How a client's script tells the tests what it got: a line of JSON for each thing it tried."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable


def report(*attempts: Callable[[], object]) -> None:
    """Run every attempt, and print what it returned or how it failed."""
    for attempt in attempts:
        line: dict[str, object] = {"attempt": attempt.__name__}
        try:
            line["got"] = attempt()
        except Exception:  # noqa: BLE001 - the test that asks for it shows it
            line["failed"] = traceback.format_exc()
        print(json.dumps(line), flush=True)  # noqa: T201 - that is how it tells
