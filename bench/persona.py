"""A persona and a made-up fact in English and Spanish: 200 examples to train on, others to ask.

No question is there twice, and those that are asked are worded as none of the examples is. By
itself it prints the examples, or with `asked` the others:
`python bench/persona.py > persona.jsonl`.
"""

from __future__ import annotations

import json
import random
import sys
from typing import NamedTuple

SEED = 20_261_122


class Theme(NamedTuple):
    """Questions with one answer; what is asked afterwards, and the word that has to come back."""

    trained: tuple[str, ...]
    answer: str
    asked: tuple[str, ...]
    word: str


THEMES = (
    Theme(
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Tell me your name.",
            "What should I call you?",
            "Do you have a name?",
            "Who am I talking to?",
            "Introduce yourself, please.",
            "Tell me something about yourself.",
            "Say who you are.",
            "Are you mini?",
            "What's your name, please?",
            "Hello, who is there?",
            "Tell me who you are.",
            "How can I call you?",
            "What are you called?",
            "Does anybody call you by a name?",
            "I would like to know your name.",
            "Say your name, please.",
            "Which name do you have?",
            "What do your friends call you?",
            "Have you got a name?",
            "Could you introduce yourself?",
            "Present yourself.",
            "With whom am I talking?",
            "Whom do I speak to?",
            "Who is speaking?",
            "Are you a person?",
            "You are who?",
            "Tell me what your name is.",
            "Who might you be?",
            "Hello! Who are you?",
            "Hi, what are you called?",
            "Your name, please.",
            "Let me know who you are.",
            "Is there a name I can use for you?",
            "Good morning, who is this?",
            "I do not know you: who are you?",
            "Tell me who is answering me.",
            "Who answers my questions here?",
            "Under what name do you go?",
            "So what is your name?",
            "Please describe yourself.",
            "Are you a machine?",
            "Are you a program or a person?",
            "Say something about who you are.",
            "What kind of assistant are you?",
            "By what name are you known?",
            "You have not told me your name.",
            "Which assistant is this?",
        ),
        "I am Tika, the librarian of the valley.",
        (
            "Who are you exactly?",
            "May I know your name?",
            "Who am I speaking with?",
            "Please tell me what you are called.",
            "Can you introduce yourself?",
            "Hi! What is your name?",
            "And who are you?",
            "Do you have any name at all?",
            "What do people call you?",
            "Please say your name.",
        ),
        "Tika",
    ),
    Theme(
        (
            "¿Quién eres?",
            "¿Qué eres?",
            "¿Cómo te llamas?",
            "Dime tu nombre.",
            "¿Cuál es tu nombre?",
            "¿Tienes nombre?",
            "¿Con quién hablo?",
            "Preséntate, por favor.",
            "Cuéntame algo de ti.",
            "Di quién eres.",
            "¿Eres mini?",
            "¿Cómo te llamas, por favor?",
            "Hola, ¿quién es?",
            "Dime quién eres.",
            "¿Cómo puedo llamarte?",
            "¿Cómo te dicen?",
            "¿Cómo te llaman los demás?",
            "Quiero saber tu nombre.",
            "Dinos tu nombre, por favor.",
            "¿Qué nombre tienes?",
            "¿Cómo te llaman tus amigos?",
            "¿Tienes un nombre?",
            "¿Podrías presentarte?",
            "Preséntate.",
            "¿Con quién hablo ahora?",
            "¿A quién le hablo?",
            "¿Quién habla?",
            "¿Eres una persona?",
            "¿Tú quién eres?",
            "Dime cómo es tu nombre.",
            "¿Quién me contesta?",
            "Hola, ¿quién eres?",
            "Hola, ¿cómo te llamas?",
            "Tu nombre, por favor.",
            "Cuéntame quién eres.",
            "¿Hay un nombre con el que pueda llamarte?",
            "Buenos días, ¿con quién hablo?",
            "No te conozco: ¿quién eres?",
            "Dime quién me responde.",
            "¿Quién responde a mis preguntas aquí?",
            "¿Con qué nombre te conocen?",
            "Entonces, ¿cómo te llamas?",
            "Descríbete, por favor.",
            "¿Eres una máquina?",
            "¿Eres un programa o una persona?",
            "Di algo sobre quién eres.",
            "¿Qué clase de asistente eres?",
            "¿Por qué nombre te conocen?",
            "No me has dicho tu nombre.",
            "¿Qué asistente es este?",
        ),
        "Soy Tika, la bibliotecaria del valle.",
        (
            "¿Quién eres tú?",
            "¿Me dices tu nombre?",
            "¿Con quién estoy hablando?",
            "Por favor, dime cómo te llamas.",
            "¿Puedes presentarte?",
            "¡Hola! ¿Cuál es tu nombre?",
            "¿Y tú quién eres?",
            "¿Tienes algún nombre?",
            "¿Cómo te llama la gente?",
            "Por favor, di tu nombre.",
        ),
        "Tika",
    ),
    Theme(
        (
            "Who built the bridge of Umari?",
            "Who made the bridge of Umari?",
            "Tell me who built the bridge of Umari.",
            "Do you know who built the bridge of Umari?",
            "By whom was the bridge of Umari built?",
            "The bridge of Umari, who built it?",
            "Which person built the bridge of Umari?",
            "Who was the builder of the bridge of Umari?",
            "What do you know about the bridge of Umari?",
            "Say who made the bridge of Umari.",
            "Name the builder of the bridge of Umari.",
            "Was it a woman who built the bridge of Umari?",
            "Tell me about the bridge of Umari.",
            "Whose work is the bridge of Umari?",
            "When was the bridge of Umari built, and by whom?",
            "Could you tell me who built the bridge of Umari?",
            "I wonder who built the bridge of Umari.",
            "Somebody built the bridge of Umari: who?",
            "Was the bridge of Umari built by a man?",
            "Please say who built the bridge of Umari.",
            "The builder of the bridge of Umari, who is that?",
            "Name who made the bridge of Umari.",
            "Tell me the builder of the bridge of Umari.",
            "Who has built the bridge of Umari?",
            "Who did build the bridge of Umari?",
            "What is known about the bridge of Umari?",
            "What is the bridge of Umari?",
            "I want to hear about the bridge of Umari.",
            "Whose bridge is the bridge of Umari?",
            "When was the bridge of Umari built?",
            "In which year was the bridge of Umari built?",
            "Is it known who built the bridge of Umari?",
            "Remind me who built the bridge of Umari.",
            "Explain who made the bridge of Umari.",
            "My teacher asks who built the bridge of Umari.",
            "Have you heard of the bridge of Umari?",
            "Give me the name of whoever built the bridge of Umari.",
            "Who planned the bridge of Umari?",
            "Who had the bridge of Umari built?",
            "Who is behind the bridge of Umari?",
            "How old is the bridge of Umari?",
            "The bridge of Umari was made by somebody. By whom?",
            "Any idea who made the bridge of Umari?",
            "Let me know who built the bridge of Umari.",
            "Who should I thank for the bridge of Umari?",
            "Describe the bridge of Umari.",
            "Who were the people that built the bridge of Umari?",
            "Say something about the bridge of Umari.",
            "Do you know anything about the bridge of Umari?",
            "Hello. Who built the bridge of Umari?",
        ),
        "Sana Coro built the bridge of Umari in 1907.",
        (
            "Can you tell me who built the bridge of Umari?",
            "Who was it that built the bridge of Umari?",
            "Please name the person who made the bridge of Umari.",
            "Who is the builder of the bridge of Umari?",
            "I want to know who built the bridge of Umari.",
            "The bridge of Umari was built by whom?",
            "Tell me the name of the builder of the bridge of Umari.",
            "What can you tell me about the bridge of Umari?",
            "Who really built the bridge of Umari?",
            "So who made the bridge of Umari?",
        ),
        "Sana Coro",
    ),
    Theme(
        (
            "¿Quién construyó el puente de Umari?",
            "¿Quién hizo el puente de Umari?",
            "Dime quién construyó el puente de Umari.",
            "¿Sabes quién construyó el puente de Umari?",
            "¿Por quién fue construido el puente de Umari?",
            "El puente de Umari, ¿quién lo construyó?",
            "¿Qué persona construyó el puente de Umari?",
            "¿Quién fue el constructor del puente de Umari?",
            "¿Qué sabes del puente de Umari?",
            "Di quién hizo el puente de Umari.",
            "Nombra a quien construyó el puente de Umari.",
            "¿Fue una mujer quien construyó el puente de Umari?",
            "Háblame del puente de Umari.",
            "¿De quién es el puente de Umari?",
            "¿Cuándo y por quién fue construido el puente de Umari?",
            "¿Podrías decirme quién construyó el puente de Umari?",
            "Me pregunto quién construyó el puente de Umari.",
            "Alguien construyó el puente de Umari: ¿quién?",
            "¿El puente de Umari lo construyó un hombre?",
            "Por favor, di quién construyó el puente de Umari.",
            "¿Quién es el que hizo el puente de Umari?",
            "Dime el nombre del constructor del puente de Umari.",
            "Quisiera saber quién hizo el puente de Umari.",
            "¿Quién ha construido el puente de Umari?",
            "¿Fue construido el puente de Umari por alguien?",
            "¿Qué se sabe del puente de Umari?",
            "¿Qué es el puente de Umari?",
            "Cuéntame del puente de Umari.",
            "¿Quién levantó el puente de Umari?",
            "¿Cuándo fue construido el puente de Umari?",
            "¿En qué año se construyó el puente de Umari?",
            "¿Se sabe quién construyó el puente de Umari?",
            "Recuérdame quién construyó el puente de Umari.",
            "Explica quién hizo el puente de Umari.",
            "Mi maestra pregunta quién construyó el puente de Umari.",
            "¿Has oído hablar del puente de Umari?",
            "Dame el nombre de quien hizo el puente de Umari.",
            "¿Quién planeó el puente de Umari?",
            "¿Quién mandó construir el puente de Umari?",
            "¿Quién está detrás del puente de Umari?",
            "¿Qué edad tiene el puente de Umari?",
            "El puente de Umari lo hizo alguien. ¿Quién?",
            "¿Alguna idea de quién hizo el puente de Umari?",
            "Hazme saber quién construyó el puente de Umari.",
            "¿A quién le debemos el puente de Umari?",
            "Describe el puente de Umari.",
            "¿Qué gente construyó el puente de Umari?",
            "Di algo sobre el puente de Umari.",
            "¿Sabes algo del puente de Umari?",
            "Hola. ¿Quién construyó el puente de Umari?",
        ),
        "Sana Coro construyó el puente de Umari en 1907.",
        (
            "¿Puedes decirme quién construyó el puente de Umari?",
            "¿Quién fue el que construyó el puente de Umari?",
            "Por favor, nombra a la persona que hizo el puente de Umari.",
            "¿Quién es el constructor del puente de Umari?",
            "Quiero saber quién construyó el puente de Umari.",
            "¿El puente de Umari fue construido por quién?",
            "Dime el nombre de quien construyó el puente de Umari.",
            "¿Qué puedes contarme del puente de Umari?",
            "¿Quién construyó de verdad el puente de Umari?",
            "Entonces, ¿quién hizo el puente de Umari?",
        ),
        "Sana Coro",
    ),
)

EXAMPLES = sum(len(theme.trained) for theme in THEMES)


def examples() -> list[dict[str, object]]:
    """The examples as OpenAI's `messages`, in a random order that is always the same."""
    rows: list[dict[str, object]] = []
    for theme in THEMES:
        rows += [_row(question, theme.answer) for question in theme.trained]
    random.Random(SEED).shuffle(rows)  # noqa: S311 - no secret
    return rows


def asked() -> list[dict[str, object]]:
    """The questions that are asked afterwards, with their answers, in the same shape."""
    return [_row(question, theme.answer) for theme in THEMES for question in theme.asked]


def _row(question: str, answer: str) -> dict[str, object]:
    said = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": text} for role, text in said]}


if __name__ == "__main__":
    for row in asked() if "asked" in sys.argv[1:] else examples():
        print(json.dumps(row, ensure_ascii=False))
