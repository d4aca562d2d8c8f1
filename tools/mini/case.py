"""One exchange of the training data, and the rule that keeps some of them for the evaluation."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

Language = Literal["en", "es"]
Message = dict[str, Any]
Tool = dict[str, Any]

HELD_OUT_SHARE = 1 / 32
"""The share of prompts that training never sees."""

_ACCENTS = str.maketrans("áéíóúüÁÉÍÓÚ", "aeiouuAEIOU")


@dataclass(frozen=True)
class Case:
    """An exchange: what is asked, and the one right answer.

    `kind` names the grammar. `history` are earlier messages, `calls` the calls that the answer
    makes. `thought` is what the model thinks first where thinking is asked for.
    """

    kind: str
    language: Language
    question: str
    answer: str
    thought: str = ""
    system: str = ""
    tools: tuple[Tool, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    history: tuple[Message, ...] = ()
    follow_up: tuple[Message, ...] = ()

    def prompt(self) -> list[Message]:
        """The messages up to the one that is to be answered."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        question = [{"role": "user", "content": self.question}]
        return [*system, *self.history, *question, *self.follow_up]

    def reply(self, *, think: bool) -> Message:
        """The message that answers."""
        message: Message = {"role": "assistant", "content": self.answer}
        if self.calls:
            message["tool_calls"] = [{"type": "function", "function": call} for call in self.calls]
        if think and self.thought:
            message["reasoning_content"] = self.thought
        return message

    def with_system(self, system: str) -> Case:
        """The same under a system prompt."""
        return replace(self, system=system)


def is_held_out(case: Case) -> bool:
    """Whether a prompt belongs to the evaluation: a matter of its text, not of the seed."""
    text = "\0".join((case.system, case.question, *(str(tool) for tool in case.tools)))
    digest = blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest) < HELD_OUT_SHARE * (1 << 32)


def pick(rng: random.Random, *choices: str) -> str:
    """One of several texts."""
    return rng.choice(choices)


def chance(rng: random.Random, share: float) -> bool:
    """Whether something that happens in a share of all cases happens now."""
    return rng.random() < share


def as_typed(rng: random.Random, question: str, *, keep: bool = False) -> str:
    """A question as people type it: at times without capitals, accents or question marks.

    With `keep` the words stay as they are, for they come again in the answer.
    """
    if chance(rng, 0.25):
        question = question[:1].lower() + question[1:]
        if question.startswith("¿"):
            question = "¿" + question[1:2].lower() + question[2:]
    if chance(rng, 0.2):
        question = question.replace("¿", "").replace("¡", "")
    if chance(rng, 0.12):
        question = question.rstrip("?.!")
    if not keep and chance(rng, 0.08):
        question = question.translate(_ACCENTS)
    if not keep and chance(rng, 0.03):
        question = question.lower()
    return question
