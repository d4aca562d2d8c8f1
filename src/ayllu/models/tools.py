"""The engine's programs that work on models' files, and what is to be so before they may start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import Struct, field

from ayllu.errors import BadRequestError, BusyError, EngineMissingError, TooLargeError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.evaluate import memory_needed
from ayllu.gguf.read import Header
from ayllu.gguf.tool import REMEDY
from ayllu.models.corrected import find_correction
from ayllu.models.shelf import ASSETS
from ayllu.system import memory

CALIBRATION = ASSETS / "calibration.txt"
"""The text that ships with Ayllu: prose in several languages, code, tables and numbers."""

MAX_TEXT_BYTES = 16 << 20
_GIGA = 1e9


class Tools(Struct, frozen=True, kw_only=True):
    """Where the programs are.

    `turn` is held by whoever has a model in memory for a program: one at a time. With `gpus` the
    engine itself fits models in.
    """

    quantize: Path
    imatrix: Path
    export_lora: Path
    gpus: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def check_memory(self, header: Header, context: int) -> None:
        """Raise BusyError where a model does not fit beside what is in memory now."""
        needed, free = memory_needed(header, context), memory().available
        if needed > free and not self.gpus:
            raise BusyError(
                f"this takes about {needed / _GIGA:.1f} GB of memory, and {free / _GIGA:.1f} GB "
                "are free: stop other models first (`ayllu ps` lists them)"
            )


def check_program(program: Path) -> None:
    """Raise EngineMissingError where a program of the engine's is not there."""
    if not program.exists():
        raise EngineMissingError(f"there is no {program.stem} in {program.parent}: {REMEDY}")


def check_form(path: Path) -> None:
    """Raise BadRequestError for a GGUF that the engine's programs do not take as it is.

    llama-server gets a corrected copy, or is told other keys. Reads the header: not for the event
    loop.
    """
    if find_correction(path) is not None:
        raise BadRequestError(
            f"this {arch.architecture(cached_header(path))} model is in a form of Ollama's own, "
            "which runs here but the engine's other programs do not read: get it as a GGUF that "
            "llama.cpp wrote, or import its original"
        )


def check_text(data: bytes) -> None:
    """Raise BadRequestError or TooLargeError unless a model could read this as a text."""
    if len(data) > MAX_TEXT_BYTES:
        raise TooLargeError(
            f"the text is larger than {MAX_TEXT_BYTES >> 20} MiB: a few hundred kilobytes will do"
        )
    if not data.strip():
        raise BadRequestError("the text is empty")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(
            f"the text is not UTF-8 (byte {error.start + 1}): save it as UTF-8 first"
        ) from error
