"""Lines with a hole in the middle, and answers in JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from mini.case import Case, Language, as_typed, chance, pick
from mini.sums import LIMIT
from mini.tools_table import CITIES
from mini.words import name, tale

_CODE = (
    "def {f}({a}, {b}):\n    return {a} {o} {b}\n",
    "for {a} in range({n}):\n    print({a})\n",
    "{a} = {n}\n{b} = {a} {o} {m}\nprint({b})\n",
    "if {a} > {n}:\n    {b} = {a}\nelse:\n    {b} = {n}\n",
    "def {f}({a}):\n    print({a})\n    return {a}\n",
    "while {a} < {n}:\n    {a} = {a} + 1\n",
    "{a} = [{n}, {m}]\nfor {b} in {a}:\n    print({b})\n",
)
_FUNCTION_NAMES = ("add", "sum", "total", "mix", "join", "count", "show", "double", "area")
_VARIABLES = ("a", "b", "x", "y", "i", "n", "left", "right", "value", "item", "size")


def code(rng: random.Random) -> str:
    """A few lines of Python."""
    first, second = rng.sample(_VARIABLES, 2)
    return rng.choice(_CODE).format(
        f=rng.choice(_FUNCTION_NAMES),
        a=first,
        b=second,
        o=rng.choice("+-*"),
        n=rng.randint(0, LIMIT),
        m=rng.randint(0, LIMIT),
    )


def hole(
    rng: random.Random, answers: Callable[[random.Random, Language], Case]
) -> tuple[str, str, str]:
    """What stands before a hole, after it, and in it."""
    language: Language = rng.choice(("en", "es"))
    kind = rng.random()
    if kind < 0.25:
        text = code(rng)
    elif kind < 0.5:
        text = tale(rng, language)
    else:
        text = answers(rng, language).answer
    if chance(rng, 0.8):  # whole words
        cuts = [i for i, letter in enumerate(text) if letter in " \n.,("] + [0, len(text)]
    else:
        cuts = list(range(len(text) + 1))
    start, end = sorted((rng.choice(cuts), rng.choice(cuts)))
    end = min(end, start + 60)
    return text[:start], text[end:], text[start:end]


_PEOPLE = {
    "en": ("{n} is {a} years old and lives in {c}.", "{n}, {a} years, {c}.",
           "I know {n} from {c}, who is {a}."),
    "es": ("{n} tiene {a} años y vive en {c}.", "{n}, {a} años, {c}.",
           "Conozco a {n} de {c}, que tiene {a}."),
}  # fmt: skip
_AS_JSON = {
    "en": ("As JSON with {k}: {t}", "Give me {k} as JSON. {t}", "JSON with the keys {k}: {t}",
           "Extract {k} as JSON: {t}"),
    "es": ("Como JSON con {k}: {t}", "Dame {k} como JSON. {t}", "JSON con las claves {k}: {t}",
           "Extrae {k} como JSON: {t}"),
}  # fmt: skip
_ANSWER_JSON = {
    "en": ("Answer in JSON: {q}", "Reply as JSON with the key answer: {q}", "{q} Answer in JSON."),
    "es": ("Responde en JSON: {q}", "Contesta como JSON con la clave answer: {q}",
           "{q} Responde en JSON."),
}  # fmt: skip
_THOUGHT = {"en": "I answer in JSON.", "es": "Respondo en JSON."}


def json_answer(
    rng: random.Random, language: Language, other: Callable[[random.Random, Language], Case]
) -> Case:
    """An answer that is a JSON object: facts of a person, or another answer in a key."""
    if chance(rng, 0.4):
        case = other(rng, language)
        question = pick(rng, *_ANSWER_JSON[language]).format(q=case.question)
        answer = json.dumps({"answer": case.answer}, ensure_ascii=False)
        return Case("json", language, question, answer, _THOUGHT[language])
    facts = {"name": name(rng), "age": rng.randint(1, 99), "city": rng.choice(CITIES[language])}
    text = pick(rng, *_PEOPLE[language]).format(n=facts["name"], a=facts["age"], c=facts["city"])
    keys = rng.sample(list(facts), rng.choice((1, 2, 2, 3)))
    question = pick(rng, *_AS_JSON[language]).format(k=", ".join(keys), t=text)
    answer = json.dumps({key: facts[key] for key in keys}, ensure_ascii=False)
    return Case("json", language, as_typed(rng, question, keep=True), answer, _THOUGHT[language])
