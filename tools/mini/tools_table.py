"""The functions that the training data calls: names, typed arguments, and what people say."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mini.case import Language
from mini.words import name, phrase

Maker = Callable[[random.Random, Language], Any]

CITIES = {
    "en": ("Lima", "Cusco", "Paris", "London", "Rome", "Madrid", "Boston", "Tokyo", "Berlin",
           "Quito", "Cairo", "Oslo", "Sydney", "Toronto", "Chicago", "Dublin", "Delhi", "Vienna"),
    "es": ("Lima", "Cusco", "París", "Londres", "Roma", "Madrid", "Bogotá", "Tokio", "Berlín",
           "Quito", "La Paz", "Oslo", "Sevilla", "Toronto", "Caracas", "Santiago", "Valencia",
           "México"),
}  # fmt: skip
_ROOMS = {
    "en": ("kitchen", "bedroom", "bathroom", "garage", "garden", "office", "living room"),
    "es": ("cocina", "dormitorio", "baño", "garaje", "jardín", "oficina", "sala"),
}
_TONGUES = {
    "en": ("English", "Spanish", "French", "German", "Italian", "Quechua"),
    "es": ("inglés", "español", "francés", "alemán", "italiano", "quechua"),
}
_COINS = ("USD", "EUR", "PEN", "GBP", "MXN", "JPY", "CLP", "COP")
_GENRES = ("rock", "jazz", "salsa", "cumbia", "pop", "folk", "blues", "tango")
_UNITS = ("celsius", "fahrenheit")


def number(low: int, high: int) -> Maker:
    """A maker of whole numbers."""
    return lambda rng, _: rng.randint(low, high)


def half(low: int, high: int) -> Maker:
    """A maker of numbers, every other one with a half."""
    return lambda rng, _: rng.randint(low, high) + rng.choice((0, 0.5))


def city(rng: random.Random, language: Language) -> str:
    """A city, at times one that nobody knows."""
    return rng.choice(CITIES[language]) if rng.random() < 0.7 else name(rng)


def one_of(*values: str) -> Maker:
    """A maker of one of some values."""
    return lambda rng, _: rng.choice(values)


def by_language(values: Mapping[str, tuple[str, ...]]) -> Maker:
    """A maker of one of some values of a language."""
    return lambda rng, language: rng.choice(values[language])


def some_name(rng: random.Random, _: Language) -> str:
    """A first name."""
    return name(rng)


def some_words(rng: random.Random, language: Language) -> str:
    """A few words."""
    return phrase(rng, language, 4)


@dataclass(frozen=True)
class Parameter:
    """A typed argument."""

    name: str
    type: str
    about: str
    make: Maker
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function: its names, its arguments, what people say for it, and what is said of a result.

    `result` makes the fields of a result; `told` says them.
    """

    names: tuple[str, ...]
    about: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    asked: dict[Language, tuple[str, ...]]
    result: dict[str, Maker]
    told: dict[Language, str]


_CITY = Parameter("city", "string", "The name of the city", city)
_A = Parameter("a", "integer", "First number", number(0, 99))
_B = Parameter("b", "integer", "Second number", number(0, 99))
_MINUTES = Parameter("minutes", "integer", "How many minutes", number(1, 60))
_ROOM = Parameter("room", "string", "The room", by_language(_ROOMS))
_TO = Parameter("to", "string", "Who gets it", some_name)
_TEXT = Parameter("text", "string", "The text", some_words)

