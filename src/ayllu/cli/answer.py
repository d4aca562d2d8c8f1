"""Showing a model's answer while it arrives: thinking, text, stray tool calls, timings."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from ayllu.cli.print import clean, clean_line, go_duration, note
from ayllu.cli.progress import Spinner
from ayllu.cli.wire import Call, Chunk
from ayllu.cli.wrap import Wrapper
from ayllu.errors import AylluError

GREY = "\x1b[38;5;245m"
BOLD = "\x1b[1m"
PLAIN = "\x1b[0m"
LABEL_WIDTH = 22


class Screen:
    """stdout as one answer sees it; a terminal gets wrapped words, colour and no control codes."""

    def __init__(self, *, wraps: bool, hides_thinking: bool) -> None:
        self.text = ""
        self.thought = ""
        self._hides_thinking = hides_thinking
        self._is_terminal = sys.stdout.isatty()
        self._has_colour = self._is_terminal and not os.environ.get("NO_COLOR")
        self._wraps = wraps and self._is_terminal
        self._wrapper = self._new_wrapper()
        self._thinking = False
        self._at_line_start = True

    def think(self, text: str) -> None:
        """Show a piece of the model's reasoning."""
        self.thought += text
        if self._hides_thinking or not text:
            return
        if not self._thinking:
            self._thinking = True
            self._style(GREY + BOLD)
            self._put("Thinking...\n")
            self._style(PLAIN + GREY)
        self._put(text)

    def say(self, text: str) -> None:
        """Show a piece of the answer."""
        if not text:
            return
        self._end_thinking()
        self.text += text
        self._put(text)

    def call(self, call: Call) -> None:
        """Show a tool call, which the model had no reason to make."""
        arguments = msgspec.json.encode(call.function.arguments).decode()
        name = clean_line(call.function.name)
        self._end_thinking()
        self._put(f"Model called a non-existent function '{name}()' with arguments: {arguments}\n")

    def finish(self) -> None:
        """End the line that was begun."""
        self._end_thinking()
        if not self._at_line_start:
            self._put("\n")

    def _end_thinking(self) -> None:
        if not self._thinking:
            return
        self._thinking = False
        if not self._at_line_start:
            self._put("\n")
        self._style(GREY + BOLD)
        self._put("...done thinking.\n\n")
        self._style(PLAIN)
        self._wrapper = self._new_wrapper()

    def _put(self, text: str) -> None:
        text = clean(text) if self._is_terminal else text
        if text:
            self._at_line_start = text.endswith("\n")
            sys.stdout.write(self._wrapper.feed(text))
            sys.stdout.flush()

    def _style(self, code: str) -> None:
        if self._has_colour:
            sys.stdout.write(code)

    def _new_wrapper(self) -> Wrapper:
        return Wrapper(shutil.get_terminal_size().columns if self._wraps else 0)


async def show_answer(chunks: AsyncGenerator[Chunk, None], screen: Screen) -> Chunk:
    """Show an answer to its end and return its last chunk, which has the timings.

    Raises AylluError when the answer breaks off. Cancelling leaves a tidy line behind.
    """
    spinner = Spinner("")
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                if _has_something(chunk):
                    spinner.stop()
                _show(chunk, screen)
                if chunk.done:
                    return chunk
    finally:
        spinner.stop()
        screen.finish()
    raise AylluError("the server ended the answer early")


def _has_something(chunk: Chunk) -> bool:
    message = chunk.message
    text = chunk.response or chunk.thinking or message.content or message.thinking
    return bool(text or chunk.tool_calls or message.tool_calls)


def _show(chunk: Chunk, screen: Screen) -> None:
    screen.think(chunk.thinking or chunk.message.thinking)
    screen.say(chunk.response or chunk.message.content)
    for call in chunk.tool_calls or chunk.message.tool_calls or ():
        screen.call(call)


def note_timings(last: Chunk) -> None:
    """Print the timings of an answer to stderr."""
    for label, value in _timings(last):
        note(f"{label:<{LABEL_WIDTH}}{value}")


def _timings(last: Chunk) -> list[tuple[str, str]]:
    rows = [
        ("total duration:", last.total_duration, go_duration(last.total_duration)),
        ("load duration:", last.load_duration, go_duration(last.load_duration)),
        ("prompt eval count:", last.prompt_eval_count, f"{last.prompt_eval_count} token(s)"),
        (
            "prompt eval duration:",
            last.prompt_eval_duration,
            go_duration(last.prompt_eval_duration),
        ),
        ("prompt eval rate:", *_rate(last.prompt_eval_count, last.prompt_eval_duration)),
        ("eval count:", last.eval_count, f"{last.eval_count} token(s)"),
        ("eval duration:", last.eval_duration, go_duration(last.eval_duration)),
        ("eval rate:", *_rate(last.eval_count, last.eval_duration)),
    ]
    return [(label, text) for label, is_there, text in rows if is_there]


def _rate(tokens: int, nanoseconds: int) -> tuple[bool, str]:
    """Whether there is a rate, and its text."""
    if nanoseconds <= 0:
        return False, ""
    return True, f"{tokens / nanoseconds * 1e9:.2f} tokens/s"
