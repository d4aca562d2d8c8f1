"""Modelfiles: parsing with line numbers, printing, and the typing of parameters. Pure.

Grammar and words are Ollama's (https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx), with
one difference: of characters that do not print, only control characters are dropped, so that joined
emoji and no-break spaces survive.
"""

from __future__ import annotations

import codecs
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from msgspec import Struct

from ayllu.errors import BadRequestError, ModelfileError
from ayllu.types import Json, Options

COMMANDS = (
    "from",
    "license",
    "template",
    "system",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "parameter",
    "message",
    "requires",
)
ROLES = ("system", "user", "assistant")
DEPRECATED_PARAMETERS = frozenset(
    {
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
    }
)
"""Accepted and ignored."""

_WANTED = (
    "command must be one of "
    + ", ".join(f'"{name}"' for name in COMMANDS[:-1])
    + f', or "{COMMANDS[-1]}"'
)
_WRONG_ROLE = 'message role must be one of "system", "user", or "assistant"'
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_KEY_LETTERS = _LETTERS | frozenset("0123456789_")
_BLANK = " \t"
_SPACE = " \t\n\v\f\r\x85\xa0"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Command(Struct, frozen=True):
    """One instruction: `name` is lower-case, `value` unquoted.

    `key` is a parameter's name or a message's role, else empty. `line` is where it begins.
    """

    name: str
    value: str
    key: str = ""
    line: int = 0


class Modelfile(Struct, frozen=True):
    """A Modelfile's instructions in order."""

    commands: tuple[Command, ...]

    def all(self, name: str) -> tuple[str, ...]:
        """The values of an instruction that may repeat."""
        return tuple(command.value for command in self.commands if command.name == name)

    def last(self, name: str) -> str | None:
        """The value of an instruction of which the last one wins."""
        values = self.all(name)
        return values[-1] if values else None

    def parameters(self) -> dict[str, Json]:
        """The parameters, typed; deprecated ones are left out. Raises ModelfileError."""
        values: dict[str, list[str]] = {}
        typed: dict[str, Json] = {}
        for command in self.commands:
            if command.name != "parameter" or command.key in DEPRECATED_PARAMETERS:
                continue
            values.setdefault(command.key, []).append(command.value)
            try:
                typed[command.key] = parse_parameter(command.key, values[command.key])
            except BadRequestError as error:
                raise ModelfileError(f"(line {command.line}): {error}") from error
        return typed


def parse_modelfile(source: str | bytes) -> Modelfile:
    """The instructions of a Modelfile in UTF-8, or UTF-16 with a byte order mark.

    Raises ModelfileError, with the line number.
    """
    text = _decode(source) if isinstance(source, bytes) else source
    reader = _Reader(text.removeprefix("\ufeff"))
    commands = []
    while (command := reader.command()) is not None:
        commands.append(command)
    if not any(command.name == "from" for command in commands):
        raise ModelfileError("no FROM line")
    return Modelfile(tuple(commands))


def format_modelfile(modelfile: Modelfile) -> str:
    """A Modelfile's text, one instruction a line."""
    return "".join(f"{_format(command)}\n" for command in modelfile.commands)


def quote(value: str) -> str:
    """A value as it is written in a Modelfile: literal where that reads back, else quoted.

    A text that breaks a line right after three quotes cannot be written in this grammar; it gets
    three quotes all the same.
    """
    plain = value and not ("\n" in value or value[0] in _SPACE or value[-1] in _SPACE)
    if plain and _unquote(value) == value:
        return value
    once, thrice = f'"{value}"', f'"""{value}"""'
    if '"' in value and _reads_back(thrice, value):
        return thrice
    return once if _reads_back(once, value) else thrice


def parse_parameter(name: str, values: Sequence[str]) -> Json:
    """A parameter's value, typed as the option of that name: of a list all values, else the last.

    Raises BadRequestError in Ollama's words.
    """
    if name not in _PARAMETERS:
        raise BadRequestError(f"unknown parameter '{name}'")
    kind, parse = _PARAMETERS[name]
    parsed = []
    for value in values if kind in LIST_KINDS else values[-1:]:
        try:
            parsed.append(parse(value))
        except ValueError as error:
            raise BadRequestError(
                f"invalid {LIST_KINDS.get(kind, kind)} value [{value}]"
            ) from error
    return parsed if kind in LIST_KINDS else parsed[0]


