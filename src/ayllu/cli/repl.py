"""The conversation that `ayllu run MODEL` holds on a terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import TypeVar

from ayllu.cli.answer import Screen, note_timings, show_answer
from ayllu.cli.media import Attached, attach, begins_with_file
from ayllu.cli.print import clean, note
from ayllu.cli.session import Session
from ayllu.cli.slash import Leave, obey
from ayllu.cli.terminal import PROMPT, Terminal
from ayllu.config import load_settings
from ayllu.errors import AylluError
from ayllu.types import Json

T = TypeVar("T")


async def converse(session: Session) -> None:
    """Read messages and answer them until the user leaves."""
    terminal = Terminal(load_settings())
    _replay(session)
    while (message := await terminal.read()) is not None:
        try:
            await interruptible(_turn(session, terminal, message))
        except Leave:
            return
        except AylluError as error:
            note(f"Error: {error.sentence}")


async def interruptible(work: Coroutine[object, object, T]) -> T | None:
    """Do some work that Ctrl-C stops without ending the conversation; None when it did."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, stop)
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
        signal.signal(signal.SIGINT, before)
    return None if task.cancelled() else task.result()


async def _turn(session: Session, terminal: Terminal, message: str) -> None:
    is_command = message.startswith("/") and not (session.takes_files and begins_with_file(message))
    if is_command:
        await obey(message, session, terminal)
    elif message.strip():
        await _reply(session, message)


async def _reply(session: Session, text: str) -> None:
    """Answer a message; what was said of the answer stays in the conversation even if it breaks."""
    attached = attach(text) if session.takes_files else Attached(text)
    for line in attached.notes:
        note(line)
    message: dict[str, Json] = {"role": "user", "content": attached.prompt}
    session.messages.append(message | ({"images": attached.images} if attached.images else {}))
    screen = Screen(wraps=session.wraps, hides_thinking=session.hides_thinking)
    try:
        last = await show_answer(session.chat(), screen)
    finally:
        _remember(session, screen)
        print()
    if session.verbose:
        note_timings(last)


def _remember(session: Session, screen: Screen) -> None:
    """Keep the answer, or forget the question that got none."""
    if not screen.text:
        session.messages.pop()
        return
    answer: dict[str, Json] = {"role": "assistant", "content": screen.text}
    session.messages.append(answer | ({"thinking": screen.thought} if screen.thought else {}))


def _replay(session: Session) -> None:
    """Show the messages that the model carries."""
    for message in session.info.messages or ():
        if message.role == "user":
            print(f"{PROMPT}{clean(message.content)}")
        elif message.role == "assistant":
            print(f"{clean(message.content)}\n")
