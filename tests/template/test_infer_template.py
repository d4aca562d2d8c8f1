"""Guessing thinking tags and the tool tag from a template."""

from __future__ import annotations

import pytest

from ayllu.template import parse, thinking_tags, tool_tag


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (
            "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}",
            ("<think>", "</think>"),
        ),
        (
            (
                "{{ range .Messages }}<|user|>{{ if and .Thinking (eq .Role `assistant`) }}\n[THINK]\n"
                "{{- .Thinking -}}\n[/THINK]\n{{ end }}{{ .Content }}{{ end }}"
            ),
            ("[THINK]", "[/THINK]"),
        ),
        (
            "{{ range $i, $m := $.Messages }}{{ with .X }}<t>{{ $m.Thinking }}</t>{{ end }}{{ end }}",
            ("<t>", "</t>"),
        ),
        ("{{ range .Messages }}<a>{{ .Thinking }}</a>{{ end }}", ("<a>", "</a>")),
        (
            "{{ range .Messages }}{{ if .X }}{{ else }}<e>{{ .Thinking }}</e>{{ end }}{{ end }}",
            ("<e>", "</e>"),
        ),
        ("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Messages }}", None),
        ("{{ range .Tools }}<think>{{ .Thinking }}</think>{{ end }}{{ .Messages }}", None),
        ("{{ range .Messages }}{{ range .Parts }}<t>{{ .Thinking }}</t>{{ end }}{{ end }}", None),
        ("{{ range .Messages }}{{ if .Thinking }}{{ .Thinking }}{{ end }}{{ end }}", None),
        ("{{ range .Messages }}{{ .Content }}{{ end }}", None),
        ("{{ .Prompt }}", None),
    ],
)
def test_thinking_tags_stand_around_the_thinking(text: str, tags: tuple[str, str] | None) -> None:
    assert thinking_tags(parse(text)) == tags


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (
            (
                "{{ range .Messages }}{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}"
                "{{ json . }}{{ end }}</tool_call>{{ end }}{{ end }}"
            ),
            "<tool_call>",
        ),
        (
            (
                "{{ range .Messages }}{{ if .Content }}a{{ else if .ToolCalls }}\n{{ range .ToolCalls }}"
                '<tool_call>\n{"name": {{ .Function.Name }}}{{ end }}{{ end }}{{ end }}'
            ),
            "<tool_call>",
        ),
        (
            (
                '{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": {{ .ID }}}'
                "{{ end }}{{ end }}{{ end }}"
            ),
            "{",
        ),
        (
            "{{ range .Messages }}{{ if and .ToolCalls .Role }}[TOOL_CALLS] [{{ end }}{{ end }}",
            "[TOOL_CALLS] [",
        ),
        ("{{ range .Messages }}{{ if .ToolCalls }}{{ .Role }} late{{ end }}{{ end }}", "{"),
        (
            (
                "{{ range $m := .Messages }}{{ if $m.ToolCalls }}{{ if .X }}{{ else }}TC{{ end }}{{ end }}"
                "{{ end }}"
            ),
            "TC",
        ),
        (
            "{{ range .Messages }}{{ with .X }}{{ else }}{{ if .ToolCalls }}W{{ end }}{{ end }}{{ end }}",
            "W",
        ),
        ("{{ range .Messages }}{{ range .ToolCalls }}a{{ end }}{{ end }}", None),
        ("{{ .Prompt }}", None),
    ],
)
def test_the_tool_tag_is_the_first_text_about_tool_calls(text: str, tag: str | None) -> None:
    assert tool_tag(parse(text)) == tag
