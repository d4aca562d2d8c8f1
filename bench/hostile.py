"""How soon templates and conversations that mean harm are stopped, and how much memory they take.

make bench SCRIPTS=bench/hostile.py
"""

from __future__ import annotations

import runpy
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ayllu.errors import TemplateError
from ayllu.template import parse
from ayllu.template.vars import render

TESTS = Path(__file__).resolve().parent.parent / "tests" / "template" / "test_hostile_template.py"
MIB = 1 << 20


def cost(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of CPU and the peak of memory in MiB."""
    begun = time.process_time()
    work()
    seconds = time.process_time() - begun
    tracemalloc.start()
    try:
        work()
        return seconds, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def main() -> None:
    """Print the dearest attacks of the test suite."""
    tests = runpy.run_path(str(TESTS))

    def converse(text: str, values: dict[str, Any]) -> None:
        try:
            render(parse(text), **values)
        except TemplateError:
            return
        raise SystemExit("an attack was not stopped")

    spent = {name: cost(partial(tests["run"], text)) for name, text in tests["HOSTILE"].items()}
    for name, (text, values) in tests["CONVERSATIONS"].items():
        spent[name] = cost(partial(converse, text, values))
    print(f"{len(spent)} attacks, the dearest (at most 1 s and 50 MiB wanted):")
    for name, (seconds, peak) in sorted(spent.items(), key=lambda item: -item[1][0])[:5]:
        print(f"{name:<44}{seconds:10.2f} s    {peak:.1f} MiB")
    name, (_, peak) = max(spent.items(), key=lambda item: item[1][1])
    print(f"{'most memory: ' + name:<44}{peak:10.1f} MiB")


if __name__ == "__main__":
    main()
