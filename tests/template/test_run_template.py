"""Running templates, where Go 1.19 cannot be asked: newer Go, structs, errors, limits of printf."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ayllu.errors import TemplateError
from ayllu.template import parse
from ayllu.template.values import Record

PERSON = Record("main.Person", {"Name": "Ada", "Tags": ["x"], "Boss": None}, {"name": "Ada"})
VALUES: dict[str, Any] = {
    "Response": "",
    "Person": PERSON,
    "List": ["a", "b"],
    "One": 1,
    "Inf": float("inf"),
    "Lone": "a\ud800b",
    "Control": "\b\f\v",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ range $i, $n := 2 }}{{ $i }}{{ $n }};{{ end }}", "00;11;"),
        ("{{ range 0 }}x{{ else }}none{{ end }}", "none"),
        ("{{ with .No }}a{{ else with .One }}{{ . }}{{ else }}c{{ end }}", "1"),
        ("{{ with .No }}a{{ else with .No }}b{{ else }}c{{ end }}", "c"),
        ("{{ $x := 0 }}{{ range $x = .List }}{{ end }}{{ $x }}", "b"),
        ("{{ $i := 0 }}{{ $x := 0 }}{{ range $i, $x = .List }}{{ end }}{{ $i }}{{ $x }}", "1b"),
        ("{{ slice .List .One }}", "[b]"),
        ("{{ json .Control }}", '"\\b\\f\\u000b"'),
        ("{{ json .Inf }}|{{ .Inf }}", "|+Inf"),
        ("{{ .Lone }} {{ len .Lone }} {{ json .Lone }}", 'a\ufffdb 5 "a\ufffdb"'),
    ],
)
def test_newer_go_and_values_that_the_oracle_does_not_take(text: str, expected: str) -> None:
    assert parse(text).execute(VALUES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ .Person.Name }} {{ .Person.Boss }} {{ index .Person.Tags 0 }}", "Ada <no value> x"),
        ("{{ .Person }}", "{Ada [x] <nil>}"),
        ("{{ json .Person }}", '{"name":"Ada"}'),
        ("{{ if .Person }}yes{{ end }}{{ with .Person.Boss }}x{{ end }}", "yes"),
        ("{{ eq .Person .Person }} {{ eq .Person nil }} {{ eq nil .Person }}", "true false false"),
        ('{{ printf "%T" .Person }}', "main.Person"),
        ("{{ toTypeScriptType .Person }}", "any"),
    ],
)
def test_a_record_behaves_as_a_struct(text: str, expected: str) -> None:
    assert parse(text).execute(VALUES) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n{{ .Person.Age }}", "line 2: can't evaluate field Age in type main.Person"),
        ("{{ .Person.Boss.Name }}", "line 1: nil pointer evaluating interface {}.Name"),
        ("{{ .Person.Name 1 }}", "line 1: Name is not a method but has arguments"),
        ("{{ len .Person }}", "line 1: len of type main.Person"),
        ("{{ index .Person 1 }}", "line 1: can't index item of type main.Person"),
        ("{{ range .One }}{{ .x }}{{ end }}", "line 1: can't evaluate field x in type int"),
        ("{{ lt .Person .Person }}", "line 1: invalid type for comparison"),
        ("{{ index .List 2 }}", "line 1: index out of range: 2"),
        ("{{ slice .List 2 1 }}", "line 1: invalid slice index: 2 > 1"),
        ("{{ len }}", "line 1: wrong number of args for len: want 1 got 0"),
        ("{{ eq }}", "line 1: wrong number of args for eq: want at least 1 got 0"),
        ("{{ printf 1 }}", "line 1: wrong type of value for printf: int, not string"),
        ("{{ call .One }}", "line 1: call of a value of type int, which is no function"),
        ('{{ template "x" }}', "line 1: template 'x' not defined"),
        ('{{ printf "%#v" 1 }}', "line 1: printf with %#v is not supported"),
        ('{{ printf "%p" 1 }}', "line 1: printf with %p is not supported"),
        ('{{ printf "%x" 1.5 }}', "line 1: printf with %x of a float is not supported"),
        ('{{ printf "%#g" 1.5 }}', "line 1: printf with %#g of a float is not supported"),
        ('{{ printf "%[1]d" 1 }}', "line 1: printf with argument indexes is not supported"),
        ('{{ printf "%U" -1 }}', "line 1: printf with %U needs a code point"),
    ],
)
def test_a_run_that_cannot_go_on_ends_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        parse(text).execute(VALUES)
    assert refusal.value.sentence == f"template: {sentence}"


def test_dates_are_local_whatever_the_format() -> None:
    today = datetime.now().astimezone()
    expected = f"{today:%Y-%m-%d} {today - timedelta(days=1):%Y-%m-%d}"
    assert (
        parse('{{ currentDate "2 Jan" }} {{ yesterdayDate }}').execute({"Response": ""}) == expected
    )


def test_the_values_given_are_not_changed() -> None:
    values = {"L": [1, 2], "Response": ""}
    parse("{{ $ := 5 }}{{ $x := .L }}{{ range $x = .L }}{{ end }}").execute(values)
    assert values == {"L": [1, 2], "Response": ""}
