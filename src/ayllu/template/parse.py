"""Builds parse trees out of tokens; checks everything that can be known before a run.

Names of functions, variables in scope, where `break` may stand, nesting: all of it ends in a
TemplateError with its line. The grammar is that of https://pkg.go.dev/text/template, with `else
with` from Go 1.23.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from ayllu.template import nodes
from ayllu.template.funcs import FUNCTIONS
from ayllu.template.lex import SPACES, Kind, Token, fail, tokenize
from ayllu.template.literals import read_number, read_rune, read_string

MAX_SOURCE = 64 * 1024
"""Characters of a template; those of the Ollama library have a few thousand."""

MAX_NESTING = 100
"""Parentheses and control structures inside one another, each `else if` counting as one."""

_CONSTANTS: dict[Kind, Callable[[str], bool | float | str]] = {
    Kind.NUMBER: read_number,
    Kind.RUNE: read_rune,
    Kind.STRING: read_string,
    Kind.RAW: read_string,
}

_WORDS: dict[str, Callable[[int], nodes.Expression]] = {
    "true": lambda line: nodes.Constant(line, value=True),
    "false": lambda line: nodes.Constant(line, value=False),
    "nil": nodes.Nil,
}

_BRANCHES: dict[str, type[nodes.If | nodes.With | nodes.Range]] = {
    "if": nodes.If,
    "with": nodes.With,
    "range": nodes.Range,
}


class _Stop(NamedTuple):
    """What ended a body: `end`, `else`, or nothing more to read."""

    word: str
    line: int


def parse_trees(text: str) -> Mapping[str, nodes.Body]:
    """The bodies of all templates that a text defines, its own under "". Raises TemplateError."""
    if len(text) > MAX_SOURCE:
        fail(1, f"the template has more than {MAX_SOURCE} characters")
    parser = _Parser(tokenize(text))
    parser.main()
    return MappingProxyType(parser.trees)


def _is_empty(body: nodes.Body) -> bool:
    return all(isinstance(node, nodes.Text) and not node.text.strip(SPACES) for node in body)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.trees: dict[str, nodes.Body] = {}
        self.scope = ["$"]
        self.known = Counter(self.scope)
        self.loops = 0
        self.depth = 0

    # Tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.tokens[self.at]
        self.at += token.kind is not Kind.END
        return token

    def skip_space(self) -> Token:
        """The next token that is not space, still to be taken."""
        while self.tokens[self.at].kind is Kind.SPACE:
            self.at += 1
        return self.tokens[self.at]

    def expect(self, kind: Kind, where: str) -> Token:
        token = self.skip_space()
        if token.kind is not kind:
            self.unexpected(token, where)
        return self.next()

    def at_keyword(self, word: str) -> bool:
        token = self.skip_space()
        return token.kind is Kind.KEYWORD and token.text == word

    def unexpected(self, token: Token, where: str) -> NoReturn:
        what = "end of template" if token.kind is Kind.END else repr(token.text)
        fail(token.line, f"unexpected {what} in {where}")

    def deeper(self, line: int) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            fail(line, f"the template nests more than {MAX_NESTING} deep")

    # Variables

    def declare(self, name: str) -> None:
        self.scope.append(name)
        self.known[name] += 1

    def forget(self, mark: int) -> None:
        for name in self.scope[mark:]:
            self.known[name] -= 1
        del self.scope[mark:]

    # Bodies

    def main(self) -> None:
        body: list[nodes.Statement] = []
        while True:
            part, stop = self.body(top=True)
            body.extend(part)
            if not stop.word:
                break
            if stop.word != "define":
                fail(stop.line, f"unexpected {{{{{stop.word}}}}}")
            self.definition()
        self.add("", tuple(body), 1)

    def add(self, name: str, body: nodes.Body, line: int) -> None:
        """Keep a template; one that holds only space gives way to another of its name."""
        if name not in self.trees or _is_empty(self.trees[name]):
            self.trees[name] = body
        elif not _is_empty(body):
            fail(line, f"multiple definition of template {name!r}")

    def body(self, *, top: bool = False) -> tuple[nodes.Body, _Stop]:
        """Statements up to an `{{end}}`, an `{{else` or the end; at the top also a `{{define`."""
        found: list[nodes.Statement] = []
        while True:
            token = self.next()
            if token.kind is Kind.END:
                return tuple(found), _Stop("", token.line)
            if token.kind is Kind.TEXT:
                found.append(nodes.Text(token.line, token.text))
                continue
            for word in ("end", "else", "define") if top else ("end", "else"):
                if self.at_keyword(word):
                    self.next()
                    return tuple(found), _Stop(word, token.line)
            found.append(self.action(token.line))

    def inner(self, where: str) -> nodes.Body:
        """A body that only `{{end}}` may close."""
        body, stop = self.body()
        if stop.word != "end":
            what = f"{{{{{stop.word}}}}}" if stop.word else "end of template"
            fail(stop.line, f"unexpected {what} in {where}")
        self.expect(Kind.RIGHT, "end")
        return body

    def apart(self, name: str, line: int) -> None:
        """Parse the body of a `define` or `block`, which sees nothing of what is around it."""
        outside = self.scope, self.known, self.loops
        self.scope, self.known, self.loops = ["$"], Counter("$"), 0
        self.deeper(line)
        self.add(name, self.inner(f"template {name!r}"), line)
        self.depth -= 1
        self.scope, self.known, self.loops = outside

    def definition(self) -> None:
        name = self.name("define clause")
        self.apart(name, self.expect(Kind.RIGHT, "define clause").line)

    def name(self, where: str) -> str:
        token = self.skip_space()
        if token.kind not in (Kind.STRING, Kind.RAW):
            self.unexpected(token, where)
        return str(self.constant(self.next()).value)

    # Actions

    def action(self, line: int) -> nodes.Statement:
        token = self.skip_space()
        if token.kind is not Kind.KEYWORD or token.text in _WORDS:
            return nodes.Action(line, self.pipeline("command", Kind.RIGHT))
        self.next()
        if token.text in _BRANCHES:
            return self.branch(token.text, line)
        if token.text in ("break", "continue"):
            return self.jump(token.text, line)
        if token.text in ("template", "block"):
            return self.invocation(token.text, line)
        return self.unexpected(token, "command")

    def jump(self, word: str, line: int) -> nodes.Statement:
        self.expect(Kind.RIGHT, f"{{{{{word}}}}}")
        if not self.loops:
            fail(line, f"{{{{{word}}}}} outside {{{{range}}}}")
        return nodes.Break(line) if word == "break" else nodes.Continue(line)

    def invocation(self, word: str, line: int) -> nodes.Statement:
        name = self.name(f"{word} clause")
        pipe = None
        if word == "template" and self.skip_space().kind is Kind.RIGHT:
            self.next()
        else:
            pipe = self.pipeline(f"{word} clause", Kind.RIGHT)
        if word == "block":
            self.apart(name, line)
        return nodes.Invoke(line, name, pipe)

    def branch(self, word: str, line: int) -> nodes.Statement:
        """`if`, `with` or `range`, from after the word to its `{{end}}`."""
        mark = len(self.scope)
        self.deeper(line)
        pipe = self.pipeline(word, Kind.RIGHT)
        self.loops += word == "range"
        body, stop = self.body()
        self.loops -= word == "range"
        orelse: nodes.Body = ()
        if stop.word == "else":
            orelse = self.otherwise(word)
        elif stop.word == "end":
            self.expect(Kind.RIGHT, "end")
        else:
            fail(stop.line, f"unexpected end of template in {word}")
        self.depth -= 1
        self.forget(mark)
        return _BRANCHES[word](line, pipe, body, orelse)

    def otherwise(self, word: str) -> nodes.Body:
        """What follows `{{else`: another condition that shares our `{{end}}`, or a body."""
        if word != "range" and self.at_keyword(word):
            self.next()
            return (self.branch(word, self.token.line),)
        self.expect(Kind.RIGHT, "else")
        return self.inner(word)

    # Pipelines

    def pipeline(self, where: str, closing: Kind) -> nodes.Pipe:
        """Targets and commands up to and including the closing token."""
        line = self.skip_space().line
        targets, is_assignment = self.targets(where)
        commands: list[nodes.Command] = []
        while self.skip_space().kind is not closing:
            commands.append(self.command(closing, first=not commands))
        if not commands:
            fail(line, f"missing value for {where}")
        self.next()
        for name in () if is_assignment else targets:
            self.declare(name)
        return nodes.Pipe(line, tuple(commands), targets, is_assignment)

    def targets(self, where: str) -> tuple[tuple[str, ...], bool]:
        """`$x :=`, `$x =` and, for `range`, `$i, $x :=`; nothing taken where there is none."""
        start = self.at
        names: list[str] = []
        while self.skip_space().kind is Kind.VARIABLE:
            names.append(self.next().text)
            mark = self.skip_space()
            if mark.kind in (Kind.DECLARE, Kind.ASSIGN):
                return self.bound(names, self.next())
            if mark.text != "," or where != "range" or len(names) > 1:
                break
            self.next()
        if self.at != start and len(names) > 1:
            fail(self.token.line, "range can only initialize variables")
        self.at = start
        return (), False

    def bound(self, names: list[str], mark: Token) -> tuple[tuple[str, ...], bool]:
        if mark.kind is Kind.ASSIGN:
            for name in names:
                self.check_variable(name, mark.line)
        return tuple(names), mark.kind is Kind.ASSIGN

    def check_variable(self, name: str, line: int) -> None:
        if not self.known[name]:
            fail(line, f"undefined variable {name!r}")

    def command(self, closing: Kind, *, first: bool) -> nodes.Command:
        """Operands with space between them, up to a `|`, which is taken, or the closing token."""
        line = self.token.line
        operands: list[nodes.Expression] = []
        while True:
            if self.skip_space().kind not in (Kind.PIPE, closing):
                operands.append(self.operand())
            token = self.token
            if token.kind is Kind.SPACE:
                continue
            break
        return self.finished(nodes.Command(line, tuple(operands)), closing, first=first)

    def finished(self, command: nodes.Command, closing: Kind, *, first: bool) -> nodes.Command:
        token = self.token
        if token.kind is Kind.PIPE:
            self.next()
        elif token.kind is not closing:
            self.unexpected(token, "operand")
        if not command.arguments:
            fail(token.line, "empty command")
        head = command.arguments[0]
        if not first and isinstance(head, nodes.Constant | nodes.Dot | nodes.Nil):
            fail(command.line, "non executable command in pipeline")
        return command

    def operand(self) -> nodes.Expression:
        """A term and the fields written right behind it."""
        term = self.term()
        names: list[str] = []
        while self.token.kind is Kind.FIELD:
            names.append(self.next().text[1:])
        if not names:
            return term
        match term:
            case nodes.Field():
                return nodes.Field(term.line, (*term.names, *names))
            case nodes.Variable():
                return nodes.Variable(term.line, term.name, (*term.names, *names))
            case nodes.Pipe() | nodes.Function():
                return nodes.Chain(term.line, term, tuple(names))
            case _:
                return fail(term.line, f"unexpected . after term, before {names[0]!r}")

    def term(self) -> nodes.Expression:
        token = self.next()
        if token.kind in _CONSTANTS:
            return self.constant(token)
        if token.kind is Kind.OPEN:
            self.deeper(token.line)
            pipe = self.pipeline("parenthesized pipeline", Kind.CLOSE)
            self.depth -= 1
            return pipe
        return self.simple(token)

    def simple(self, token: Token) -> nodes.Expression:
        line, text = token.line, token.text
        if token.kind is Kind.DOT:
            return nodes.Dot(line)
        if token.kind is Kind.FIELD:
            return nodes.Field(line, (text[1:],))
        if token.kind is Kind.VARIABLE:
            self.check_variable(text, line)
            return nodes.Variable(line, text)
        if token.kind is Kind.WORD:
            if text not in FUNCTIONS:
                fail(line, f"function {text!r} not defined")
            return nodes.Function(line, text)
        if token.kind is Kind.KEYWORD and text in _WORDS:
            return _WORDS[text](line)
        return self.unexpected(token, "operand")

    def constant(self, token: Token) -> nodes.Constant:
        try:
            return nodes.Constant(token.line, _CONSTANTS[token.kind](token.text))
        except ValueError as error:
            fail(token.line, str(error))
