"""`_debug_render_only`: the prompt that a request would send, in place of an answer."""

from __future__ import annotations

from starlette.requests import Request

from ayllu.chat.request import ChatRequest
from ayllu.chat.session import show_prompt
from ayllu.models.model import Model
from ayllu.server.state import state_of
from ayllu.server.stream import until_left
from ayllu.server.wire_ollama import DebugInfo


async def debug_info(request: Request, model: Model, asked: ChatRequest) -> DebugInfo:
    """The prompt of a request with the number of its images."""
    prompt = await until_left(request, show_prompt(state_of(request).pool, model, asked))
    images = sum(len(message.images) for message in asked.messages)
    return DebugInfo(rendered_template=prompt, image_count=images)
