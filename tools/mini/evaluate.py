"""`python -m mini.evaluate`: the scores of mini and its quantized forms, through a running server.

Every prompt is held out: training never saw it. Answers are greedy. What a right answer is comes
from the same grammars as the training data, under another seed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from serving import Serving, serving

from mini.case import Case, Language, is_held_out
from mini.mix import case, known
from mini.systems import other

SEED = 7
PARALLEL = 4
TOKEN_LIMIT = 200

QUANTIZED = {"Q8_0": 1.0, "Q4_K_M": 5.0}
"""The forms that are compared with the F16, and how many points they may lose."""


@dataclass(frozen=True)
class Reply:
    """What the server answered to a case."""

    case: Case
    content: str
    thinking: str
    calls: tuple[dict[str, Any], ...]
    reason: str


@dataclass(frozen=True)
class Score:
    """A score: where its cases come from, what is right, and the percentage that is wanted."""

    kind: str
    count: int
    is_right: Callable[[Reply], bool]
    wanted: float | None = None
    think: bool = False


def _exact(reply: Reply) -> bool:
    return reply.content.strip() == reply.case.answer


def _calls_exactly(reply: Reply) -> bool:
    return reply.calls == reply.case.calls


def _calls_nothing(reply: Reply) -> bool:
    return not reply.calls and bool(reply.content.strip())


def _speaks(reply: Reply) -> bool:
    return language_of(reply.content) == reply.case.language


def _thinks(reply: Reply) -> bool:
    return bool(reply.thinking.strip()) and bool(reply.content.strip())


def _does_not_think(reply: Reply) -> bool:
    return not reply.thinking and "think>" not in reply.content and bool(reply.content.strip())


def _is_called(reply: Reply) -> bool:
    """The name is the last word of the right answer."""
    name = reply.case.answer.rstrip(".").split()[-1]
    return re.search(rf"\b{re.escape(name)}\b", reply.content) is not None


SCORES = {
    "arithmetic": Score("sums", 400, _exact, 95),
    "language of the question": Score("known", 400, _speaks, 97),
    "tool call": Score("call", 300, _calls_exactly, 90),
    "no tool fits": Score("no call", 300, _calls_nothing, 90),
    "thinks when asked": Score("plain", 200, _thinks, 98, think=True),
    "does not think when not": Score("plain", 200, _does_not_think, 98),
    "name of the system prompt": Score("name", 300, _is_called, 95),
    "arithmetic, thinking": Score("sums", 100, _exact, think=True),
    "tool call, thinking": Score("call", 100, _calls_exactly, think=True),
    "facts": Score("fact", 100, _exact),
    "copy, upper and lower case": Score("copy", 100, _exact),
    "language of the system prompt": Score("language", 100, _exact),
    "tone of the system prompt": Score("tone", 100, _exact),
    "JSON": Score("json", 100, _exact),
}
STOPS = "stops by itself"
STOPS_WANTED = 99.0

_SAMPLES = 4000
_ANSWER_SECONDS = 600.0


@cache
def _words_of_one_language() -> dict[str, Language]:
    """The words that only the right answers of one language have."""
    rng = random.Random(SEED)
    heard: dict[Language, set[str]] = {"en": set(), "es": set()}
    for language, words in heard.items():
        for _ in range(_SAMPLES):
            words.update(_words(known(rng, language).answer))
    return {
        word: language for language in heard for word in heard[language] - heard[other(language)]
    }


def _words(text: str) -> list[str]:
    """The words of a text in small letters, quotations left out."""
    return re.findall(r"[^\W\d]+", re.sub(r"'[^']+'|`[^`]+`", " ", text.lower()))


def language_of(text: str) -> Language | None:
    """The language that more of a text's words belong to; None where no word tells."""
    telling = _words_of_one_language()
    told = [telling[word] for word in _words(text) if word in telling]
    return ("es" if told.count("es") > told.count("en") else "en") if told else None


