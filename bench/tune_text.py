"""A model tuned on a text: its perplexity before and after, on the text's end, which it never saw.

    make bench SCRIPTS=bench/tune_text.py MODEL="MODEL.gguf TEXT.txt [SETTING=VALUE ...]"

Both are yours to give, and nothing is done without them. Nine tenths of the text are trained on,
with the settings that a user gets who gives none, but for those that are given.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from serving import Serving, serving
from tune import finished

SHARE = 0.9
NAME = "tuned"


def compare(server: Serving, text: bytes) -> dict[str, Any]:
    """What the base and the tuned model make of a text."""
    data = {"rest.txt": server.upload(text)}
    body = {"model": NAME, "data": data, "answers": 0, "stream": False}
    found: dict[str, Any] = server.post("/api/tune/evaluate", body, timeout=3600.0).json
    return found


def main() -> None:
    """Tune and compare."""
    if len(sys.argv) < len(("script", "model", "text")):
        return
    model, source = (Path(name) for name in sys.argv[1:3])
    settings = {
        name: json.loads(value) if value[:1].isdigit() else value
        for name, value in (setting.split("=") for setting in sys.argv[3:])
    }
    text = source.read_text("utf-8")
    cut = text.rindex("\n", 0, round(SHARE * len(text))) + 1
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        server.create("base", model)
        data = {source.name: server.upload(text[:cut].encode())}
        begun = time.monotonic()
        job = finished(server, model="base", name=NAME, data=data, **settings)
        seconds = time.monotonic() - begun
        used = job["settings"]
        print(
            f"{used['method']}, {used['epochs']} passes, rate {used['learning_rate']}, "
            f"{job['step']} steps, {seconds:.0f} s in all"
        )
        found = compare(server, text[cut:].encode())
    before, after = (found[which]["perplexity"] for which in ("base", "tuned"))
    print(
        f"perplexity of what was not trained on, {found['base']['tokens']} tokens: "
        f"{before:.2f}, {after:.2f} ({after / before:.2f} of it, 0.5 wanted)"
    )


if __name__ == "__main__":
    main()