FUNCTIONS = (
    Function(
        ("get_weather", "weather", "get_current_weather", "weather_now"),
        ("Get the weather of a city", "Current weather for a city", "What the weather is like"),
        (_CITY,),
        {
            "en": ("What's the weather in {city}?", "What is the weather like in {city}?",
                   "How is the weather in {city} today?", "Weather in {city}, please.",
                   "Is it raining in {city}?", "Tell me the weather in {city}."),
            "es": ("¿Qué tiempo hace en {city}?", "¿Cómo está el clima en {city}?",
                   "¿Qué tal el tiempo en {city} hoy?", "El clima de {city}, por favor.",
                   "¿Está lloviendo en {city}?", "Dime el tiempo en {city}."),
        },
        {"temperature": number(-5, 38)},
        {"en": "It is {temperature} degrees in {city}.",
         "es": "Hay {temperature} grados en {city}."},
    ),
    Function(
        ("get_temperature", "temperature", "read_temperature"),
        ("Get the temperature of a city", "Temperature in a unit"),
        (_CITY, Parameter("unit", "string", "Unit of the temperature", one_of(*_UNITS), _UNITS)),
        {
            "en": ("What's the temperature in {city} in {unit}?",
                   "How many degrees {unit} is it in {city}?",
                   "Temperature of {city} in {unit}, please."),
            "es": ("¿Qué temperatura hay en {city} en {unit}?",
                   "¿Cuántos grados {unit} hay en {city}?",
                   "Temperatura de {city} en {unit}, por favor."),
        },
        {"temperature": number(-5, 99)},
        {"en": "It is {temperature} degrees {unit} in {city}.",
         "es": "Hay {temperature} grados {unit} en {city}."},
    ),
    Function(
        ("get_time", "current_time", "get_current_time", "clock"),
        ("Get the time in a city", "What time it is in a city"),
        (_CITY,),
        {
            "en": ("What time is it in {city}?", "Tell me the time in {city}.",
                   "Time in {city}, please.", "Do you know what time it is in {city}?"),
            "es": ("¿Qué hora es en {city}?", "Dime la hora en {city}.",
                   "La hora de {city}, por favor.", "¿Sabes qué hora es en {city}?"),
        },
        {"time": lambda rng, _: f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"},
        {"en": "It is {time} in {city}.", "es": "Son las {time} en {city}."},
    ),
    Function(
        ("add", "add_numbers", "add_two_numbers", "sum"),
        ("Add two numbers", "Sum of two numbers"),
        (_A, _B),
        {
            "en": ("Add {a} and {b}.", "Add {a} and {b} with the tool.", "What is {a} plus {b}?",
                   "How much is {a} + {b}?", "Sum {a} and {b}, please."),
            "es": ("Suma {a} y {b}.", "Suma {a} y {b} con la herramienta.",
                   "¿Cuánto es {a} más {b}?", "¿Cuánto es {a} + {b}?", "Súmame {a} y {b}."),
        },
        {"result": number(0, 198)},
        {"en": "The result is {result}.", "es": "El resultado es {result}."},
    ),
    Function(
        ("multiply", "multiply_numbers", "product"),
        ("Multiply two numbers", "Product of two numbers"),
        (_A, _B),
        {
            "en": ("Multiply {a} by {b}.", "What is {a} times {b}?", "How much is {a} * {b}?"),
            "es": ("Multiplica {a} por {b}.", "¿Cuánto es {a} por {b}?", "¿Cuánto es {a} * {b}?"),
        },
        {"result": number(0, 999)},
        {"en": "The result is {result}.", "es": "El resultado es {result}."},
    ),
    Function(
        ("set_timer", "start_timer", "timer"),
        ("Start a timer", "Set a timer in minutes"),
        (_MINUTES,),
        {
            "en": ("Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes.",
                   "Timer, {minutes} minutes.", "Wake me in {minutes} minutes."),
            "es": ("Pon un temporizador de {minutes} minutos.",
                   "Inicia un temporizador de {minutes} minutos.",
                   "Temporizador, {minutes} minutos.", "Avísame en {minutes} minutos."),
        },
        {"ok": one_of("true")},
        {"en": "The timer is set for {minutes} minutes.",
         "es": "El temporizador está puesto para {minutes} minutos."},
    ),
    Function(
        ("send_message", "send_text", "message", "send_email"),
        ("Send a message to somebody", "Send a text to a person"),
        (_TO, _TEXT),
        {
            "en": ("Send a message to {to}: {text}", "Write to {to}: {text}",
                   "Tell {to} this: {text}", "Message for {to}: {text}"),
            "es": ("Envía un mensaje a {to}: {text}", "Escribe a {to}: {text}",
                   "Dile esto a {to}: {text}", "Mensaje para {to}: {text}"),
        },
        {"ok": one_of("true")},
        {"en": "I sent the message to {to}.", "es": "Envié el mensaje a {to}."},
    ),
    Function(
        ("light_on", "turn_on_light", "switch_light_on"),
        ("Turn on the light of a room",),
        (_ROOM,),
        {
            "en": ("Turn on the light in the {room}.", "Light on in the {room}, please.",
                   "Switch on the {room} light."),
            "es": ("Enciende la luz de: {room}.", "Luz en: {room}, por favor.",
                   "Prende la luz, {room}."),
        },
        {"ok": one_of("true")},
        {"en": "The light in the {room} is on.", "es": "La luz está encendida: {room}."},
    ),
    Function(
        ("set_light", "dim_light", "light"),
        ("Set the light of a room", "Brightness of a room's light"),
        (_ROOM, Parameter("level", "integer", "Brightness in percent", number(0, 100))),
        {
            "en": ("Set the light in the {room} to {level}.", "Dim the {room} to {level} percent."),
            "es": ("Pon la luz de {room} al {level}.",
                   "Baja la luz, {room}, al {level} por ciento."),
        },
        {"ok": one_of("true")},
        {"en": "The light in the {room} is at {level}.", "es": "La luz está al {level}: {room}."},
    ),
    Function(
        ("translate", "translate_text", "translator"),
        ("Translate a text", "Translate words into a language"),
        (_TEXT, Parameter("language", "string", "Target language", by_language(_TONGUES))),
        {
            "en": ("Translate into {language}: {text}", "Say in {language}: {text}"),
            "es": ("Traduce al {language}: {text}", "Di en {language}: {text}"),
        },
        {"translation": some_words},
        {"en": "In {language}: {translation}", "es": "En {language}: {translation}"},
    ),
    Function(
        ("convert_money", "convert_currency", "exchange"),
        ("Convert money", "Convert an amount of one currency into another"),
        (
            Parameter("amount", "number", "How much money", half(1, 200)),
            Parameter("source", "string", "Currency to convert", one_of(*_COINS)),
            Parameter("target", "string", "Currency wanted", one_of(*_COINS)),
        ),
        {
            "en": ("Convert {amount} {source} to {target}.",
                   "How much is {amount} {source} in {target}?"),
            "es": ("Convierte {amount} {source} a {target}.",
                   "¿Cuánto es {amount} {source} en {target}?"),
        },
        {"value": half(1, 500)},
        {"en": "{amount} {source} are {value} {target}.",
         "es": "{amount} {source} son {value} {target}."},
    ),
    Function(
        ("play_music", "play", "music"),
        ("Play music", "Play music of a genre"),
        (Parameter("genre", "string", "Kind of music", one_of(*_GENRES)),),
        {
            "en": ("Play some {genre}.", "I want to hear {genre}.", "Put on {genre} music."),
            "es": ("Pon algo de {genre}.", "Quiero escuchar {genre}.", "Pon música {genre}."),
        },
        {"ok": one_of("true")},
        {"en": "Now playing {genre}.", "es": "Suena {genre}."},
    ),
    Function(
        ("search", "web_search", "find", "search_files"),
        ("Search for a text", "Find something"),
        (Parameter("query", "string", "What to search for", some_words),),
        {
            "en": ("Search for {query}", "Find {query}", "Look for {query}"),
            "es": ("Busca {query}", "Encuentra {query}", "Búscame {query}"),
        },
        {"count": number(0, 50)},
        {"en": "I found {count} results.", "es": "Encontré {count} resultados."},
    ),
    Function(
        ("book_table", "reserve_table", "make_reservation"),
        ("Book a table in a restaurant",),
        (
            Parameter("people", "integer", "Number of people", number(1, 12)),
            Parameter("hour", "integer", "Hour of the day", number(12, 23)),
        ),
        {
            "en": ("Book a table for {people} at {hour}.",
                   "A table for {people} people at {hour}, please."),
            "es": ("Reserva una mesa para {people} a las {hour}.",
                   "Una mesa para {people} personas a las {hour}, por favor."),
        },
        {"ok": one_of("true")},
        {"en": "Your table for {people} is booked at {hour}.",
         "es": "Su mesa para {people} está reservada a las {hour}."},
    ),
)  # fmt: skip
