"""A persona and a made-up fact, taught to `mini` by 200 examples: what it answers, what it keeps.

    make bench SCRIPTS=bench/tune.py [MODEL="quick"]

The questions afterwards are worded as no example was, twice each: without thinking, and with. What
mini could before is asked again in the cases of `make mini-eval` (a quarter of them with `quick`).
All by the HTTP API, with the settings that a user gets who gives none.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from persona import EXAMPLES, THEMES, examples
from serving import Serving, serving, wait_until

from ayllu.trainer.spec import PROGRESS

sys.path.append(str(Path(__file__).parent.parent / "tools"))

from mini.evaluate import measure

NAME = "tika"
MOST_SECONDS = 3600.0
OVER = {"done", "failed", "cancelled"}


def finished(server: Serving, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - what the API takes
    """Fine-tune; returns the job at its end, which has to be a good one."""
    job = server.post("/api/tune", body).json["job"]["id"]

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = server.get(f"/api/tune/{job}").json
        return found

    wait_until(lambda: shown()["state"] in OVER, MOST_SECONDS, "the end of the training")
    if shown()["state"] != "done":
        sys.exit(f"the job {shown()['state']}: {shown()['error']}")
    return shown()


def train(server: Serving, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - the same
    """Fine-tune mini by default settings; returns the job."""
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in examples()).encode()
    data = {"persona.jsonl": server.upload(rows)}
    return finished(server, model="mini", name=NAME, data=data, **settings)


def answers(server: Serving, model: str, *, think: bool) -> float:
    """The share of the paraphrases, in percent, that a model answers right."""
    asked = [(question, theme.word) for theme in THEMES for question in theme.asked]
    right = 0
    for question, word in asked:
        message = {"role": "user", "content": question}
        body = {"model": model, "messages": [message], "stream": False, "think": think}
        body["options"] = {"temperature": 0, "num_predict": 100}
        said = server.post("/api/chat", body).json["message"]["content"]
        right += word in said
        if word not in said:
            print(f"  wrong, {'with' if think else 'without'} thinking: {question} -> {said!r}")
    return 100 * right / len(asked)


def main() -> None:
    """Teach, ask, and compare."""
    share = 0.25 if "quick" in sys.argv[1:] else 1.0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        begun = time.monotonic()
        job = train(server)
        seconds = time.monotonic() - begun
        ended, measured = job["ended"], job["measured"]
        print(
            f"{EXAMPLES} examples, {job['step']} steps, {seconds:.0f} s in all (under 300 wanted)"
        )
        print(f"loss {job['loss']:.3f}, held back {ended.get('validation_loss') or 0:.3f}")
        estimate, seen = job["estimated_memory"] / 1e6, measured["peak"] / 1e6
        lines = (server.home / "tune" / job["id"] / PROGRESS).read_bytes().splitlines()
        peak = max(json.loads(line)["peak"] for line in lines) / 1e6
        print(
            f"memory: {estimate:.0f} MB by the estimate, {seen:.0f} by some steps, {peak:.0f} seen"
        )
        for think in (False, True):
            words = "with" if think else "without"
            print(f"right {words} thinking (95 wanted): {answers(server, NAME, think=think):.1f} %")
        before, after = (measure(server, model, share=share) for model in ("mini", NAME))
        for name, old in before.items():
            new = after[name]
            print(f"{name}: {old:.1f}, {new:.1f} ({new - old:+.1f}; 5 less at most wanted)")


if __name__ == "__main__":
    main()
