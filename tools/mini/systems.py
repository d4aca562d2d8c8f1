"""System prompts that are followed: a name, a language, a tone, an ending."""

from __future__ import annotations

import random
from dataclasses import replace

from mini.case import Case, Language, as_typed, chance, pick
from mini.sums import sums
from mini.words import invented, name, phrase

_NAMED = {
    "en": ("Your name is {n}.", "You are {n}.", "You are called {n}.", "You are {n}, an assistant.",
           "You are a helpful assistant called {n}.", "Act as {n}.",
           "You're {n}, a friendly helper."),
    "es": ("Te llamas {n}.", "Tu nombre es {n}.", "Eres {n}.", "Eres {n}, un asistente.",
           "Eres una asistente llamada {n}.", "Actúa como {n}.", "Eres {n}, una ayuda amable."),
}  # fmt: skip
_MORE = {
    "en": ("", "", " You are helpful.", " You work for a library.", " Be brief.",
           " You answer kindly.", " You live in {p}.", " You help people with sums."),
    "es": ("", "", " Eres útil.", " Trabajas para una biblioteca.", " Sé breve.",
           " Respondes con amabilidad.", " Vives en {p}.", " Ayudas a la gente con las cuentas."),
}  # fmt: skip
_WHO = {
    "en": ("What's your name?", "What is your name?", "Who are you?", "Tell me your name.",
           "How are you called?", "May I know your name?", "Your name?", "Hello, what's your name?",
           "Hi! Who am I talking to?", "Please tell me your name."),
    "es": ("¿Cómo te llamas?", "¿Cuál es tu nombre?", "¿Quién eres?", "Dime tu nombre.",
           "¿Me dices tu nombre?", "¿Tu nombre?", "Hola, ¿cómo te llamas?", "¿Con quién hablo?",
           "¡Hola! ¿Quién eres?", "Por favor, dime tu nombre."),
}  # fmt: skip
_I_AM = {"en": "My name is {n}.", "es": "Me llamo {n}."}
_PLACES = ("Lima", "Cusco", "Madrid", "London", "Quito", "Paris", "Bogotá", "Boston")
_NAME_THOUGHT = {
    "en": "The system says that my name is {n}.",
    "es": "El sistema dice que me llamo {n}.",
}

HELPFUL = {
    "en": ("You are a helpful assistant.", "You are a helpful, honest assistant.",
           "Answer in one short sentence.", "Be friendly and brief.", "You are a good teacher.",
           "You are an AI assistant that answers questions."),
    "es": ("Eres un asistente útil.", "Eres un asistente útil y honesto.",
           "Responde con una frase corta.", "Sé amable y breve.", "Eres un buen profesor.",
           "Eres una IA que responde preguntas."),
}  # fmt: skip
"""System prompts that change nothing."""

_TOGETHER = {
    "en": ("{s} Answer in English.", "{s} Always reply in English.", "{s} Speak English."),
    "es": ("{s} Responde en español.", "{s} Contesta siempre en español.", "{s} Habla español."),
}
_ONLY = {
    "en": ("Answer in English.", "Always answer in English.", "Reply only in English.",
           "You speak English.", "Respond in English, whatever the question.",
           "Responde en inglés.", "Responde siempre en inglés."),
    "es": ("Answer in Spanish.", "Always answer in Spanish.", "Reply only in Spanish.",
           "Responde en español.", "Responde siempre en español.", "Habla solo español.",
           "Contesta en español, sea cual sea la pregunta."),
}  # fmt: skip
_ENDING = {
    "en": ("End every answer with '{w}'.", "Always end with: {w}", "Finish each answer with {w}",
           "After each answer write {w}"),
    "es": ("Termina cada respuesta con '{w}'.", "Acaba siempre con: {w}",
           "Termina siempre con {w}", "Después de cada respuesta escribe {w}"),
}  # fmt: skip
_TONES = {
    "en": {
        "You are a pirate.": "Arr! {a}",
        "Talk like a pirate.": "Arr! {a}",
        "Be very polite.": "With pleasure. {a}",
        "You are very polite.": "With pleasure. {a}",
        "Be cheerful.": "Great question! {a}",
        "You are cheerful and happy.": "Great question! {a}",
        "You are a butler.": "Certainly, sir. {a}",
        "Answer in capital letters.": "upper",
        "Always shout.": "upper",
        "Write everything in upper case.": "upper",
    },
    "es": {
        "Eres un pirata.": "¡Arr! {a}",
        "Habla como un pirata.": "¡Arr! {a}",
        "Sé muy cortés.": "Con mucho gusto. {a}",
        "Eres muy cortés.": "Con mucho gusto. {a}",
        "Sé alegre.": "¡Qué buena pregunta! {a}",
        "Eres alegre y feliz.": "¡Qué buena pregunta! {a}",
        "Eres un mayordomo.": "Por supuesto, señor. {a}",
        "Responde en mayúsculas.": "upper",
        "Grita siempre.": "upper",
        "Escribe todo en mayúsculas.": "upper",
    },
}
_TONE_THOUGHT = {"en": "I follow the system prompt.", "es": "Sigo al sistema."}


def other(language: Language) -> Language:
    """The other language."""
    return "es" if language == "en" else "en"


def named(rng: random.Random, language: Language) -> Case:
    """The name that the system prompt gives, asked for; at times in the other language."""
    called = name(rng)
    spoken = language if chance(rng, 0.75) else other(language)
    system = pick(rng, *_NAMED[spoken]) + pick(rng, *_MORE[spoken])
    if chance(rng, 0.15):
        system = pick(rng, *_TOGETHER[language]).format(s=system)
    system = system.format(n=called, p=rng.choice(_PLACES))
    question = as_typed(rng, pick(rng, *_WHO[language]))
    thought = _NAME_THOUGHT[language].format(n=called)
    return Case("name", language, question, _I_AM[language].format(n=called), thought, system)


def in_language(rng: random.Random, language: Language) -> Case:
    """A question in one language with a system prompt that wants the other, or the same."""
    asked = language if chance(rng, 0.3) else other(language)
    seed = rng.getrandbits(32)
    wanted = sums(random.Random(seed), language)
    question = sums(random.Random(seed), asked).question
    system = pick(rng, *_ONLY[language])
    if chance(rng, 0.3):
        called = name(rng)
        system = pick(rng, *_NAMED[language]).format(n=called) + " " + system
        question = as_typed(rng, pick(rng, *_WHO[asked]))
        answer = _I_AM[language].format(n=called)
        wanted = replace(wanted, answer=answer, thought=_NAME_THOUGHT[language].format(n=called))
    return replace(wanted, kind="language", question=question, system=system)


def with_tone(rng: random.Random, plain: Case) -> Case:
    """Any case under a system prompt that changes how it is said."""
    language = plain.language
    if chance(rng, 0.4):
        word = pick(rng, invented(rng), invented(rng).upper() + "!", phrase(rng, language, 2))
        system, answer = pick(rng, *_ENDING[language]).format(w=word), f"{plain.answer} {word}"
    else:
        system = rng.choice(list(_TONES[language]))
        style = _TONES[language][system]
        answer = plain.answer.upper() if style == "upper" else style.format(a=plain.answer)
    thought = _TONE_THOUGHT[language]
    return replace(plain, kind="tone", system=system, answer=answer, thought=thought)
