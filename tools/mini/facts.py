"""Simple true facts as questions and answers, for mini to learn by heart.

The tables are in `facts_en` and `facts_es`; this draws from them. Each question has one answer.
"""

from __future__ import annotations

import random

from mini import facts_en, facts_es
from mini.case import Language
from mini.grammar import draw, dress

KINDS = {"en": facts_en.KINDS, "es": facts_es.KINDS}


def fact(rng: random.Random, language: Language) -> tuple[str, str]:
    """A question about a simple fact, as people type it, and its true answer."""
    question, answer = draw(rng, KINDS[language])
    return dress(rng, language, question), answer
