"""What the data grammars of mini share: tables, templates and the noise of people who type.

A template may hold alternatives, `(a|b|)`, and fields of a row, `{x}`; `{X}` is the field with a
capital first letter. Everything drawn comes from the random generator that the caller hands in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from mini.case import Language

Row = dict[str, str]

ALTERNATIVES = re.compile(r"\(([^()]*)\)")
BETWEEN = re.compile(r"\|(?![^()]*\))")
"""Between cells: a bar outside of alternatives."""
SPACES = re.compile(r"\s+")
SPACE_BEFORE_MARK = re.compile(r"\s+([,.!?:])")
PLAIN = str.maketrans("áéíóúüÁÉÍÓÚÜ", "aeiouuAEIOUU")
"""Acute accents go when people type in haste; ñ stays, because ano is another word."""

ASKING = {
    "en": [
        "Please tell me, ",
        "Hey mini, ",
        "Hi mini, ",
        "Tell me: ",
        "Quick question: ",
        "Mini, ",
        "Hey, ",
        "Hello, ",
        "I have a question: ",
        "So, ",
        "Ok, ",
        "Can you tell me: ",
        "One question: ",
        "Hi! ",
        "Hello mini! ",
    ],
    "es": [
        "Por favor, ",
        "Oye, ",
        "Hola mini, ",
        "Dime: ",
        "Una pregunta: ",
        "Mini, ",
        "Oye mini, ",
        "Tengo una duda: ",
        "A ver, ",
        "Bueno, ",
        "Por favor, dime: ",
        "Hola, ",
        "Tengo una pregunta: ",
        "¡Hola! ",
        "Hola. ",
    ],
}
TELLING = {
    "en": ["Please, ", "Hey mini, ", "Mini, ", "Ok, ", "Hi, ", "Hello mini, ", "Hey, ", "Now "],
    "es": [
        "Por favor, ",
        "Oye, ",
        "Mini, ",
        "Oye mini, ",
        "Bueno, ",
        "Hola, ",
        "Hola mini, ",
        "Ahora ",
    ],
}
PLEASE = {"en": ", please", "es": ", por favor"}


class Kind(NamedTuple):
    """One kind of question: its phrasings, its one answer, and the rows that fill both."""

    weight: int
    questions: tuple[str, ...]
    answer: str
    rows: tuple[Row, ...] = ({},)


def capital(text: str) -> str:
    """The text with a capital first letter, also after a quote or an opening mark."""
    for place, letter in enumerate(text):
        if letter.isalnum():
            return text[:place] + letter.upper() + text[place + 1 :]
    return text


def rows(fields: str, table: str) -> tuple[Row, ...]:
    """Reads a table: rows end in `;`, fields are split by `|`, spaces and line ends don't count."""
    names = fields.split()
    found: list[Row] = []
    for line in table.split(";"):
        cells = [SPACES.sub(" ", cell).strip() for cell in BETWEEN.split(line)]
        if cells != [""]:
            found.append(dict(zip(names, cells, strict=True)))
    return tuple(found)


def of(thing: str) -> str:
    """Spanish "de" before a thing: "del sol", "de la luna"."""
    return f"del {thing[3:]}" if thing.startswith("el ") else f"de {thing}"


def follow(names: Sequence[str], *, around: bool = False) -> tuple[Row, ...]:
    """Rows of neighbours: `y` comes after `x`; `around` joins the last to the first."""
    following = [*names[1:], names[0]] if around else names[1:]
    return tuple({"x": x, "y": y} for x, y in zip(names, following, strict=False))


def spin(rng: random.Random, template: str) -> str:
    """One of the texts that a template with alternatives stands for."""
    while found := ALTERNATIVES.search(template):
        chosen = rng.choice(found[1].split("|"))
        template = template[: found.start()] + chosen + template[found.end() :]
    return SPACE_BEFORE_MARK.sub(r"\1", SPACES.sub(" ", template)).strip()


