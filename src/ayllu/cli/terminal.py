"""The line that the user types on: prompt_toolkit with the keys that Ollama's prompt has."""

from __future__ import annotations

import os

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth

from ayllu.cli.compose import Composer
from ayllu.cli.history import PromptHistory
from ayllu.config import Settings

PROMPT = ">>> "
CONTINUATION = "... "
PLACEHOLDER = "Send a message (/? for help)"
CLOSING_PLACEHOLDER = 'Use """ to end multi-line input'
LEAVING_HINT = "Use Ctrl + d or /bye to exit."

_KEYS = KeyBindings()


@_KEYS.add("c-j")
def _new_line(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\n")


@_KEYS.add("tab")
def _indent(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text(" " * 8)


@_KEYS.add("c-g")
def _edit(event: KeyPressEvent) -> None:
    event.current_buffer.open_in_editor()


class Terminal:
    """Reads whole messages. `history` says whether they are kept."""

    def __init__(self, settings: Settings) -> None:
        self.history = PromptHistory(settings.home / "history", writes=not settings.no_history)
        self._session: PromptSession[str] = PromptSession(
            history=self.history,
            key_bindings=_KEYS,
            enable_suspend=True,
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )
        self._composer = Composer()

    async def read(self) -> str | None:
        """The next message; None at the end of the input. Ctrl-C drops what was typed."""
        while True:
            try:
                line = await self._read_line()
            except EOFError:
                return None
            except KeyboardInterrupt:
                self._drop()
                continue
            message = self._composer.add(line)
            if message is not None:
                return message

    async def _read_line(self) -> str:
        is_open = self._composer.is_open
        text = CLOSING_PLACEHOLDER if is_open else PLACEHOLDER
        return await self._session.prompt_async(
            CONTINUATION if is_open else PROMPT,
            placeholder=FormattedText([("fg:ansibrightblack", text)]),
        )

    def _drop(self) -> None:
        """Say how to leave when there was nothing to drop."""
        if not self._session.default_buffer.text and not self._composer.is_open:
            print(LEAVING_HINT)
        self._composer.reset()
