"""Words to copy, to upper-case and to make names and little stories of."""

from __future__ import annotations

import random

from mini.case import Case, Language, as_typed, chance, pick

WORDS = {
    "en": (
        "house tree river stone bread water light night morning garden window door table chair "
        "book paper pencil music song dance friend family mother father brother sister child "
        "school street city village mountain valley lake sea island boat train car bicycle bird "
        "cat dog horse cow sheep fish lion mouse rabbit apple orange lemon grape potato tomato "
        "corn rice soup cheese butter milk sugar salt coffee tea spoon fork knife plate cup glass "
        "red blue green yellow black white small big long short old new good happy quiet quick "
        "slow warm cold soft strong clean sweet open early late today tomorrow always never here "
        "there with under over between run walk read write sing play open close give take bring "
        "learn teach help work rest dream laugh smile wait look listen the a my your our this "
        "that"
    ).split(),
    "es": (
        "casa árbol río piedra pan agua luz noche mañana jardín ventana puerta mesa silla libro "
        "papel lápiz música canción baile amigo familia madre padre hermano hermana niño escuela "
        "calle ciudad pueblo montaña valle lago mar isla barco tren coche bicicleta pájaro gato "
        "perro caballo vaca oveja pez león ratón conejo manzana naranja limón uva papa tomate "
        "maíz arroz sopa queso mantequilla leche azúcar sal café té cuchara tenedor cuchillo "
        "plato taza vaso rojo azul verde amarillo negro blanco pequeño grande largo corto viejo "
        "nuevo bueno feliz tranquilo rápido lento tibio frío suave fuerte limpio dulce abierto "
        "temprano tarde hoy siempre nunca aquí allí con bajo sobre entre correr caminar leer "
        "escribir cantar jugar abrir cerrar dar tomar traer aprender enseñar ayudar trabajar "
        "descansar soñar reír esperar mirar escuchar el la mi tu nuestro este esa"
    ).split(),
}

NAMES = (
    "Ana Luis Carmen Pedro María José Lucía Diego Elena Pablo Rosa Juan Sofía Miguel Julia "
    "Carlos Marta Andrés Clara Hugo Inés Óscar Paula Raúl Silvia Tomás Valeria Bruno Nora "
    "Iván Laura Alice Bob Emma Oliver Grace Henry Ruby Jack Lily Thomas Ella George Lucy Sam "
    "Kate Peter Mia Max Zoe Leo Eva Adam Ivy Noah Ada Alan Linus Killa Wayra Inti Illa Sami "
    "Tupac Nina Amaru Yaku Rumi Sumaq Luna Sol Estrella Atlas Nova Robi Chip Pixel Kai Yuki "
    "Hana Omar Layla Amir Ravi Priya Chen Mei Olga Boris Anya Lars Freya Nils Heidi"
).split()

_SYLLABLES = (
    "ba be bo ca co cu da de di fa fi go gu ha jo ka ki la le li lo lu ma me mi mo mu na ne "
    "ni no pa pe pi ra re ri ro ru sa se si so su ta te ti to tu va ve vi ya yo za zo"
).split()
_ENDINGS = ("", "", "n", "r", "s", "l", "x")

_COPY = {
    "en": ("Repeat: {t}", "Repeat after me: {t}", "Say: {t}", "Copy this text: {t}",
           "Write exactly this: {t}", "Please repeat: {t}", "Echo: {t}",
           "Say this back to me: {t}"),
    "es": ("Repite: {t}", "Repite conmigo: {t}", "Di: {t}", "Copia este texto: {t}",
           "Escribe exactamente esto: {t}", "Por favor, repite: {t}", "Eco: {t}",
           "Devuélveme este texto: {t}"),
}  # fmt: skip
_UPPER = {
    "en": ("Upper case: {t}", "Write in capital letters: {t}", "Make this upper case: {t}",
           "In capitals: {t}", "Put this in uppercase, please: {t}", "Shout: {t}"),
    "es": ("Mayúsculas: {t}", "Escribe en mayúsculas: {t}", "Pasa esto a mayúsculas: {t}",
           "En mayúsculas: {t}", "Pon esto en mayúsculas, por favor: {t}", "Grita: {t}"),
}  # fmt: skip
_LOWER = {
    "en": ("Lower case: {t}", "Write in small letters: {t}", "Make this lower case: {t}"),
    "es": ("Minúsculas: {t}", "Escribe en minúsculas: {t}", "Pasa esto a minúsculas: {t}"),
}
_THOUGHTS = {
    "en": ("I copy the text.", "I write the text in capitals.",
           "I write the text in small letters."),
    "es": ("Copio el texto.", "Escribo el texto en mayúsculas.", "Escribo el texto en minúsculas."),
}  # fmt: skip


