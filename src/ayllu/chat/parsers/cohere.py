"""Cohere's Command models: thinking, answer and a JSON list of actions, each between tags."""

from __future__ import annotations

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.scan import JSON_QUOTES
from ayllu.chat.parsers.tagged import CallTags, TaggedFormat

COHERE = TaggedFormat(
    calls=(
        CallTags("<|START_ACTION|>", "<|END_ACTION|>", read_json_calls, JSON_QUOTES, begin="{["),
    ),
    thinking=("<|START_THINKING|>", "<|END_THINKING|>"),
    anywhere=True,
    noise=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
)
