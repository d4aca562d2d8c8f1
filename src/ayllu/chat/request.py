"""What a dialect asks of a model, with nothing of the dialect left in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ayllu.types import Json, Message, Options

Level = Literal["low", "medium", "high", "max"]
Think = bool | Level
"""Whether, or how hard, a model is to think before it answers."""


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One request for an answer.

    `raw` is a prompt to be sent as it is, and then `messages` is empty or one with its images.
    `format` is "json" or a JSON schema. `template` replaces the model's own, `context` holds token
    ids to go before the prompt, `suffix` is text that the answer must lead to. `keep_alive` is in
    seconds. `tool_choice` is "auto", "none", "required" or {"type": "function", "function":
    {"name": ...}}; `logit_bias` are pairs of a token id and what is added to its logit.
    `think_budget` is in tokens. `detailed` asks for a PromptEvent first, ToolPieceEvents in place
    of ToolCallEvents, and the stop word that ended the answer.
    """

    messages: tuple[Message, ...] = ()
    raw: str | None = None
    suffix: str = ""
    template: str | None = None
    context: tuple[int, ...] = ()
    want_context: bool = False
    tools: tuple[Mapping[str, Json], ...] = ()
    tool_choice: Json | None = None
    parallel_tool_calls: bool | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    think: Think | None = None
    think_budget: int | None = None
    format: Literal["json"] | Mapping[str, Json] | None = None
    options: Options = Options()
    keep_alive: float | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    truncate: bool = True
    shift: bool = True
    detailed: bool = False
