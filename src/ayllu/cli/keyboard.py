"""The terminal between two prompts.

What is typed while an answer runs is neither shown in its midst nor lost: the next prompt gets it,
with Enter still told from Ctrl-J. Ctrl-C works as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    import termios

    @contextmanager
    def quiet_keyboard() -> Iterator[None]:
        """Keep keys from being shown and changed while the block runs; stdin is a terminal."""
        before = termios.tcgetattr(sys.stdin)
        quiet = termios.tcgetattr(sys.stdin)
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)

else:

    @contextmanager
    def quiet_keyboard() -> Iterator[None]:
        """Windows shows nothing that nobody reads."""
        yield
