"""Qwen3 and Qwen3-VL: `<think>...</think>`, `<tool_call>{"name": ..., "arguments": ...}`."""

from __future__ import annotations

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.scan import JSON_QUOTES
from ayllu.chat.parsers.tagged import CallTags, TaggedFormat

THINK_TAGS = ("<think>", "</think>")
QWEN3 = TaggedFormat(
    calls=(CallTags("<tool_call>", "</tool_call>", read_json_calls, JSON_QUOTES, begin="{["),)
)
QWEN3_THINKING = TaggedFormat(calls=QWEN3.calls, thinking=THINK_TAGS, starts_inside=True)
