"""What a model thinks by itself before the answers of rows that say nothing of thoughts.

Asked to think, it is to learn an answer that follows a thought: after an empty one it would learn
to have none, and after none of its own it would not know the answer. So the thought is the base's
own, which is read and not learned. Where its thoughts are long, or the rows too many, an empty one
has to do.
"""

from __future__ import annotations

from contextlib import aclosing, suppress

from ayllu.errors import ContextExceededError
from ayllu.runner.client import RunnerClient

MOST = 512
TOKENS = 64
"""Thoughts that are asked for, and tokens of one."""
MOST_FAILED = 8
"""After so many in a row that are longer, no more are asked for."""


class Thoughts:
    """A model's own thoughts, as many as are worth the time."""

    def __init__(self) -> None:
        self._left = MOST
        self._failed = 0

    async def before(self, client: RunnerClient, prompt: str, closing: str) -> str:
        """What goes on after a prompt that begins a thought, up to its `closing`; "" for none."""
        if not self._left or self._failed >= MOST_FAILED:
            return ""
        self._left -= 1
        body = {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "stop": [closing.strip()]}
        words, ended = [], False
        with suppress(ContextExceededError):  # the example will be cut, and its thought is empty
            async with aclosing(client.complete(body)) as chunks:
                async for chunk in chunks:
                    words.append(chunk.text)
                    ended = ended or bool(chunk.stop_word)
        self._failed = 0 if ended else self._failed + 1
        return "".join(words).strip() if ended else ""
