"""An answer of /v1/responses of which nothing is known yet, for tests to fill in."""

from __future__ import annotations

from ayllu.server.wire_responses import ReasoningEcho, Response, Text

BLANK = Response(
    id="",
    created_at=0,
    instructions=None,
    max_output_tokens=None,
    model="m",
    parallel_tool_calls=True,
    previous_response_id=None,
    reasoning=ReasoningEcho(None, None),
    store=True,
    temperature=None,
    text=Text(),
    tool_choice="auto",
    tools=(),
    top_logprobs=0,
    top_p=None,
    truncation="disabled",
    metadata={},
)
