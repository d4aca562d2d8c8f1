"""The parse tree of a template: frozen records, bodies as tuples. Holds no behaviour but walking.

Names and shapes follow https://pkg.go.dev/text/template/parse where there is a counterpart.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


class Node(Struct, frozen=True):
    """Anything in the tree; `line` counts from 1."""

    line: int


class Text(Node, frozen=True):
    """Text that is copied to the output."""

    text: str


class Dot(Node, frozen=True):
    """The cursor, `.`."""


class Nil(Node, frozen=True):
    """The constant `nil`."""


class Constant(Node, frozen=True):
    """A bool, int, float or string; a string that is not UTF-8 holds surrogate escapes."""

    value: bool | float | str


class Field(Node, frozen=True):
    """`.A.B`: names looked up from the cursor."""

    names: tuple[str, ...]


class Variable(Node, frozen=True):
    """`$x.A.B`: names looked up from a variable; `name` keeps its dollar."""

    name: str
    names: tuple[str, ...] = ()


class Function(Node, frozen=True):
    """The name of a function; its arguments stand beside it in a Command."""

    name: str


class Chain(Node, frozen=True):
    """`(pipeline).A.B` or `function.A.B`."""

    node: Expression
    names: tuple[str, ...]


class Command(Node, frozen=True):
    """A value, or a function with its arguments: one stage of a pipeline."""

    arguments: tuple[Expression, ...]


class Pipe(Node, frozen=True):
    """Commands joined by `|`; `targets` are the variables that take the result."""

    commands: tuple[Command, ...]
    targets: tuple[str, ...] = ()
    is_assignment: bool = False


class Action(Node, frozen=True):
    """`{{pipeline}}`, printed unless it sets variables."""

    pipe: Pipe


class Branch(Node, frozen=True):
    """What `if`, `with` and `range` share."""

    pipe: Pipe
    body: Body
    orelse: Body = ()


class If(Branch, frozen=True):
    """`{{if}}`; an `{{else if}}` is an If alone in `orelse`."""


class With(Branch, frozen=True):
    """`{{with}}`: sets the cursor where the value is true."""


class Range(Branch, frozen=True):
    """`{{range}}`: `orelse` runs where there is nothing to go through."""


class Break(Node, frozen=True):
    """`{{break}}`."""


class Continue(Node, frozen=True):
    """`{{continue}}`."""


class Invoke(Node, frozen=True):
    """`{{template "name" pipeline}}`, also the place where a `{{block}}` stands."""

    name: str
    pipe: Pipe | None


Expression = Dot | Nil | Constant | Field | Variable | Function | Chain | Pipe
Statement = Text | Action | If | With | Range | Break | Continue | Invoke
Body = tuple[Statement, ...]


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below one, in the order of the source."""
    match node:
        case Branch():
            return (node.pipe, *node.body, *node.orelse)
        case Action(pipe=pipe) | Invoke(pipe=Pipe() as pipe):
            return (pipe,)
        case Pipe():
            return node.commands
        case Command():
            return node.arguments
        case Chain():
            return (node.node,)
        case _:
            return ()


def walk(*nodes: Node) -> Iterator[Node]:
    """Every node at and below the given ones, a node before those below it."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def identifiers(node: Node) -> tuple[str, ...]:
    """The names that one node looks up, a variable's own name first."""
    match node:
        case Variable():
            return (node.name, *node.names)
        case Field() | Chain():
            return node.names
        case _:
            return ()


def mentions(node: Node, name: str) -> bool:
    """Whether a field called `name` is looked up at or below a node."""
    return any(name in identifiers(each) for each in walk(node))
