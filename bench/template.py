"""Times a prompt template: parsing it, and rendering a chat of 20 turns with two tools.

Run as `make bench SCRIPTS=bench/template.py`; prints the best of several rounds, in milliseconds.
"""

from __future__ import annotations

import itertools
import timeit
from collections.abc import Callable

from ayllu.template import parse, render
from ayllu.types import Message, ToolCall, ToolFunction

ROUNDS = 7

TEMPLATE = """\
{{- if or .System .Tools }}<|im_start|>system
{{ .System }}
{{- if .Tools }}

# Tools
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
{{ if .Thinking }}<think>{{ .Thinking }}</think>
{{ end }}
{{- if .Content }}{{ .Content }}
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
{{ end }}
{{- end }}"""

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
        },
    },
}


def turn(number: int) -> list[Message]:
    """A question with a tool call, its result and an answer."""
    call = ToolCall(ToolFunction("weather", {"city": f"City {number}", "unit": "celsius"}))
    return [
        Message("user", f"What is the weather in city {number}? " * 5),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "sunny, 23 degrees", tool_name="weather"),
        Message("assistant", "It is sunny, and it will stay so for the week. " * 10),
    ]


_numbers = itertools.count()


def best(work: Callable[[], object], times: int) -> float:
    """Milliseconds of one call."""
    return min(timeit.repeat(work, number=times, repeat=ROUNDS)) / times * 1000


def parse_afresh() -> None:
    """Parse what was never parsed before: trees are kept by their text."""
    parse(TEMPLATE + f"{{{{/* {next(_numbers)} */}}}}")


def main() -> None:
    """Print the two figures."""
    messages = [Message("system", "You are brief."), *(m for n in range(20) for m in turn(n))]
    messages.append(Message("user", "Thanks!"))
    template = parse(TEMPLATE)
    prompt = render(template, messages=messages, tools=[TOOL, TOOL])
    rendering = best(lambda: render(template, messages=messages, tools=[TOOL, TOOL]), 5)
    parsing = best(parse_afresh, 5)
    print(f"parse   {parsing:7.3f} ms for {len(TEMPLATE)} characters")
    print(f"render  {rendering:7.3f} ms for {len(messages)} messages, {len(prompt)} characters")


if __name__ == "__main__":
    main()
