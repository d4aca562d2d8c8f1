"""Templates as a model library has them, written for these tests, with their whole prompts."""

from __future__ import annotations

from typing import Any

from ayllu.template import parse, render, thinking_tags, tool_tag
from ayllu.types import Message, ToolCall, ToolFunction

CHATML = """\
{{- if or .System .Tools }}<|im_start|>system
{{- if .System }}
{{ .System }}
{{- end }}
{{- if .Tools }}

# Tools

You may call these functions:
<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if (and $.IsThinkSet .Thinking) -}}
<think>{{ .Thinking }}</think>
{{ end -}}
{{ if .Content }}{{ .Content }}
{{- else if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>
{{- end }}{{ if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ if and $.IsThinkSet (not $.Think) }}<think>

</think>

{{ end }}
{{- end }}
{{- end }}"""

LLAMA3 = """\
<|begin_of_text|>{{- if .System }}<|start_header_id|>system<|end_header_id|>

{{ .System }}<|eot_id|>
{{- end }}
{{- range $index, $message := .Messages }}
{{- if eq $message.Role "system" }}{{ continue }}{{ end }}<|start_header_id|>
{{- if eq $message.Role "tool" }}ipython{{ else }}{{ $message.Role }}{{ end }}<|end_header_id|>

{{ $message.Content }}
{{- with $message.ToolCalls }}
{{- range $n, $call := . }}{{ if $n }}; {{ end }}
{{- with $call.Function }}{"name": {{ json .Name }}, "parameters": {{ json .Arguments }}}{{ end }}
{{- end }}
{{- end }}<|eot_id|>
{{- end }}<|start_header_id|>assistant<|end_header_id|>

"""

ALPACA = """\
{{- if .System }}{{ .System }}

{{ end }}
{{- if .Prompt }}### Instruction:
{{ .Prompt }}

{{ end }}### Response:
{{ .Response }}

"""

INFILL = """\
{{- if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>
{{- else }}{{ .Prompt }}{{ end }}"""

ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
    },
}
CONVERSATION = [
    Message("system", "You add."),
    Message("user", "1 + 2?"),
    Message("assistant", tool_calls=(ToolCall(ToolFunction("add", {"b": 2, "a": 1})),)),
    Message("tool", "3", tool_name="add"),
    Message("assistant", "3", thinking="easy"),
    Message("user", "Thanks"),
]


def test_chatml_with_tools_and_thinking() -> None:
    template = parse(CHATML)
    prompt = render(template, messages=CONVERSATION, tools=[ADD], think=False)
    assert prompt == (
        "<|im_start|>system\nYou add.\n\n# Tools\n\nYou may call these functions:\n<tools>\n"
        '{"type": "function", "function": {"name":"add","description":"Add","parameters":'
        '{"type":"object","properties":{"a":{"type":"number"}}}}}\n</tools><|im_end|>\n'
        "<|im_start|>user\n1 + 2?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "add", "arguments": {"a":1,"b":2}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n<think>easy</think>\n3<|im_end|>\n"
        "<|im_start|>user\nThanks<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert thinking_tags(template) == ("<think>", "</think>")
    assert tool_tag(template) == "<tool_call>"


def test_chatml_leaves_a_started_answer_open() -> None:
    messages = [Message("user", "Count"), Message("assistant", "One, two")]
    assert render(parse(CHATML), messages=messages) == (
        "<|im_start|>user\nCount<|im_end|>\n<|im_start|>assistant\nOne, two"
    )


def test_llama3_with_tools() -> None:
    assert render(parse(LLAMA3), messages=CONVERSATION) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou add.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n1 + 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
        '{"name": "add", "parameters": {"a":1,"b":2}}<|eot_id|>'
        "<|start_header_id|>ipython<|end_header_id|>\n\n3<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n3<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nThanks<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_alpaca_turn_by_turn() -> None:
    assert render(parse(ALPACA), messages=CONVERSATION) == (
        "You add.\n\n### Instruction:\n1 + 2?\n\n### Response:\n3\n\n"
        "### Instruction:\nThanks\n\n### Response:\n"
    )


def test_filling_in_the_middle() -> None:
    template = parse(INFILL)
    assert template.variables() == {"suffix", "prompt", "response"}
    assert render(template, messages=[], prompt="def f(", suffix="return x") == (
        "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>"
    )
    assert render(template, messages=[Message("user", "Hi")]) == "Hi"
