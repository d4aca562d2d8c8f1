"""What the engine does not survive is refused; what it can do, or refuses itself, passes."""

from __future__ import annotations

from typing import Any

import pytest

from ayllu.chat.grammar import check_grammar, check_schema
from ayllu.errors import BadRequestError

LOOP = {"$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "minItems": 5, "maxItems": 2}, "maxItems of 2 below its minItems of 5"),
        ({"properties": {"a": {"minLength": 2, "maxLength": 1}}}, "maxLength of 1"),
        ({"items": [{"anyOf": [{"minimum": 1.5, "maximum": 1}]}]}, "maximum of 1"),
        ({"type": "string", "pattern": "^a{3,1}$"}, "from 3 to 1 times"),
        (LOOP | {"$defs": {"a": LOOP}}, "circular reference"),
        ({"allOf": [LOOP], "$defs": {"a": {"anyOf": [{"allOf": [LOOP]}]}}}, "circular reference"),
        (
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"oneOf": [LOOP]}}},
            "circular reference",
        ),
    ],
)
def test_schemas_that_break_the_engine_are_refused(schema: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        check_schema(schema, "the schema")


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        {},
        [1, "x", None],
        {"minItems": 2, "maxItems": 2, "minimum": True, "maximum": False},
        {"minLength": "x", "maxLength": 1},
        {"pattern": "a{1,3}", "$ref": 5, "allOf": 7},
        {"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}},
        {"$ref": "#/nowhere/at/all"},
        {"$ref": "https://example.com/schema"},
        {"anyOf": [LOOP, LOOP], "$defs": {"a": {"type": "string"}}},
    ],
)
def test_other_schemas_pass(schema: Any) -> None:
    check_schema(schema, "the schema")


def test_many_references_are_checked_in_one_go() -> None:
    chain: Any = {str(place): {"$ref": f"#/{place + 1}"} for place in range(20_000)}
    check_schema(chain, "the schema")
    with pytest.raises(BadRequestError, match="circular"):
        check_schema(chain | {"20000": {"$ref": "#/0"}}, "the schema")


@pytest.mark.parametrize("text", ["a{2,1}", "a{ 10 , 9 }", "a{1," + "9" * 30 + "}"])
def test_grammars_with_impossible_repetitions_are_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="repeats something"):
        check_grammar(f"root ::= {text}", "the grammar")


def test_other_grammars_pass() -> None:
    check_grammar('root ::= "a"{2} [b-c]{1,2} "d"{3,} | "}"', "the grammar")
