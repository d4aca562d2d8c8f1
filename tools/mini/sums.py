"""Sums and differences of numbers up to 20, in digits and in words."""

from __future__ import annotations

import random

from mini.case import Case, Language, as_typed, chance, pick

LIMIT = 20

_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_SPANISH = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés "
    "veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
).split()
_ENGLISH_TENS = {2: "twenty", 3: "thirty", 4: "forty"}
_SPANISH_TENS = {3: "treinta", 4: "cuarenta"}

_QUESTIONS = {
    "en": (
        "What is {sum}?",
        "How much is {sum}?",
        "what's {sum}?",
        "Calculate {sum}.",
        "{sum}?",
        "{sum} =",
        "Can you tell me what {sum} is?",
        "Please add it up: {sum}",
        "I need to know {sum}.",
        "Tell me, how much is {sum}?",
        "Do you know what {sum} is?",
        "Compute {sum}, please.",
        "Solve {sum}",
        "What does {sum} make?",
    ),
    "es": (
        "¿Cuánto es {sum}?",
        "¿Cuánto son {sum}?",
        "¿Cuánto da {sum}?",
        "Calcula {sum}.",
        "{sum}?",
        "{sum} =",
        "¿Me dices cuánto es {sum}?",
        "¿Puedes calcular {sum}?",
        "Necesito saber cuánto es {sum}.",
        "Dime, ¿cuánto es {sum}?",
        "¿Sabes cuánto es {sum}?",
        "Por favor, calcula {sum}.",
        "Resuelve {sum}",
        "¿Qué resultado da {sum}?",
    ),
}
_WORDS = {"en": ("plus", "minus"), "es": ("más", "menos")}
_IS = {"en": "is", "es": "es"}


def spell(number: int, language: Language) -> str:
    """A number from -49 to 49 in words."""
    if number < 0:
        return f"{_WORDS[language][1]} {spell(-number, language)}"
    if language == "en":
        tens, units = divmod(number, 10)
        if number < len(_ENGLISH):
            return _ENGLISH[number]
        return _ENGLISH_TENS[tens] + (f"-{_ENGLISH[units]}" if units else "")
    if number < len(_SPANISH):
        return _SPANISH[number]
    tens, units = divmod(number, 10)
    return _SPANISH_TENS[tens] + (f" y {_SPANISH[units]}" if units else "")


def sums(rng: random.Random, language: Language) -> Case:
    """A sum or a difference, in digits or in words as it is asked."""
    first, second = rng.randint(0, LIMIT), rng.randint(0, LIMIT)
    is_sum = chance(rng, 0.5)
    result = first + second if is_sum else first - second
    word = _WORDS[language][0 if is_sum else 1]
    sign = "+" if is_sum else "-"
    solved = f"{first} {sign} {second} = {result}"
    style = rng.choice(("digits", "digits", "words", "words", "signs"))
    if style == "signs":
        asked = f"{first}{sign}{second}" if chance(rng, 0.5) else f"{first} {sign} {second}"
        answer, thought = f"{solved}.", _thought(language, solved, "")
    elif style == "digits":
        asked = f"{first} {word} {second}"
        answer = f"{first} {word} {second} {_IS[language]} {result}."
        thought = _thought(language, solved, "")
    else:
        asked = f"{spell(first, language)} {word} {spell(second, language)}"
        said = spell(result, language)
        answer = f"{asked} {_IS[language]} {said}."
        answer = answer[:1].upper() + answer[1:]
        thought = _thought(language, solved, said)
    question = pick(rng, *_QUESTIONS[language]).format(sum=asked)
    question = question[:1].upper() + question[1:]
    return Case("sums", language, as_typed(rng, question), answer, thought)


def _thought(language: Language, solved: str, said: str) -> str:
    ending = f", {said}" if said else ""
    if language == "en":
        return f"I calculate: {solved}{ending}."
    return f"Calculo: {solved}{ending}."
