"""The prompts typed before, in a file that only its user can read: one JSON string per line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from prompt_toolkit.history import History

ENTRIES = 100


class PromptHistory(History):
    """The newest ENTRIES prompts of a file. With `writes` off they stay in memory."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        super().__init__()
        self.writes = writes
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The prompts of the file, newest first."""
        return reversed(self._read())

    def store_string(self, string: str) -> None:
        """Add a prompt to the file, where other conversations may have added theirs."""
        if self.writes:
            self._write([*self._read(), string][-ENTRIES:])

    def _read(self) -> list[str]:
        """Lines that are no JSON string are left out: a damaged history is no reason to fail."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return []
        return [entry for line in lines if (entry := _decode(line)) is not None]

    def _write(self, entries: list[str]) -> None:
        """Replace the file in one step. A folder that cannot be written costs only the history."""
        data = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file, name = tempfile.mkstemp(prefix="history-", dir=self._path.parent)
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
            Path(name).replace(self._path)


def _decode(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
