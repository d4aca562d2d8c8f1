"""Cuts a template's text into tokens: text outside actions, and what stands inside `{{` and `}}`.

Trim markers and comments end here; the parser never sees them. The rules are those of
https://pkg.go.dev/text/template#hdr-Text_and_spaces and of Go's own literals.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple, NoReturn

from ayllu.errors import TemplateError

LEFT, RIGHT = "{{", "}}"
SPACES = " \t\r\n"


class Kind(Enum):
    """What a token is."""

    TEXT = auto()
    LEFT = auto()
    RIGHT = auto()
    SPACE = auto()
    DECLARE = auto()
    ASSIGN = auto()
    PIPE = auto()
    OPEN = auto()
    CLOSE = auto()
    CHAR = auto()
    STRING = auto()
    RAW = auto()
    RUNE = auto()
    NUMBER = auto()
    DOT = auto()
    FIELD = auto()
    VARIABLE = auto()
    WORD = auto()
    KEYWORD = auto()
    END = auto()


_STATEMENTS = {"block", "break", "continue", "define", "else", "end", "if", "range", "template"}
KEYWORDS = frozenset({*_STATEMENTS, "with", "nil", "true", "false"})

_PUNCTUATION = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE}

_QUOTED = {
    '"': (re.compile(r'"(?:[^"\\\n]++|\\[^\n])*+"'), Kind.STRING, "unterminated quoted string"),
    "'": (re.compile(r"'(?:[^'\\\n]++|\\[^\n])*+'"), Kind.RUNE, "unterminated character constant"),
    "`": (re.compile(r"`[^`]*`"), Kind.RAW, "unterminated raw quoted string"),
}

_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_SPACE = re.compile(f"[{SPACES}]+")
_TRIMMED_RIGHT = re.compile(rf"[{SPACES}]-{RIGHT}")
_TRIMMED_LEFT = re.compile(rf"{{{{-[{SPACES}]")


class Token(NamedTuple):
    """A piece of the source with the line it starts on."""

    kind: Kind
    text: str
    line: int


def fail(line: int, why: str) -> NoReturn:
    """Raise the error that every stage raises, with its line."""
    raise TemplateError(f"template: line {line}: {why}")


def tokenize(text: str) -> list[Token]:
    """All tokens of a template, an END last. Raises TemplateError."""
    return _Lexer(text).run()


def _is_word(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.parens = 0
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        while self.at < len(self.text):
            self.outside()
        self.emit(Kind.END, "")
        return self.tokens

    def emit(self, kind: Kind, text: str) -> None:
        self.tokens.append(Token(kind, text, self.line))

    def advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def outside(self) -> None:
        found = self.text.find(LEFT, self.at)
        end = len(self.text) if found < 0 else found
        trims = _TRIMMED_LEFT.match(self.text, end) is not None
        plain = self.text[self.at : end]
        plain = plain.rstrip(SPACES) if trims else plain
        if plain:
            self.emit(Kind.TEXT, plain)
        self.advance(end)
        if found >= 0:
            self.left(end + (4 if trims else 2))

    def left(self, start: int) -> None:
        if self.text.startswith("/*", start):
            self.comment(start)
            return
        self.emit(Kind.LEFT, LEFT)
        self.advance(start)
        self.parens = 0
        while self.inside():
            pass

    def comment(self, start: int) -> None:
        end = self.text.find("*/", start + 2)
        if end < 0:
            fail(self.line, "unclosed comment")
        self.advance(end + 2)
        if not self.right(emit=False):
            fail(self.line, "comment ends before closing delimiter")

    def right(self, *, emit: bool = True) -> bool:
        """Step over a closing delimiter; False where there is none."""
        trims = _TRIMMED_RIGHT.match(self.text, self.at) is not None
        if not trims and not self.text.startswith(RIGHT, self.at):
            return False
        if self.parens and emit:
            fail(self.line, "unclosed left paren")
        if emit:
            self.emit(Kind.RIGHT, RIGHT)
        self.advance(self.at + (4 if trims else 2))
        space = _SPACE.match(self.text, self.at)
        if trims and space:
            self.advance(space.end())
        return True

    def inside(self) -> bool:
        """Take one token of an action; False at the action's end."""
        if self.right():
            return False
        if self.at >= len(self.text):
            fail(self.line, "unclosed action")
        char = self.text[self.at]
        if char in SPACES:
            self.space()
        elif char in _QUOTED:
            self.quoted(char)
        elif char in "+-0123456789" or (char == "." and self.peek(1).isdecimal()):
            self.number()
        elif char in ".$" or _is_word(char):
            self.word(char)
        else:
            self.punctuation(char)
        return True

    def peek(self, ahead: int) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def take(self, kind: Kind, end: int) -> None:
        self.emit(kind, self.text[self.at : end])
        self.advance(end)

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        end = found.end() if found else self.at
        if _TRIMMED_RIGHT.match(self.text, end - 1):
            end -= 1
        if end > self.at:
            self.take(Kind.SPACE, end)

    def quoted(self, quote: str) -> None:
        pattern, kind, why = _QUOTED[quote]
        found = pattern.match(self.text, self.at)
        if not found:
            fail(self.line, why)
        self.take(kind, found.end())

    def number(self) -> None:
        found = _NUMBER.match(self.text, self.at)
        end = found.end() if found else self.at
        if _is_word(self.text[end : end + 1] or " "):
            fail(self.line, f"bad number syntax: {self.text[self.at : end + 1]!r}")
        self.take(Kind.NUMBER, end)

    def word(self, first: str) -> None:
        """A field, a variable, a function's name or a keyword."""
        end = self.at + 1
        while end < len(self.text) and _is_word(self.text[end]):
            end += 1
        after = self.text[end : end + 1]
        if after and after not in SPACES + ".,|:()" and not self.text.startswith(RIGHT, end):
            fail(self.line, f"bad character {after!r}")
        word = self.text[self.at : end]
        if first == ".":
            kind = Kind.DOT if word == "." else Kind.FIELD
        elif first == "$":
            kind = Kind.VARIABLE
        else:
            kind = Kind.KEYWORD if word in KEYWORDS else Kind.WORD
        self.take(kind, end)

    def punctuation(self, char: str) -> None:
        if char == ":":
            if self.peek(1) != "=":
                fail(self.line, "expected :=")
            self.take(Kind.DECLARE, self.at + 2)
            return
        if not (char.isascii() and char.isprintable()):
            fail(self.line, f"unrecognized character in action: {char!r}")
        self.parens += (char == "(") - (char == ")")
        if self.parens < 0:
            fail(self.line, "unexpected right paren")
        self.take(_PUNCTUATION.get(char, Kind.CHAR), self.at + 1)