def typed_parameters(parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters with the types of their options; nulls and deprecated ones are left out.

    Raises BadRequestError in Ollama's words.
    """
    return {
        name: _typed(name, value)
        for name, value in parameters.items()
        if value is not None and name not in DEPRECATED_PARAMETERS
    }


def check_scales(scales: Sequence[float], adapters: int) -> None:
    """Raises BadRequestError for more scales than adapters, and for one that is out of range."""
    if len(scales) > adapters:
        raise BadRequestError(
            f"adapter_scale names more scales ({len(scales)}) than the model has adapters "
            f"({adapters})"
        )
    if not all(abs(scale) <= LARGEST_SCALE for scale in scales):
        raise BadRequestError(f'option "adapter_scale" is out of range: at most {LARGEST_SCALE}')


def _typed(name: str, value: Json) -> Json:
    if name not in _PARAMETERS:
        raise BadRequestError(f"unknown parameter '{name}'")
    kind = _PARAMETERS[name][0]
    if kind in LIST_KINDS:
        items = value if isinstance(value, list) else [value]
        return [_typed_as(LIST_KINDS[kind], kind, name, item) for item in items]
    return _typed_as(kind, kind, name, value)


def _typed_as(kind: str, whole: str, name: str, value: Json) -> Json:
    """One value of a parameter that is of the kind `whole`."""
    if kind in {"bool", "string"}:
        if isinstance(value, bool if kind == "bool" else str):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 1 << 63:
            raise BadRequestError(f'option "{name}" is out of range')
        return int(value) if kind == "int" else float(value)
    raise BadRequestError(f'option "{name}" must be of type {KIND_WORDS[whole]}')


class _Reader:
    """The state machine: reads one instruction after another, counting lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        """Step over the next character."""
        character = self.peek()
        self.at += 1
        self.line += character == "\n"
        return character

    def command(self) -> Command | None:
        self.skip_to_command()
        if not self.peek():
            return None
        line, name = self.line, self.word(_LETTERS).lower()
        if name not in COMMANDS or self.peek() not in _BLANK:
            raise self.error(_WANTED if name not in COMMANDS else f"{name.upper()} has no value")
        key = ""
        if name in {"parameter", "message"}:
            key = self.key(name)
        return Command(name, self.value(), key, line)

    def skip_to_command(self) -> None:
        while (character := self.peek()) and (_is_dropped(character) or character in " \t\n#"):
            self.take()
            if character == "#":
                while self.peek() not in {"", "\n"}:
                    self.take()

    def word(self, letters: frozenset[str]) -> str:
        start = self.at
        while self.peek() in letters:
            self.take()
        if not self.peek():
            raise self.error("unexpected EOF")
        return self.text[start : self.at]

    def key(self, name: str) -> str:
        """A parameter's name or a message's role, and the blank after it."""
        while self.peek() and self.peek() in _BLANK:
            self.take()
        key = self.word(_LETTERS if name == "message" else _KEY_LETTERS)
        if name == "message" and key not in ROLES:
            raise self.error(_WRONG_ROLE)
        if not key or self.peek() not in _BLANK:
            raise self.error(f"{name.upper()} must be followed by a name, a space and a value")
        return key

    def value(self) -> str:
        """What follows up to the end of the line, or of the line on which the quotes close."""
        opened, start = self.line, self.at
        while character := self.peek():
            if character == "\n" and _unquote(_clean(self.text[start : self.at])) is not None:
                break
            self.take()
        value = _unquote(_clean(self.text[start : self.at]))
        if value is None:
            raise self.error(f"unexpected EOF: the quote opened on line {opened} never closes")
        return value

    def error(self, sentence: str) -> ModelfileError:
        return ModelfileError(f"(line {self.line}): {sentence}")


def _decode(source: bytes) -> str:
    encoding = "utf-8"
    if source.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        return source.decode(encoding)
    except UnicodeDecodeError as error:
        line = source[: error.start].count(b"\n") + 1
        raise ModelfileError(f"(line {line}): the Modelfile is not {encoding.upper()}") from error


def _is_dropped(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) == "Cc"


def _clean(raw: str) -> str:
    return "".join(character for character in raw if not _is_dropped(character)).strip(_SPACE)


def _unquote(text: str) -> str | None:
    """The text without its quotes; None while they are still open."""
    if text.startswith('"""'):
        return text[3:-3] if len(text) >= 6 and text.endswith('"""') else None
    if text.startswith('"'):
        return text[1:-1] if len(text) >= 2 and text.endswith('"') else None
    return text


def _reads_back(raw: str, value: str) -> bool:
    """Whether a quoted text is one value to the parser, and the right one."""
    lines = raw.split("\n")
    starts = ("\n".join(lines[:count]) for count in range(1, len(lines)))
    return _unquote(_clean(raw)) == value and all(_unquote(_clean(s)) is None for s in starts)


def _format(command: Command) -> str:
    key = f"{command.key} " if command.key else ""
    return f"{command.name.upper()} {key}{quote(command.value)}"


def _bool(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _int(text: str) -> int:
    if not text.isascii() or "_" in text or text != text.strip():
        raise ValueError(text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if "_" in text or not math.isfinite(number):
        raise ValueError(text)
    return number


_PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "tuple[float": ("floats", _float),
    "int": ("int", _int),
    "float": ("float", _float),
    "bool": ("bool", _bool),
    "tuple[str": ("list", str),
    "str": ("string", str),
}
_PARAMETERS = {
    name: next(parser for word, parser in _PARSERS.items() if word in str(hint))
    for name, hint in get_type_hints(Options).items()
}
"""What each parameter is called when it is wrong, and how it is read."""

PARAMETER_KINDS = {name: kind for name, (kind, _) in _PARAMETERS.items()}
"""The parameters there are: `int`, `float`, `bool`, `string`, `list` (of texts) or `floats`."""

LIST_KINDS = {"list": "string", "floats": "float"}
"""The kinds of which a Modelfile names a value a line, and the kind of one."""

LARGEST_SCALE = 100
"""Of an adapter, in either direction; 1 is as it was trained."""

MOST_ADAPTERS = 16
"""Of one model, and of models that share an engine."""

KIND_WORDS = {
    "int": "integer",
    "float": "float32",
    "bool": "boolean",
    "list": "array",
    "floats": "array",
    "string": "string",
}
"""What Ollama calls the kinds in its messages."""
