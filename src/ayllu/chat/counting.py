"""How many tokens a prompt has, its images and sounds counted as the engine will read them."""

from __future__ import annotations

from collections.abc import Sequence

from ayllu.chat.media import without_data
from ayllu.chat.placing import Attachment, split
from ayllu.chat.prompt import chat_message
from ayllu.runner.client import RunnerClient
from ayllu.types import Message


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