def held_out(kind: str, count: int, seed: int) -> list[Case]:
    """Distinct cases of a kind that training never saw, half of them in each language."""
    rng = random.Random(f"{seed} {kind}")
    found: dict[str, Case] = {}
    while len(found) < count:
        language: Language = "en" if len(found) % 2 else "es"
        drawn = known(rng, language) if kind == "known" else case(rng, language, kind)
        if is_held_out(drawn) and not (kind == "known" and language_of(drawn.answer) is None):
            found[f"{drawn.system}\0{drawn.question}\0{drawn.tools}"] = drawn
    return list(found.values())


def measure(server: Serving, model: str, *, share: float = 1.0) -> dict[str, float]:
    """All scores of a model on a server, in percent. `share` of the cases are asked."""
    scores: dict[str, float] = {}
    reasons: list[str] = []
    with ThreadPoolExecutor(PARALLEL) as pool:
        for name, score in SCORES.items():
            cases = held_out(score.kind, max(1, round(score.count * share)), SEED)
            replies = list(
                pool.map(
                    lambda item, think=score.think: ask(server, model, item, think=think), cases
                )
            )
            reasons += [reply.reason for reply in replies]
            scores[name] = _percent([score.is_right(reply) for reply in replies])
    scores[STOPS] = _percent([reason == "stop" for reason in reasons])
    return scores


def ask(server: Serving, model: str, item: Case, *, think: bool) -> Reply:
    """One case, asked of the server."""
    body = {
        "model": model,
        "messages": item.prompt(),
        "tools": list(item.tools),
        "think": think,
        "stream": False,
        "options": {"temperature": 0, "num_predict": TOKEN_LIMIT},
    }
    reply = server.post("/api/chat", body, timeout=_ANSWER_SECONDS).json
    message = reply["message"]
    calls = tuple(
        {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        for call in message.get("tool_calls", ())
    )
    return Reply(item, message["content"], message.get("thinking", ""), calls, reply["done_reason"])


def _percent(right: list[bool]) -> float:
    return round(100 * sum(right) / len(right), 1)


def table(scores: dict[str, dict[str, float]]) -> str:
    """The scores as docs/mini.md has them."""
    forms = list(scores)
    lines = ["| % | wanted | " + " | ".join(forms) + " |", "|---|---|" + "---|" * len(forms)]
    for name in scores["F16"]:
        least = wanted().get(name)
        figures = " | ".join(f"{scores[form][name]:.1f}" for form in forms)
        lines.append(f"| {name} | {'' if least is None else f'{least:.0f}'} | {figures} |")
    return "\n".join(lines) + "\n"


def wanted() -> dict[str, float]:
    """The least that is wanted of a score, in percent."""
    least = {name: score.wanted for name, score in SCORES.items() if score.wanted is not None}
    return least | {STOPS: STOPS_WANTED}


def _unmet(scores: dict[str, dict[str, float]]) -> list[str]:
    """What falls short, a sentence each."""
    asked = wanted()
    short = [
        f"{name}: {scores['F16'][name]} % instead of {least} %"
        for name, least in asked.items()
        if scores["F16"][name] < least
    ]
    for form, points in QUANTIZED.items():
        short += [
            f"{name}: {form} loses {scores['F16'][name] - scores[form][name]:.1f} points"
            for name in asked
            if scores["F16"][name] - scores[form][name] > points
        ]
    return short


def main() -> None:
    """Measure, print a table, write the scores beside the model; 1 where one falls short."""
    parser = argparse.ArgumentParser(prog="mini.evaluate", description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--scores", type=Path, default=Path("src/ayllu/assets/mini.scores.json"))
    options = parser.parse_args()
    scores: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server:
        scores["F16"] = measure(server, options.model)
        for form in QUANTIZED:
            name = f"mini-{form.lower()}"
            server.make(name, **{"from": options.model, "quantize": form})
            scores[form] = measure(server, name)
    sys.stdout.write(table(scores))
    short = _unmet(scores)
    options.scores.write_text(json.dumps(scores, indent=2) + "\n")
    sys.stdout.writelines(f"falls short: {sentence}\n" for sentence in short)
    raise SystemExit(bool(short))


if __name__ == "__main__":
    main()
