"""What a lease lives by: a stream with a byte each half second both ways, and last words."""

from __future__ import annotations

import asyncio
import time

from ayllu.cluster.ends import End
from ayllu.cluster.peers import PeerGoneError
from ayllu.registry.limits import end

BEAT_SECONDS = 0.5
SILENCE_SECONDS = 2.0
"""After so long a silence the other end is as good as gone."""
_ALIVE = b"\0"
_LAST_WORDS = b"\1"
_LONGEST_WORDS = 2000


class Beat:
    """One end of it. `keep` runs for as long as both ends live."""

    def __init__(self, stream: End) -> None:
        self._stream = stream
        self.heard = time.monotonic()
        """When the other end last gave a sign of life, by the monotonic clock."""

    async def keep(self) -> str:
        """Say and hear that both live; why that ended, in words that go on after `it`.

        Where the other end took its leave these are its own words, a sentence.
        """
        listening = asyncio.ensure_future(self._listen())
        try:
            while True:
                self._stream.send(_ALIVE)
                began = time.monotonic()
                await asyncio.wait({listening}, timeout=BEAT_SECONDS)
                if listening.done():
                    return listening.result()
                now = time.monotonic()
                if now - began > 2 * BEAT_SECONDS:
                    self.heard = now  # it was this machine that stood still
                elif now - self.heard > SILENCE_SECONDS:
                    return f"it has been silent for {SILENCE_SECONDS:.0f} seconds"
        finally:
            await end([listening])

    def part(self, sentence: str) -> None:
        """Say why this end goes. `keep` goes on until the other end has heard it."""
        self._stream.send(_LAST_WORDS + sentence.encode()[:_LONGEST_WORDS])
        self._stream.send_end()

    async def _listen(self) -> str:
        words = bytearray()
        try:
            while data := await self._stream.read():
                self.heard = time.monotonic()
                words += data if words else data.lstrip(_ALIVE)
                if len(words) > _LONGEST_WORDS + 1:
                    return "it says what is no sign of life"
        except PeerGoneError:
            return "the connection broke off"
        if not words.startswith(_LAST_WORDS):
            return "it ended the connection"
        return words[1:].decode("utf-8", "replace")
