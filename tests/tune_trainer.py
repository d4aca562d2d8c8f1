"""A program in the place of the Python that trains: quick, and it dies or fails as a test wants.

It writes the files of `trainer/spec.py`; what it is to do says the variable TRAINER. All that is no
training is left to the Python that this file is run by.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

STEP_SECONDS = 0.1
STEPS = 200
CHECKPOINT_EVERY = 10


def write_program(folder: Path) -> Path:
    """The program in a folder, to be named by AYLLU_TORCH_PYTHON."""
    path = folder / "trainer"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n', "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def main(arguments: list[str]) -> int:
    """Do as the program that trains does."""
    kind = os.environ.get("TRAINER", "")
    if "-c" in arguments:
        sys.stdout.write("missing peft" if kind == "bare" else "missing")
        return 0
    folder = Path(arguments[2])
    if "--measure" in arguments:
        return measure(folder, kind)
    return train(folder, kind)


def measure(folder: Path, kind: str) -> int:
    """Say what steps would take."""
    if kind == "unmeasurable":
        put(folder, "ended.json", {"outcome": "failed", "error": "memory ran out"})
        return 1
    figures = {"steps": STEPS, "seconds_per_step": STEP_SECONDS, "tokens_per_step": 100.0}
    sizes = {"evaluation_seconds": 0.1, "peak": 1 << 50 if kind == "huge" else 1 << 20}
    counts = {"parameters": 10, "all_parameters": 100, "device": "cpu", "dtype": "float32"}
    put(folder, "measured.json", {**figures, **sizes, **counts})
    return 0


def train(folder: Path, kind: str) -> int:
    """Do steps that learn nothing, from the last checkpoint on."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    sys.stdout.write("ready\n")
    steps = json.loads((folder / "work.json").read_text("utf-8"))["settings"]["steps"] or STEPS
    begun = max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)
    for step in range(begun + 1, steps + 1):
        time.sleep(STEP_SECONDS)
        saves = step % CHECKPOINT_EVERY == 0 or bool(ended)
        if saves:
            (folder / f"checkpoint-{step}").mkdir()
        report(folder, step, steps, saves=saves)
        if ended:
            put(folder, "ended.json", {"outcome": "cancelled", "steps": step})
            return 0
        if kind == "full" and step == CHECKPOINT_EVERY + 5:
            put(folder, "ended.json", {"outcome": "failed", "error": "the disk is full"})
            return 1
        if kind == "dies" and step == CHECKPOINT_EVERY + 5:
            sys.stdout.write("on the brink\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    put(folder, "ended.json", {"outcome": "done", "steps": steps, "loss": 1.0})
    return 0


def report(folder: Path, step: int, steps: int, *, saves: bool) -> None:
    """Add a line to the progress."""
    line: dict[str, Any] = {"step": step, "steps": steps, "epoch": step / steps}
    line |= {"loss": 4.0 / step, "learning_rate": 0.001, "checkpoint": saves}
    line |= {"tokens": 100 * step, "seconds": STEP_SECONDS * step}
    if step % CHECKPOINT_EVERY == 0:
        line["validation_loss"] = 5.0 / step
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def put(folder: Path, name: str, value: dict[str, Any]) -> None:
    """Write a file whole."""
    new = folder / f".{name}"
    new.write_text(json.dumps(value), "utf-8")
    new.replace(folder / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
