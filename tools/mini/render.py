"""Messages to text, by the very template that goes into the GGUF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mini.case import Message, Tool

TEMPLATE = (Path(__file__).parent / "template.jinja").read_text()


def _to_json(value: Any) -> str:  # noqa: ANN401 - JSON of any form
    return json.dumps(value, ensure_ascii=False)


_environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
_environment.filters["tojson"] = _to_json
_template: jinja2.Template = _environment.from_string(TEMPLATE)


def render(
    messages: Sequence[Message], tools: Sequence[Tool] = (), *, think: bool | None = None
) -> str:
    """The text of a conversation; with `think` given, a prompt that is to be answered."""
    return _template.render(
        messages=messages,
        tools=tools,
        add_generation_prompt=think is not None,
        enable_thinking=bool(think),
    )


def infill(before: str, after: str) -> str:
    """The prompt for what stands between two texts, as llama-server's /infill writes it."""
    return f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"
