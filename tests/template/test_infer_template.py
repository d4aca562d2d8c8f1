"""Guessing thinking tags and the tool tag from a template."""

from __future__ import annotations

import pytest

from ayllu.template import parse, thinking_tags, tool_tag


def loop(inside: str, over: str = ".Messages") -> str:
    return f"{{{{ range {over} }}}}{inside}{{{{ end }}}}"


THINKING_IN_ROLE = (
    "<|user|>{{ if and .Thinking (eq .Role `assistant`) }}\n[THINK]\n"
    "{{- .Thinking -}}\n[/THINK]\n{{ end }}{{ .Content }}"
)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (loop("{{ if .Thinking }}<a>{{ .Thinking }}</a>{{ end }}"), ("<a>", "</a>")),
        (loop(THINKING_IN_ROLE), ("[THINK]", "[/THINK]")),
        (
            loop("{{ with .X }}<a>{{ $m.Thinking }}</a>{{ end }}", "$i, $m := $.Messages"),
            ("<a>", "</a>"),
        ),
        (loop("<a>{{ .Thinking }}</a>"), ("<a>", "</a>")),
        (loop("{{ if .X }}{{ else }}<a>{{ .Thinking }}</a>{{ end }}"), ("<a>", "</a>")),
        ("{{ if .Thinking }}<a>{{ .Thinking }}</a>{{ end }}{{ .Messages }}", None),
        (loop("<a>{{ .Thinking }}</a>", ".Tools"), None),
        (loop(loop("<a>{{ .Thinking }}</a>", ".Parts")), None),
        (loop("{{ if .Thinking }}{{ .Thinking }}{{ end }}"), None),
        (loop("{{ .Content }}"), None),
        ("{{ .Prompt }}", None),
    ],
)
def test_thinking_tags_stand_around_the_thinking(text: str, tags: tuple[str, str] | None) -> None:
    assert thinking_tags(parse(text)) == tags


TAGGED_CALLS = (
    "{{ if .Content }}a{{ else if .ToolCalls }}\n{{ range .ToolCalls }}"
    '<tool_call>\n{"name": {{ .Function.Name }}}{{ end }}{{ end }}'
)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (loop("{{ if .ToolCalls }}<call>\n{{ json .ToolCalls }}</call>{{ end }}"), "<call>"),
        (loop(TAGGED_CALLS), "<tool_call>"),
        (loop('{{ if .ToolCalls }}{{ range .ToolCalls }}{"n": {{ .ID }}}{{ end }}{{ end }}'), "{"),
        (loop("{{ if and .ToolCalls .Role }}[TOOL_CALLS] [{{ end }}"), "[TOOL_CALLS] ["),
        (loop("{{ if .ToolCalls }}{{ .Role }} late{{ end }}"), "{"),
        (loop("{{ if $m.ToolCalls }}{{ if .X }}{{ else }}T{{ end }}{{ end }}", "$m := .A"), "T"),
        (loop("{{ with .X }}{{ else }}{{ if .ToolCalls }}W{{ end }}{{ end }}"), "W"),
        (loop(loop("a", ".ToolCalls")), None),
        ("{{ .Prompt }}", None),
    ],
)
def test_the_tool_tag_is_the_first_text_about_tool_calls(text: str, tag: str | None) -> None:
    assert tool_tag(parse(text)) == tag
