"""What parsing refuses, with the line, and what a parsed template tells of itself."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.errors import TemplateError
from ayllu.template import parse


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{ .A", "line 1: unclosed action"),
        ("\n\n{{ nope }}", "line 3: function 'nope' not defined"),
        ("a\n{{ $x }}", "line 2: undefined variable '$x'"),
        ("{{ if .A }}\n\n", "line 3: unexpected end of template in if"),
        ("{{ range .A }}\n{{ else }}\n", "line 3: unexpected end of template in range"),
        ("x{{ end }}", "line 1: unexpected {{end}}"),
        ("x{{ else }}", "line 1: unexpected {{else}}"),
        ("\n{{ break }}", "line 2: {{break}} outside {{range}}"),
        ("{{ if }}{{ end }}", "line 1: missing value for if"),
        ("{{ (.A }}", "line 1: unclosed left paren"),
        ("{{ .A) }}", "line 1: unexpected right paren"),
        ("{{/* a", "line 1: unclosed comment"),
        ('{{ "a }}', "line 1: unterminated quoted string"),
        ("{{ `a }}", "line 1: unterminated raw quoted string"),
        ("{{ 'a }}", "line 1: unterminated character constant"),
        ("{{ 1a }}", "line 1: bad number syntax: '1a'"),
        ("{{ 99999999999999999999 }}", "line 1: integer overflow: '99999999999999999999'"),
        ("{{ 1i }}", "line 1: complex numbers are not supported: '1i'"),
        ("{{ .A! }}", "line 1: bad character '!'"),
        ("{{ é: }}", "line 1: expected :="),
        ("{{ .A | 1 }}", "line 1: non executable command in pipeline"),
        ("{{ 1.A }}", "line 1: bad number syntax: '1.A'"),
        ('{{ "a".A }}', "line 1: unexpected . after term, before 'A'"),
        ("{{ template .A }}", "line 1: unexpected '.A' in template clause"),
        (
            '{{ define "a" }}1{{ end }}{{ define "a" }}2{{ end }}',
            "line 1: multiple definition of template 'a'",
        ),
    ],
)
def test_a_template_that_does_not_parse_is_refused_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        parse(text)
    assert refusal.value.sentence == f"template: {sentence}"


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse(text).execute({"Response": "r"})


@given(st.text(alphabet="{}-.$|()\"'`\\/*:=, \nxé01", max_size=40).map("{{{{{}}}}}".format))
def test_anything_inside_an_action_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse(text).execute({"x": {"x": "y"}})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ .Prompt }}{{ .Response }}", {"prompt", "response"}),
        ("{{ range .Messages }}{{ .Role }}{{ end }}", {"messages", "role"}),
        ("{{ range $m := $.Messages }}{{ $m.Role }}{{ end }}", {"$", "messages", "$m", "role"}),
        ("{{ (index .Messages 0).Content }}", {"messages", "content"}),
        (
            "{{ if and .Tools (not .System) }}{{ else if .Suffix }}{{ end }}{{ .Response }}",
            {"tools", "system", "suffix", "response"},
        ),
        (
            '{{ define "a" }}{{ .Thinking }}{{ end }}{{ template "a" .Messages }}',
            {"thinking", "messages"},
        ),
        (
            "{{ with .System }}{{ else }}{{ .Prompt | json }}{{ end }}",
            {"system", "prompt", "response"},
        ),
        ("no action", {"response"}),
    ],
)
def test_variables_are_all_names_that_are_looked_up(text: str, names: set[str]) -> None:
    assert parse(text).variables() == names


def test_the_response_is_appended_where_a_template_names_neither_it_nor_the_messages() -> None:
    assert parse("<{{ .Prompt }}>").execute({"Prompt": "p", "Response": "r"}) == "<p>r"
    assert parse("{{ .Prompt }}{{ .Response }}!").execute({"Prompt": "p", "Response": "r"}) == "pr!"
    assert parse("{{ .Messages }}").execute({"Messages": [], "Response": "r"}) == "[]"


def test_a_template_is_parsed_once_and_keeps_its_source() -> None:
    text = "{{ .Prompt }}"
    assert parse(text) is parse(text)
    assert parse(text).source == text
