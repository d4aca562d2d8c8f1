"""How texts that a base makes up may begin: as the conversations that it is served with.

Left to begin by itself it writes what it was taught last. So it is given the beginnings of all that
serving makes: a question, a system prompt, tools, and in every second text an answer that thinks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ayllu.errors import BadRequestError
from ayllu.gguf.arch import chat_template
from ayllu.gguf.cache import cached_header
from ayllu.models.describe import capabilities
from ayllu.runner.place import Lease
from ayllu.trainer.spec import Openings
from ayllu.tune.render import MARK, Manner, Mode, Renderer
from ayllu.tune.tokens import tokenize_all
from ayllu.types import Json, Message

_ASKED = Message(role="user", content=MARK)
_UNDER = (Message(role="system", content=MARK), Message(role="user", content="Hello"))
_TOOL: Mapping[str, Json] = {
    "type": "function",
    "function": {"name": MARK, "description": MARK, "parameters": {"type": "object"}},
}


async def find_openings(lease: Lease, renderer: Renderer, manner: Manner) -> Openings:
    """What a model's own texts may begin with; without a head or a template, with nothing."""
    if renderer.template is None and not chat_template(cached_header(renderer.model.path)):
        return Openings((manner.head,) if manner.head else ())
    plain, asked = manner.modes[-1], renderer.shown((_ASKED,))
    prompts = [await _prompt(lease, renderer, mode, asked, ()) for mode in manner.modes]
    under = await _prompt(lease, renderer, plain, _UNDER, ())
    tools = "tools" in capabilities(renderer.model)
    with_tools = await _prompt(lease, renderer, plain, asked, (_TOOL,)) if tools else ""
    # Two questions and two system prompts for one text that has tools, which is long.
    several = (prompts[-1], under, prompts[-1], under, with_tools)
    texts = [prompt.partition(MARK)[0] for prompt in several if prompt]
    turn, answer = _turn(prompts)
    *starts, both, before = await tokenize_all(lease.client, [*texts, turn + answer, turn])
    if both[: len(before)] != before:
        before = both = []
    return Openings(
        tuple((*manner.head, *start) for start in starts if manner.head or start),
        tuple(before),
        tuple(both[len(before) :]),
        tuple(sorted(manner.ends)),
    )


async def _prompt(
    lease: Lease,
    renderer: Renderer,
    mode: Mode,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Json]],
) -> str:
    """A prompt, if it has the mark in it; else ""."""
    try:
        prompt = await renderer.prompt(lease, messages, mode, tools)
    except BadRequestError:
        return ""
    return prompt if MARK in prompt else ""


def _turn(prompts: Sequence[str]) -> tuple[str, str]:
    """What follows a question in all prompts, and what more there is in one of them."""
    shorter, *longer = sorted((prompt.partition(MARK)[2] for prompt in prompts), key=len)
    if any(not one.startswith(shorter) for one in longer):
        return "", ""
    return shorter, longer[0].removeprefix(shorter) if longer else ""
