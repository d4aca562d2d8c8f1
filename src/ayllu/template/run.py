"""Runs a parse tree over values, within a Budget.

Follows https://pkg.go.dev/text/template where it says what a pipeline, a field or an argument
evaluates to, with the option missingkey=zero. From newer Go: `range` over an int, and `range $x =`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final

from ayllu.errors import TemplateError
from ayllu.template import nodes
from ayllu.template.format import show
from ayllu.template.funcs import FUNCTIONS, Signature
from ayllu.template.values import (
    NOTHING,
    Budget,
    Fault,
    Record,
    Value,
    clean,
    is_true,
    type_name,
)

MAX_DEPTH = 100
"""Bodies inside one another at a run, those of called templates included."""

_ABSENT: Final = object()
"""Stands for the value that the first command of a pipeline does not get."""


class _Jump(Enum):
    """Why a body ended early."""

    BREAK = auto()
    CONTINUE = auto()


def execute(trees: Mapping[str, nodes.Body], values: Mapping[str, Value], budget: Budget) -> str:
    """The text that the template "" makes of some values. Raises TemplateError."""
    run = _Run(trees, budget)
    try:
        run.template("", dict(values))
        return clean("".join(run.out))
    except Fault as fault:
        raise TemplateError(f"template: line {run.line}: {fault}") from None
    except RecursionError:
        raise TemplateError(f"template: line {run.line}: nested too deep") from None


class _Scope:
    """Variables by name; those declared since a mark can be dropped again."""

    __slots__ = ("declared", "stacks")

    def __init__(self, root: Value) -> None:
        self.stacks: dict[str, list[Value]] = {"$": [root]}
        self.declared: list[str] = []

    def declare(self, name: str, value: Value) -> None:
        self.stacks.setdefault(name, []).append(value)
        self.declared.append(name)

    def stack(self, name: str) -> list[Value]:
        """A variable's values, the current one last."""
        stack = self.stacks.get(name)
        if not stack:
            raise Fault(f"undefined variable {name!r}")
        return stack

    def drop(self, mark: int) -> None:
        while len(self.declared) > mark:
            self.stacks[self.declared.pop()].pop()


