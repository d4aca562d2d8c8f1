"""Zenoh's sessions, from their opening to the end of the process.

Closing one takes ten seconds where a link of it is dead, as after a change of address or a pulled
cable, and then fails. So it happens in a thread of its own. A process that ends waits for it, for
an interpreter that ends with a session open may hang; but not for long: then it ends without the
interpreter's leave, and the kernel closes what is left.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Final

import zenoh

_END_SECONDS: Final = 2.0
"""Sessions whose links are alive need a hundredth of it."""

_open: list[zenoh.Session] = []
_closing: list[threading.Thread] = []


def open_session(words: zenoh.Config) -> zenoh.Session:
    """An open session. Raises zenoh.ZError."""
    session = zenoh.open(words)
    _open.append(session)
    return session


def close_session(session: zenoh.Session) -> threading.Thread:
    """Begin to close a session; the thread ends when it is closed, or cannot be."""
    if session in _open:
        _open.remove(session)
    _closing[:] = [thread for thread in _closing if thread.is_alive()]
    thread = threading.Thread(target=_close, args=(session,), name="bus-closes", daemon=True)
    thread.start()
    _closing.append(thread)
    return thread


def _close(session: zenoh.Session) -> None:
    with contextlib.suppress(zenoh.ZError):  # "timed out": a machine on the other end is gone
        session.close()  # type: ignore[no-untyped-call] # zenoh 1.10.2 types its arguments alone


@atexit.register
def _close_all() -> None:
    for session in tuple(_open):
        close_session(session)
    end = time.monotonic() + _END_SECONDS
    for thread in _closing:
        thread.join(max(end - time.monotonic(), 0.0))
    if any(thread.is_alive() for thread in _closing):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # nobody reads it any more
                stream.flush()
        os._exit(hasattr(sys, "last_value"))  # whether a traceback was the end
