"""Prompts with images and sounds, as one engine takes them and counts them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import structs

from ayllu.chat.media import without_data
from ayllu.chat.placing import (
    Attachment,
    attachments,
    ends_attached,
    engine_prompt,
    mark_content,
    split,
)
from ayllu.chat.prompt import chat_message
from ayllu.runner.client import RunnerClient
from ayllu.types import Json, Message


class TokenCounter:
    """Counts for one request: what an attachment costs is asked for once."""

    def __init__(self, client: RunnerClient) -> None:
        self._client = client
        self._costs: dict[str, int] = {}

    async def count(self, text: str, attached: Sequence[str]) -> int:
        """Tokens of a marked text and of what stands at its marks."""
        total = 0
        parts = split(text, attached)
        for part in parts:
            if isinstance(part, Attachment):
                total += await self._cost(part.data)
        return total + await self._texts([part for part in parts if isinstance(part, str)])

    async def _texts(self, texts: Sequence[str]) -> int:
        """Tokens of texts between attachments, with the begin token where the model wants one."""
        first, *others = texts or [""]
        total = len(await self._client.tokenize(first, special=True))
        for text in others:
            total += len(await self._client.tokenize(text, special=False))
        return total

    async def _cost(self, data: str) -> int:
        """Tokens of one attachment: those of a chat with it alone, less the chat's own.

        The engine has no other way to count them without reading the prompt.
        """
        if data not in self._costs:
            message = Message(role="user", images=(data,))
            total = await self._client.count_chat({"messages": [chat_message(message)]})
            (blank,) = without_data([message])
            text = await self._client.apply_template({"messages": [chat_message(blank)]})
            pieces = text.split(self._client.media_marker)
            self._costs[data] = total - await self._texts(pieces)
        return self._costs[data]


async def whole_prompt(
    client: RunnerClient, earlier: Sequence[int], text: str, attached: Sequence[str]
) -> Json:
    """A prompt for /completion: a marked text, the tokens of an earlier prompt before it.

    Those become text again where there are attachments, for the engine takes none beside tokens; it
    adds the begin token anew.
    """
    if earlier and not attached:
        return [*earlier, *await client.tokenize(text, special=False)]
    if earlier:
        begin = await client.tokenize("", special=True)
        same = list(earlier[: len(begin)]) == begin
        text = await client.detokenize(earlier[len(begin) if same else 0 :]) + text
    return engine_prompt(text, attached, client.media_marker)


async def closed(
    messages: Sequence[Message], render: Callable[[Sequence[Message]], Awaitable[str]]
) -> Sequence[Message]:
    """The messages for a template of the engine's, which gives the marked text that `render` gives.

    An attachment at the end of a prompt would end the engine: a line break comes after it. Most
    templates have something after the last message.
    """
    *others, last = messages
    content = mark_content(last.content, range(len(last.images)))
    if not ends_attached(split(content, last.images)):
        return messages
    if not ends_attached(split(await render(messages), attachments(messages))):
        return messages
    return (*others, structs.replace(last, content=f"{last.content}\n"))
