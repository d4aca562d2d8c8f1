"""The events of a streamed response. `sequence_number` is given when an event is written.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from msgspec import Struct

from ayllu.server.wire_openai import Logprob
from ayllu.server.wire_responses import Item, Part, Response, SummaryText


class StreamEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events have."""

    sequence_number: int = 0


class _ResponseEvent(StreamEvent, frozen=True, kw_only=True):
    response: Response


class Created(_ResponseEvent, frozen=True, kw_only=True, tag="response.created"):
    """The first event."""


class InProgress(_ResponseEvent, frozen=True, kw_only=True, tag="response.in_progress"):
    """The engine works."""


class Completed(_ResponseEvent, frozen=True, kw_only=True, tag="response.completed"):
    """The last event of an answer that came to its end."""


class Incomplete(_ResponseEvent, frozen=True, kw_only=True, tag="response.incomplete"):
    """The last event of an answer that a limit cut short."""


class Failed(_ResponseEvent, frozen=True, kw_only=True, tag="response.failed"):
    """The last event of an answer that broke."""


class ErrorEvent(StreamEvent, frozen=True, kw_only=True, tag="error"):
    """The last event where something broke that should not."""

    code: str | None
    message: str
    param: str | None = None


class _ItemEvent(StreamEvent, frozen=True, kw_only=True):
    output_index: int
    item: Item


class ItemAdded(_ItemEvent, frozen=True, kw_only=True, tag="response.output_item.added"):
    """An item begins."""


class ItemDone(_ItemEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item is whole."""


class _Within(StreamEvent, frozen=True, kw_only=True):
    """An event within an item."""

    item_id: str
    output_index: int


class _WithinPart(_Within, frozen=True, kw_only=True):
    """An event within a part; our items have one part at most."""

    content_index: int = 0


class _WithinSummary(_Within, frozen=True, kw_only=True):
    summary_index: int = 0


class PartAdded(_WithinPart, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A part begins."""

    part: Part


class PartDone(_WithinPart, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part is whole."""

    part: Part


class TextDelta(_WithinPart, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """A piece of a message."""

    delta: str
    logprobs: tuple[Logprob, ...] = ()


class TextDone(_WithinPart, frozen=True, kw_only=True, tag="response.output_text.done"):
    """The text of a message."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class ReasoningDelta(_WithinPart, frozen=True, kw_only=True, tag="response.reasoning_text.delta"):
    """A piece of thinking."""

    delta: str


class ReasoningDone(_WithinPart, frozen=True, kw_only=True, tag="response.reasoning_text.done"):
    """The thinking."""

    text: str


class SummaryPartAdded(
    _WithinSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_part.added"
):
    """A summary begins."""

    part: SummaryText


class SummaryPartDone(
    _WithinSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_part.done"
):
    """A summary is whole."""

    part: SummaryText


class SummaryDelta(
    _WithinSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_text.delta"
):
    """A piece of a summary."""

    delta: str


class SummaryDone(
    _WithinSummary, frozen=True, kw_only=True, tag="response.reasoning_summary_text.done"
):
    """The text of a summary."""

    text: str


class ArgumentsDelta(
    _Within, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    """A piece of a function call's arguments."""

    delta: str


class ArgumentsDone(
    _Within, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """A function call's arguments."""

    name: str
    arguments: str


class InputDelta(_Within, frozen=True, kw_only=True, tag="response.custom_tool_call_input.delta"):
    """A custom call's input, in one piece."""

    delta: str


class InputDone(_Within, frozen=True, kw_only=True, tag="response.custom_tool_call_input.done"):
    """A custom call's input."""

    input: str


AnyEvent = (
    Created
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | ErrorEvent
    | ItemAdded
    | ItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | ReasoningDelta
    | ReasoningDone
    | SummaryPartAdded
    | SummaryPartDone
    | SummaryDelta
    | SummaryDone
    | ArgumentsDelta
    | ArgumentsDone
    | InputDelta
    | InputDone
)
"""Those that there are."""
