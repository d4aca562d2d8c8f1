"""How quickly the model that ships answers: as it is, quantized, with its draft; and its memory.

make bench SCRIPTS=bench/shipped.py
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from serving import serving

ROUNDS = 7
STORY = "Tell me a story about a llama."
FORMS: dict[str, dict[str, Any]] = {
    "F16": {},
    "Q8_0": {"quantize": "Q8_0"},
    "Q4_K_M": {"quantize": "Q4_K_M"},
    "F16 with its draft": {"draft": "mini-draft"},
}


def main() -> None:
    """Make the forms and print their figures, medians of some rounds."""
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server:
        for number, (form, fields) in enumerate(FORMS.items()):
            name = f"form{number}"
            server.make(name, **{"from": "mini", **fields})
            body = {
                "model": name,
                "messages": [{"role": "user", "content": STORY}],
                "options": {"temperature": 0},
                "stream": False,
            }
            loading = server.post("/api/chat", body).json["load_duration"] / 1e6
            replies = [server.post("/api/chat", body).json for _ in range(ROUNDS)]
            rates = [reply["eval_count"] / reply["eval_duration"] * 1e9 for reply in replies]
            totals = [reply["total_duration"] / 1e6 for reply in replies]
            engine = max(server.engines(), key=lambda child: child.create_time())
            print(
                f"{form:<20} {statistics.median(rates):6.0f} tokens/s, an answer of "
                f"{replies[0]['eval_count']} tokens in {statistics.median(totals):4.0f} ms, "
                f"load {loading:4.0f} ms, engine {engine.memory_info().rss >> 20} MiB"
            )


if __name__ == "__main__":
    main()