def fill(template: str, row: Row) -> str:
    """The template with a row's fields."""
    return template.format(**row, **{name.upper(): capital(cell) for name, cell in row.items()})


def draw(rng: random.Random, kinds: Sequence[Kind]) -> tuple[str, str]:
    """A clean question and its answer."""
    kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
    row = rng.choice(kind.rows)
    question = spin(rng, fill(rng.choice(kind.questions), row))
    return capital(question), fill(kind.answer, row)


def lead_in(rng: random.Random, language: Language, text: str) -> str:
    """The text after a few words that people start with, or before a "please"."""
    if rng.random() < 0.2 and text[-1] in "?.":
        return text[:-1] + PLEASE[language] + text[-1]
    start = rng.choice((ASKING if text.endswith("?") else TELLING)[language])
    own_name = text.startswith(("I ", "I'"))
    if not own_name and start[-2] not in "!.":
        place = 1 if text[0] in "¿¡" else 0
        text = text[:place] + text[place].lower() + text[place + 1 :]
    return start + text


def dress(rng: random.Random, language: Language, text: str, *, lead: bool = True) -> str:
    """The text as people type it: with lead-ins, in lower case, without marks or accents."""
    if lead and rng.random() < 0.3:
        text = lead_in(rng, language, text)
    if rng.random() < 0.35:
        text = text.lower()
    elif rng.random() < 0.02:
        text = text.upper()
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    if rng.random() < 0.4:
        text = text.replace("¿", "").replace("¡", "")
    if language == "es" and rng.random() < 0.35:
        text = text.translate(PLAIN)
    if language == "en" and rng.random() < 0.15:
        text = re.sub(r"(?<=\w)'(?=\w)", "", text)
    if rng.random() < 0.03:
        text = text.replace(",", "")
    return text


def both_ways(pairs: Sequence[Row]) -> tuple[Row, ...]:
    """The pairs `x`, `y` in both directions; a word keeps its first partner."""
    found: dict[str, str] = {}
    for row in pairs:
        found.setdefault(row["x"], row["y"])
    for row in pairs:
        found.setdefault(row["y"], row["x"])
    return tuple({"x": x, "y": y} for x, y in found.items())


def counts(names: Sequence[str], *, down: bool = False) -> tuple[Row, ...]:
    """Counting from `x` to `y`, as `l`; the names start at zero."""
    found = []
    for low in range(1, 6):
        for high in range(low + 2, 13):
            steps = names[low : high + 1][:: -1 if down else 1]
            found.append({"x": steps[0], "y": steps[-1], "l": ", ".join(steps)})
    return tuple(found)


def counting(questions: tuple[str, ...], names: Sequence[str]) -> tuple[Kind, ...]:
    """Counting up and, half as often, down: in digits and by the names, which start at zero."""
    digits = [str(number) for number in range(len(names))]
    return tuple(
        Kind(1 if down else 2, questions, "{L}.", counts(words, down=down))
        for down in (False, True)
        for words in (digits, names)
    )


def order(names: Sequence[str], ordinals: Sequence[str]) -> tuple[Row, ...]:
    """Each name with its place."""
    return tuple({"x": x, "o": o} for x, o in zip(names, ordinals, strict=False))


def larger() -> tuple[Row, ...]:
    """Pairs of a greater (`x`) and a smaller number (`y`)."""
    return tuple({"x": str(x), "y": str(y)} for x in range(1, 21) for y in range(x))


def having(table: Sequence[Row], field: str) -> tuple[Row, ...]:
    """The rows whose field says something."""
    return tuple(row for row in table if row[field] not in {"", "0"})


def shifted(table: Sequence[Row], field: str, steps: Sequence[int]) -> tuple[Row, ...]:
    """Each row with other rows' values of a field, as `w`, for questions whose answer is no."""
    return tuple(
        row | {"w": table[(place + step) % len(table)][field]}
        for place, row in enumerate(table)
        for step in steps
        if table[(place + step) % len(table)][field] != row[field]
    )