def invented(rng: random.Random) -> str:
    """A word or name that nobody has, so that copying is learnt and not remembered."""
    word = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3)))
    return word + rng.choice(_ENDINGS)


def name(rng: random.Random) -> str:
    """A first name; every second one is invented."""
    return rng.choice(NAMES) if chance(rng, 0.5) else invented(rng).capitalize()


def phrase(rng: random.Random, language: Language, longest: int = 6) -> str:
    """Some words; sense is not needed."""
    words = [rng.choice(WORDS[language]) for _ in range(rng.randint(1, longest))]
    if chance(rng, 0.25):
        words[rng.randrange(len(words))] = invented(rng)
    if chance(rng, 0.15):
        words.append(str(rng.randint(0, 999)))
    return " ".join(words)


def copying(rng: random.Random, language: Language) -> Case:
    """A text to be repeated, or written in capitals or small letters."""
    text = phrase(rng, language)
    choice = rng.choice((0, 0, 1, 1, 2))
    if choice == 0:
        text = text.capitalize() if chance(rng, 0.4) else text
        text += pick(rng, "", "", "!", ".", "?")
        asked, answer = pick(rng, *_COPY[language]), text
    elif choice == 1:
        asked, answer = pick(rng, *_UPPER[language]), text.upper()
    else:
        asked, answer = pick(rng, *_LOWER[language]), text
        text = text.upper()
    return Case("copy", language, asked.format(t=text), answer, _THOUGHTS[language][choice])


_STORY_ASKED = {
    "en": ("Tell me a story about {n}.", "Write a short story about {n}.",
           "A story about {n}, please.",
           "Can you tell me a story about {n}?", "I want a story about {n}."),
    "es": ("Cuéntame un cuento sobre {n}.", "Escribe un cuento corto sobre {n}.",
           "Un cuento sobre {n}, por favor.", "¿Me cuentas un cuento sobre {n}?",
           "Quiero un cuento sobre {n}."),
}  # fmt: skip
_BEASTS = {
    "en": ("a cat", "a dog", "a llama", "a rabbit", "a bird", "a fox", "a mouse", "a bear"),
    "es": ("un gato", "un perro", "una llama", "un conejo", "un pájaro", "un zorro", "un ratón",
           "un oso"),
}  # fmt: skip
_PLACES = {
    "en": ("in the forest", "by the river", "in the mountains", "in a small village",
           "near the sea"),
    "es": ("en el bosque", "junto al río", "en las montañas", "en un pueblo pequeño",
           "cerca del mar"),
}  # fmt: skip
_FINDS = {
    "en": ("a red apple", "an old book", "a blue stone", "a lost key", "a little boat",
           "a yellow flower"),
    "es": ("una manzana roja", "un libro viejo", "una piedra azul", "una llave perdida",
           "un barco pequeño", "una flor amarilla"),
}  # fmt: skip
_FRIENDS = {
    "en": ("gave it to a friend", "showed it to everybody", "shared it with the family"),
    "es": ("se lo regaló a un amigo", "se lo mostró a todos", "lo compartió con la familia"),
}
_TALES = {
    "en": "Once upon a time there was {beast} called {name} who lived {place}. One day {name} "
    "found {find}. {name} was very happy and {friend}. From that day on, nobody was sad {place}.",
    "es": "Había una vez {beast} que se llamaba {name} y vivía {place}. Un día {name} encontró "
    "{find}. {name} se puso muy feliz y {friend}. Desde ese día, nadie estuvo triste {place}.",
}


def tale(rng: random.Random, language: Language, beast: str = "") -> str:
    """A story of four sentences."""
    return _TALES[language].format(
        beast=beast or rng.choice(_BEASTS[language]),
        name=rng.choice(NAMES),
        place=rng.choice(_PLACES[language]),
        find=rng.choice(_FINDS[language]),
        friend=rng.choice(_FRIENDS[language]),
    )


def story(rng: random.Random, language: Language) -> Case:
    """A story that is asked for."""
    beast = rng.choice(_BEASTS[language])
    if chance(rng, 0.2):
        question = {"en": "Tell me a story.", "es": "Cuéntame un cuento."}[language]
    else:
        question = pick(rng, *_STORY_ASKED[language]).format(n=beast)
    thought = {"en": "A story, in English.", "es": "Un cuento, en español."}[language]
    return Case("story", language, as_typed(rng, question), tale(rng, language, beast), thought)
