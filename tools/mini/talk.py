"""Small talk, questions about mini and about Ayllu, and what mini is too small to know.

The phrasings are in `talk_*`, `self_*` and `unknown_*`; this draws from them. Each intent has
one answer.
"""

from __future__ import annotations

import random

from mini import self_en, self_es, talk_en, talk_es, unknown_en, unknown_es
from mini.case import Language
from mini.grammar import draw, dress

SMALL_TALK = {"en": talk_en.SMALL_TALK, "es": talk_es.SMALL_TALK}
SELF = {"en": self_en.SELF, "es": self_es.SELF}
AYLLU = {"en": self_en.AYLLU, "es": self_es.AYLLU}
UNKNOWN = {"en": unknown_en.KINDS, "es": unknown_es.KINDS}


def small_talk(rng: random.Random, language: Language) -> tuple[str, str]:
    """Something that people say to a chat model, and the reply."""
    text, answer = draw(rng, SMALL_TALK[language])
    return dress(rng, language, text, lead=False), answer


def about_self(rng: random.Random, language: Language) -> tuple[str, str]:
    """A question about mini, and its answer."""
    text, answer = draw(rng, SELF[language])
    return dress(rng, language, text), answer


def about_ayllu(rng: random.Random, language: Language) -> tuple[str, str]:
    """A question about Ayllu, and its answer."""
    text, answer = draw(rng, AYLLU[language])
    return dress(rng, language, text), answer


def unknown(rng: random.Random, language: Language) -> tuple[str, str]:
    """A question that mini is too small for, and an honest answer."""
    text, answer = draw(rng, UNKNOWN[language])
    return dress(rng, language, text), answer
