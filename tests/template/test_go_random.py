"""Random templates, well-formed ones and soups of tokens, whose output Go decides."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_ANY = [
    "$.Name", "$.Empty", "$.Zero", "$.Half", "$.Million", "$.True", "$.Null", "$.List", "$.NoList",
    "$.Mixed", "$.Map", "$.NoMap", "$.Deep.a.b", "$.Rows", "$.Missing", "$.Accents", "$.Emoji",
    "$.Odd", "$.Html", ".", "$x", "$i", "0", "-1", "1.5", "1e3", "'a'", "true", "false", '""',
    '"é"', "`b`", '"\\xc3"',
]  # fmt: skip
_STRINGS = ["$.Name", "$.Empty", "$.Accents", "$.Emoji", "$.Odd", '"Ada"', '"é"', '"\\xc3"', "`b`"]
_NUMBERS = ["$.Zero", "$.One", "$.Minus", "0", "1", "2", "'a'", "(len $.List)", "(index `b` 0)"]
_LISTS = ["$.List", "$.NoList", "$.Mixed", "$.Rows", "$.Numbers", "(slice $.List 1)"]
_FORMATS = ['"%v"', '"%d|%s"', '"%5.2v|%q"', '"%-6v|%+d|%06d"', '"%t %T"', '"%8.3f%c"']
_RISKY = [".Missing.x", ".n", ".tags", ".k", "$x.a", "len .", "index . 0", "$.Null.x", "lt . 1"]

_strings, _numbers = st.sampled_from(_STRINGS), st.sampled_from(_NUMBERS)
_lists = st.sampled_from(_LISTS)
# Go's slice does not take a position out of a map of any values; ours does.
_positions = st.sampled_from(["0", "0", "0", "1", "3", "(len $.NoList)"])
_eager = st.sampled_from(["print", "println", "html", "js", "urlquery", "and", "or"])
_compare = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])


def _calls(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    whole = st.one_of(
        st.builds("{} {}".format, st.sampled_from(["not", "json", "print", "html"]), inner),
        st.builds("{} {} {}".format, _eager, inner, inner),
        st.builds("{} {} {} {}".format, _eager, inner, inner, inner),
        st.builds("{} | {} {}".format, inner, _eager, inner),
        st.builds("printf {} {} {}".format, st.sampled_from(_FORMATS), inner, inner),
        st.builds('printf "%x|%X|%08x" {} {} {}'.format, _strings, _strings, _numbers),
        st.builds("{} {} {}".format, _compare, _strings, _strings),
        st.builds("{} {} {}".format, _compare, _numbers, _numbers),
        st.builds("len {}".format, st.one_of(_strings, _lists)),
        st.builds("index {} {}".format, st.one_of(_strings, _lists), _positions),
        st.builds("slice {} {}".format, st.one_of(_strings, _lists), _positions),
        st.builds("eq {} nil".format, inner),
    )
    return whole.map("({})".format)


_atoms = st.sampled_from([*_ANY * 3, *map("({})".format, _RISKY)])
_operands = st.recursive(_atoms, _calls, max_leaves=5)


def _unwrapped(text: str) -> str:
    is_one = text.startswith("(") and text.find(")") == len(text) - 1
    return text[1:-1] if is_one else text


_pipelines = _operands.map(_unwrapped)
_texts = st.sampled_from([" a ", "\n", "b", "", "  \n c", "é"])
_open = st.sampled_from(["{{", "{{ ", "{{- "])
_close = st.sampled_from(["}}", " }}", " -}}"])


def _action(inside: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.builds("{}{}{}".format, _open, inside, _close)


_statements = st.one_of(
    _texts,
    _action(_pipelines),
    _action(_pipelines.map("$x := {}".format)),
    _action(_pipelines.map("$x = {}".format)),
)


def _blocks(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    bodies = st.lists(inner, max_size=4).map("".join)
    jumps = st.sampled_from(["", "{{break}}", "{{continue}}", "{{if not $i}}{{continue}}{{end}}"])
    heads = st.sampled_from(["if ", "with ", "if $x := ", "with $x := "])
    ranged = st.one_of(_lists, _lists, _lists, st.sampled_from(["$.Map", ".Missing", "$.Deep"]))
    variables = st.sampled_from(["", "$x := ", "$i, $x := "])
    loops = st.builds("{{{{range {}{}}}}}{}{}".format, variables, ranged, bodies, jumps)
    branches = st.builds("{{{{{}{}}}}}{}".format, heads, _pipelines, bodies)
    openings = st.one_of(loops, branches)
    return st.one_of(
        openings.map("{}{{{{end}}}}".format),
        st.builds("{}{{{{else}}}}{}{{{{end}}}}".format, openings, bodies),
    )


templates = st.lists(st.recursive(_statements, _blocks, max_leaves=10), min_size=1, max_size=6).map(
    lambda parts: "{{$x := .Name}}{{$i := 1}}" + "".join(parts)
)
"""Templates that parse, and often run without an error."""

_TOKENS = [
    *["{{", "}}", "{{-", "-}}", "{{ ", " }}", "{{- ", " -}}", "/*", "*/", " ", "\n"],
    *[
        "(",
        ")",
        "|",
        " | ",
        ",",
        ":=",
        "=",
        "1",
        "-",
        "'a'",
        '"s"',
        "`r`",
        "@",
        '"',
        "'",
        "`",
        "\\",
    ],
    *[
        "$x",
        "$",
        ".",
        ".Name",
        ".List",
        ".Deep.a",
        "x",
        "é",
        "nil",
        "true",
        "len ",
        "print ",
        "eq ",
    ],
    *["if ", "else", "else if ", "end", "range ", "with ", "break", "continue", "and "],
    *["template ", "block ", "{{end}}", "{{else}}"],
]

soups = st.lists(st.sampled_from(_TOKENS), max_size=25).map("".join)
"""Strings of tokens in any order."""


@settings(max_examples=150, deadline=None)
@given(templates)
def test_well_formed_templates_give_the_same_text_as_go(
    same_as_go: Callable[[str], None], template: str
) -> None:
    same_as_go(template)


@settings(max_examples=150, deadline=None)
@given(soups)
def test_tokens_in_any_order_are_read_as_go_reads_them(
    same_as_go: Callable[[str], None], template: str
) -> None:
    same_as_go(template)
