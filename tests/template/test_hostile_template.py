"""Templates that mean harm end in a TemplateError, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from ayllu.errors import TemplateError
from ayllu.template import parse, render
from ayllu.types import Message

SECONDS = 1.0
BYTES = 50 * 2**20
VALUES = {
    "L": list(range(10)),
    "M": {str(number): number for number in range(20)},
    "Response": "",
}

LONG = '{{ $x := "xxxxxxxxxx" }}{{ range 17 }}{{ $x = print $x $x }}{{ end }}'
ACCENTS = '{{ $x := "éxxxxxxxxx" }}{{ range 16 }}{{ $x = print $x $x }}{{ end }}'
CALLS = "".join(
    f'{{{{ define "{n}" }}}}{f"{{{{ template `{n - 1}` }}}}" * 10 if n else "xx"}{{{{ end }}}}'
    for n in range(12)
)


def often(action: str) -> str:
    return f"{{{{ range 1000000 }}}}{action}{{{{ end }}}}"


HOSTILE = {
    "ifs inside ifs": "{{ if 1 }}" * 3000 + "{{ end }}" * 3000,
    "parentheses": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "a long else-if": "{{ if 0 }}" + "{{ else if 0 }}" * 4000 + "{{ end }}",
    "ranges inside ranges": "{{ range $.L }}" * 20 + "x" + "{{ end }}" * 20,
    "a long range": often(""),
    "a template that calls itself": '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}',
    "one that calls itself twice": (
        '{{ define "a" }}{{ template "a" . }}{{ template "a" . }}{{ end }}{{ template "a" }}'
    ),
    "two that call each other": (
        '{{ define "a" }}{{ template "b" }}{{ end }}{{ define "b" }}{{ template "a" }}{{ end }}'
        '{{ template "a" }}'
    ),
    "a tree of calls": CALLS + "{{ template `11` }}",
    "a wide number": '{{ printf "%999999999d" 1 }}',
    "wide numbers": often('{{ printf "%1000000d" 1 }}'),
    "wide numbers, one format": f'{{{{ printf "{"%1000000d" * 99}"{" 1" * 99} }}}}',
    "a wide list": '{{ printf "%1000000v" .L }}',
    "a width from the arguments": often('{{ printf "%*d" 1000000 1 }}'),
    "precise floats": often('{{ printf "%.1000000f" 1.5 }}'),
    "precise integers": often('{{ printf "%.1000000d" 1 }}'),
    "text that doubles": '{{ $x := "x" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
    "bytes that double": '{{ $x := "\\xff" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
    "json of json": '{{ $x := "<<<" }}{{ range 99 }}{{ $x = json $x }}{{ end }}',
    "js of js": '{{ $x := "<<<" }}{{ range 99 }}{{ $x = js $x }}{{ end }}',
    "urlquery of urlquery": '{{ $x := "%" }}{{ range 99 }}{{ $x = urlquery $x "%" $x }}{{ end }}',
    "quotes of quotes": '{{ $x := "\\"" }}{{ range 99 }}{{ $x = printf "%q" $x }}{{ end }}',
    "comparing long texts": LONG + '{{ $y := print $x "" }}' + often("{{ if eq $x $y }}{{ end }}"),
    "ordering long texts": LONG + '{{ $y := print $x "" }}' + often("{{ if lt $x $y }}{{ end }}"),
    "measuring long texts": ACCENTS + often("{{ if len $x }}{{ end }}"),
    "indexing long texts": ACCENTS + often("{{ if index $x 1 }}{{ end }}"),
    "slicing long texts": ACCENTS + often("{{ if slice $x 1 }}{{ end }}"),
    "escaping long texts": LONG + often("{{ if html $x }}{{ end }}"),
    "many variables": "{{ $a := 1 }}" * 4500 + often(""),
    "many arguments": often(f"{{{{ print{' 1' * 30_000} }}}}"),
    "many fields": often(f"{{{{ $x.{'a.' * 30_000}a }}}}").replace("$x", "$.N"),
    "many actions": "{{ . }}" * 9000 + often(""),
    "much text": often("x" * 60_000),
    "ranging over a map": often("{{ range $.M }}{{ break }}{{ end }}"),
    "printing a map": often("{{ if print $.M }}{{ end }}"),
    "many verbs": often(f'{{{{ printf "{"%d" * 20_000}" }}}}'),
    "a large source": "x" * 1_000_000,
    "unclosed strings": '{{ "' * 15_000,
    "unclosed actions": "{{ " * 20_000,
    "escapes": '{{ "' + "\\\\" * 30_000 + '" }}' + often(""),
    "a long integer": "{{ " + "1" * 60_000 + " }}",
    "a long exponent": "{{ 1e" + "9" * 60_000 + " }}",
    "a long hexadecimal": "{{ 0x" + "f" * 60_000 + " }}",
}


def run(text: str) -> None:
    parse.cache_clear()
    with pytest.raises(TemplateError, match=r"^template: line "):
        parse(text).execute(VALUES)


def quickest(work: Callable[[], None]) -> float:
    """Seconds, the better of two: other work on the machine is not what is measured."""
    spent = []
    for _ in range(2):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
        if spent[-1] < SECONDS:
            break
    return min(spent)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_time(name: str) -> None:
    assert quickest(lambda: run(HOSTILE[name])) < SECONDS


GREEDY = [
    "wide numbers, one format",
    "a wide list",
    "precise floats",
    "text that doubles",
    "bytes that double",
    "json of json",
    "js of js",
    "urlquery of urlquery",
    "much text",
    "unclosed actions",
    "ifs inside ifs",
]


@pytest.mark.parametrize("name", GREEDY)
def test_a_hostile_template_stays_small(name: str) -> None:
    text = HOSTILE[name]
    tracemalloc.start()
    try:
        run(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES


def test_a_long_conversation_is_not_mistaken_for_an_attack() -> None:
    template = parse(
        "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        "{{ if and $last (eq .Role `user`) }}!{{ else if or .Content $.System }}"
        "<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}"
    )
    turns = [Message(role=("user", "assistant")[n % 2], content="word " * 50) for n in range(5000)]
    assert render(template, messages=turns).count("<|im_start|>") == 5000


def test_a_deep_stack_of_the_caller_ends_in_an_error_and_not_in_a_crash() -> None:
    template = parse("{{ " + "(" * 90 + ".A" + ")" * 90 + " }}{{ .Response }}")

    def deeper(levels: int) -> str:
        return deeper(levels - 1) if levels else template.execute({"A": "a", "Response": "r"})

    assert deeper(100) == "ar"
    with pytest.raises(TemplateError, match="too deep"):
        deeper(700)