class _Run:
    def __init__(self, trees: Mapping[str, nodes.Body], budget: Budget) -> None:
        self.trees = trees
        self.budget = budget
        self.out: list[str] = []
        self.scope = _Scope(None)
        self.depth = 0
        self.line = 1

    # Statements

    def template(self, name: str, dot: Value) -> None:
        if name not in self.trees:
            raise Fault(f"template {name!r} not defined")
        outer, self.scope = self.scope, _Scope(dot)
        self.body(self.trees[name], dot)
        self.scope = outer

    def body(self, body: nodes.Body, dot: Value) -> _Jump | None:
        """Run statements; says whether a jump ended them."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Fault("nested too deep")
        jump = None
        for node in body:
            self.budget.step()
            self.line = node.line
            jump = _STATEMENTS[type(node)](self, node, dot)
            if jump is not None:
                break
        self.depth -= 1
        return jump

    def write(self, text: str) -> None:
        self.out.append(self.budget.pay(text))

    def text(self, node: nodes.Text, _dot: Value) -> None:
        self.write(node.text)

    def action(self, node: nodes.Action, dot: Value) -> None:
        value = self.pipe(node.pipe, dot)
        if isinstance(value, str) and not node.pipe.targets:
            self.write(value)
        elif not node.pipe.targets:
            text = "<no value>" if value is NOTHING else show(value)
            self.out.append(self.budget.pay_built(text))

    def branch(self, node: nodes.If | nodes.With, dot: Value) -> _Jump | None:
        mark = len(self.scope.declared)
        value = self.pipe(node.pipe, dot)
        if is_true(value):
            jump = self.body(node.body, value if isinstance(node, nodes.With) else dot)
        else:
            jump = self.body(node.orelse, dot)
        self.scope.drop(mark)
        return jump

    def range(self, node: nodes.Range, dot: Value) -> _Jump | None:
        mark = len(self.scope.declared)
        items = self.items(self.pipe(node.pipe, dot))
        inner = len(self.scope.declared)
        jump, empty = None, True
        for key, item in items:
            empty = False
            self.bind(node.pipe, key, item)
            turn = self.body(node.body, item)
            self.scope.drop(inner)
            if turn is _Jump.BREAK:
                break
        if empty:
            jump = self.body(node.orelse, dot)
        self.scope.drop(mark)
        # A break in the else of an inner range ends that range, a continue goes on with the outer.
        return None if jump is _Jump.BREAK else jump

    def items(self, value: Value) -> Iterable[tuple[Value, Value]]:
        """What a range goes through: keys or positions with the values there."""
        if value is NOTHING:
            return ()
        if isinstance(value, list):
            return enumerate(value)
        if isinstance(value, dict):
            self.budget.step(len(value) // 8)
            return sorted(value.items())
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        raise Fault(f"range can't iterate over a value of type {type_name(value)}")

    def bind(self, pipe: nodes.Pipe, key: Value, item: Value) -> None:
        """Give a loop's variables their values for one turn; a lone one gets the element."""
        self.budget.step()
        pair = (item,) if len(pipe.targets) == 1 else (key, item)
        for name, value in zip(pipe.targets, pair, strict=False):
            self.scope.stack(name)[-1] = value

    def jump(self, node: nodes.Break | nodes.Continue, _dot: Value) -> _Jump:
        return _Jump.BREAK if isinstance(node, nodes.Break) else _Jump.CONTINUE

    def invoke(self, node: nodes.Invoke, dot: Value) -> None:
        value = NOTHING if node.pipe is None else self.pipe(node.pipe, dot)
        self.template(node.name, value)

    # Expressions

    def pipe(self, pipe: nodes.Pipe, dot: Value) -> Value:
        value: Value = _ABSENT
        for command in pipe.commands:
            value = self.command(command, dot, value)
            if value is None:
                value = NOTHING
        for name in pipe.targets:
            if pipe.is_assignment:
                self.scope.stack(name)[-1] = value
            else:
                self.scope.declare(name, value)
        return value

    def command(self, command: nodes.Command, dot: Value, last: Value) -> Value:
        """The value of a command; `last` is what the command before it hands on."""
        head = command.arguments[0]
        if isinstance(head, nodes.Function):
            return self.call(head.name, command.arguments[1:], dot, last)
        if len(command.arguments) > 1 or last is not _ABSENT:
            return self.argue(head, dot)
        if isinstance(head, nodes.Nil):
            raise Fault("nil is not a command")
        return self.value(head, dot)

    def argue(self, head: nodes.Expression, dot: Value) -> Value:
        """A value that is no function but is given arguments: an error, unless there is none."""
        if isinstance(head, nodes.Field | nodes.Chain | nodes.Variable) and head.names:
            value = self.value(_parent(head), dot)
            if value is NOTHING:
                return NOTHING
            self.look_up(value, head.names[-1])
            raise Fault(f"{head.names[-1]} is not a method but has arguments")
        raise Fault("can't give argument to non-function")

    def value(self, node: nodes.Node, dot: Value) -> Value:
        self.budget.step()
        return _EXPRESSIONS[type(node)](self, node, dot)

    def field(self, node: nodes.Field, dot: Value) -> Value:
        return self.chase(dot, node.names)

    def variable(self, node: nodes.Variable, _dot: Value) -> Value:
        return self.chase(self.scope.stack(node.name)[-1], node.names)

    def function(self, node: nodes.Function, dot: Value) -> Value:
        return self.call(node.name, (), dot, _ABSENT)

    def chain(self, node: nodes.Chain, dot: Value) -> Value:
        return self.chase(self.value(node.node, dot), node.names)

    def chase(self, value: Value, names: Iterable[str]) -> Value:
        for name in names:
            value = self.look_up(value, name)
        return value

    def look_up(self, value: Value, name: str) -> Value:
        """A field of a value; what is missing in a map is None, and in NOTHING all is NOTHING."""
        if isinstance(value, dict):
            return value.get(name)
        if value is NOTHING:
            return NOTHING
        if isinstance(value, Record) and name in value.fields:
            return value.fields[name]
        if value is None:
            raise Fault(f"nil pointer evaluating {type_name(value)}.{name}")
        raise Fault(f"can't evaluate field {name} in type {type_name(value)}")

    # Functions

    def call(
        self, name: str, arguments: tuple[nodes.Expression, ...], dot: Value, last: Value
    ) -> Value:
        signature = FUNCTIONS[name]
        _check_count(name, signature, len(arguments) + (last is not _ABSENT))
        if name in ("and", "or"):
            return self.choose(arguments, dot, last, until=name == "or")
        values = [self.argument(node, dot) for node in arguments]
        if last is not _ABSENT:
            values.append(None if last is NOTHING else last)
        for value in values[: signature.strings]:
            if not isinstance(value, str):
                raise Fault(f"wrong type of value for {name}: {type_name(value)}, not string")
        return signature.run(self.budget, values)

    def argument(self, node: nodes.Expression, dot: Value) -> Value:
        value = self.value(node, dot)
        return None if value is NOTHING else value

    def choose(
        self, arguments: Iterable[nodes.Expression], dot: Value, last: Value, *, until: bool
    ) -> Value:
        """`and` and `or`: the first argument whose truth is `until`, or else the last one."""
        value: Value = NOTHING
        for node in arguments:
            value = self.value(node, dot)
            if is_true(value) == until:
                return value
        return value if last is _ABSENT else last


def _check_count(name: str, signature: Signature, count: int) -> None:
    if count < signature.least or (signature.most is not None and count > signature.most):
        least = "at least " if signature.most != signature.least else ""
        raise Fault(
            f"wrong number of args for {name}: want {least}{signature.least} got {count}",
        )


def _parent(node: nodes.Field | nodes.Chain | nodes.Variable) -> nodes.Node:
    """What the last name of a chain is looked up in."""
    names = node.names[:-1]
    if isinstance(node, nodes.Field):
        return nodes.Field(node.line, names)
    if isinstance(node, nodes.Variable):
        return nodes.Variable(node.line, node.name, names)
    return nodes.Chain(node.line, node.node, names)


def _nil(_run: _Run, _node: nodes.Node, _dot: Value) -> None:
    return None


def _dot(_run: _Run, _node: nodes.Node, dot: Value) -> Value:
    return dot


def _constant(_run: _Run, node: nodes.Constant, _dot: Value) -> Value:
    return node.value


_STATEMENTS: dict[type, Callable[[_Run, Any, Value], _Jump | None]] = {
    nodes.Text: _Run.text,
    nodes.Action: _Run.action,
    nodes.If: _Run.branch,
    nodes.With: _Run.branch,
    nodes.Range: _Run.range,
    nodes.Break: _Run.jump,
    nodes.Continue: _Run.jump,
    nodes.Invoke: _Run.invoke,
}

_EXPRESSIONS: dict[type, Callable[[_Run, Any, Value], Value]] = {
    nodes.Nil: _nil,
    nodes.Dot: _dot,
    nodes.Constant: _constant,
    nodes.Field: _Run.field,
    nodes.Variable: _Run.variable,
    nodes.Function: _Run.function,
    nodes.Chain: _Run.chain,
    nodes.Pipe: _Run.pipe,
}
"""What runs each node, by its type: a look-up is faster than a match in the inner loop."""
