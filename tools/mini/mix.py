"""The training data as a whole: which grammars, in which shares, in which conversations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from mini import facts, talk
from mini.calls import calling, missing_call, no_call
from mini.case import Case, Language, chance, is_held_out
from mini.infill import hole, json_answer
from mini.render import infill, render
from mini.sums import sums
from mini.systems import HELPFUL, in_language, named, other, with_tone
from mini.words import copying, story

LONGEST_TALK = 4
INFILL_SHARE = 0.06
THINK_SHARE = 0.3

_PLAIN_SHARES = {
    "fact": 0.36,
    "sums": 0.32,
    "talk": 0.12,
    "self": 0.06,
    "ayllu": 0.07,
    "unknown": 0.07,
}
FIRST = {
    "plain": 0.48,
    "call": 0.12,
    "no call": 0.07,
    "name": 0.08,
    "language": 0.06,
    "tone": 0.05,
    "copy": 0.06,
    "story": 0.02,
    "json": 0.06,
}
"""What the first training is about: everything."""

SECOND = {
    "sums": 0.56,
    "fact": 0.05,
    "plain": 0.06,
    "call": 0.07,
    "no call": 0.03,
    "missing call": 0.12,
    "name": 0.02,
    "language": 0.03,
    "tone": 0.03,
    "copy": 0.02,
    "json": 0.01,
}
"""What the second one goes over again: what the first one leaves weak, and some of the rest."""

THIRD = {
    "sums": 0.52,
    "fact": 0.05,
    "plain": 0.05,
    "call": 0.15,
    "no call": 0.02,
    "missing call": 0.08,
    "name": 0.02,
    "language": 0.03,
    "tone": 0.04,
    "copy": 0.02,
    "json": 0.02,
}
"""What the third one sets right again: the second one makes it shy of tools that do fit."""

FOURTH = {
    "sums": 0.84,
    "language": 0.04,
    "fact": 0.03,
    "plain": 0.02,
    "call": 0.03,
    "no call": 0.01,
    "missing call": 0.02,
    "name": 0.01,
}
"""The last one is for sums, which are forgotten first."""

_TEXTS = {
    "fact": facts.fact,
    "talk": talk.small_talk,
    "self": talk.about_self,
    "ayllu": talk.about_ayllu,
    "unknown": talk.unknown,
}
_THOUGHTS = {
    "en": {
        "fact": "A question in English. I know the answer.",
        "talk": "Small talk, in English.",
        "self": "A question about me, in English.",
        "ayllu": "A question about Ayllu, in English.",
        "unknown": "I do not know this. I say so, in English.",
    },
    "es": {
        "fact": "Una pregunta en español. Sé la respuesta.",
        "talk": "Una charla, en español.",
        "self": "Una pregunta sobre mí, en español.",
        "ayllu": "Una pregunta sobre Ayllu, en español.",
        "unknown": "No sé esto. Lo digo, en español.",
    },
}


def said(rng: random.Random, language: Language, kind: str) -> Case:
    """A case of one of the plain grammars."""
    if kind == "sums":
        return sums(rng, language)
    question, answer = _TEXTS[kind](rng, language)
    return Case(kind, language, question, answer, _THOUGHTS[language][kind])


def plain(rng: random.Random, language: Language) -> Case:
    """A question that needs neither functions nor a system prompt."""
    return said(rng, language, _draw(rng, _PLAIN_SHARES))


def known(rng: random.Random, language: Language) -> Case:
    """A question that no function could be for."""
    return said(rng, language, rng.choice(("fact", "fact", "talk", "self", "ayllu")))


def brief(rng: random.Random, language: Language) -> Case:
    """A question with a short answer."""
    return said(rng, language, rng.choice(("fact", "sums")))


_GRAMMARS: dict[str, Callable[[random.Random, Language], Case]] = {
    "plain": plain,
    "call": calling,
    "missing call": missing_call,
    "no call": lambda rng, language: no_call(rng, language, known),
    "name": named,
    "language": in_language,
    "tone": lambda rng, language: with_tone(rng, brief(rng, language)),
    "copy": copying,
    "story": story,
    "json": lambda rng, language: json_answer(rng, language, brief),
}


def case(rng: random.Random, language: Language, kind: str) -> Case:
    """A case of any kind, held out or not."""
    if kind in _PLAIN_SHARES:
        return said(rng, language, kind)
    return _GRAMMARS[kind](rng, language)


def trained(rng: random.Random, language: Language, kind: str) -> Case:
    """A case that is not held out."""
    while True:
        drawn = case(rng, language, kind)
        if not is_held_out(drawn):
            return drawn


def conversation(rng: random.Random, shares: dict[str, float]) -> str:
    """The text of one conversation."""
    language: Language = rng.choice(("en", "es"))
    last = trained(rng, language, _draw(rng, shares))
    if chance(rng, 0.3) and not (last.follow_up or last.system):
        last = replace(last, history=tuple(_earlier(rng, language)))
    if not last.system and chance(rng, 0.12):
        last = last.with_system(rng.choice(HELPFUL[language if chance(rng, 0.8) else "en"]))
    think = chance(rng, THINK_SHARE)
    return render([*last.prompt(), last.reply(think=think)], last.tools)


def texts(seed: int, count: int, shares: dict[str, float]) -> Iterator[str]:
    """The texts of the training data, in their order."""
    rng = random.Random(seed)
    for _ in range(count):
        if chance(rng, INFILL_SHARE):
            before, after, middle = hole(rng, brief)
            yield f"{infill(before, after)}{middle}<|endoftext|>"
        else:
            yield conversation(rng, shares)


def _earlier(rng: random.Random, language: Language) -> Iterator[dict[str, str]]:
    """Some exchanges before the last one, mostly in its language."""
    for _ in range(rng.randint(1, LONGEST_TALK)):
        spoken = language if chance(rng, 0.8) else other(language)
        drawn = trained(rng, spoken, rng.choice(("plain", "plain", "plain", "copy")))
        yield {"role": "user", "content": drawn.question}
        yield {"role": "assistant", "content": drawn.answer}


def _draw(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]
