"""What images cost: time to the first token beside llama-server, memory, and others' waiting.

    make bench SCRIPTS=bench/media.py [MODEL="MODEL.gguf PROJECTOR.gguf"]

The projector that is made for the occasion costs next to nothing, so that what is left is the way
of the bytes. A round's image is new to both servers.
"""

from __future__ import annotations

import asyncio
import base64
import io
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
from gguf_maker import CHATML, make_successor_model
from measure import http, our_chat, raw_chat, raw_server, run, show
from PIL import Image
from projector_maker import make_projector
from serving import Serving, serving

ROUNDS = 7
SIZE = (3840, 2160)
TOKENS = 4
LARGE = 74_000_000
"""Bytes of an image that goes as it is; 100 MB become a smaller JPEG first."""

MIB = 1 << 20


def photo(seed: int, form: str) -> bytes:
    """A picture of 4k with as much detail as a photo has."""
    noise = Image.effect_noise((SIZE[0] // 2, SIZE[1] // 2), 60 + seed).resize(SIZE)
    colours = Image.linear_gradient("L").resize(SIZE), Image.radial_gradient("L").resize(SIZE)
    out = io.BytesIO()
    Image.merge("RGB", (noise, *colours)).save(out, form, quality=90)
    return out.getvalue()


def noise(size: int) -> bytes:
    """A PNG of about so many bytes, which nothing makes smaller."""
    side = int((size / 3) ** 0.5)
    bands = [Image.effect_noise((side, side), 500) for _ in "RGB"]
    out = io.BytesIO()
    Image.merge("RGB", bands).save(out, "PNG", compress_level=0)
    return out.getvalue()


def text(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


async def compare(model: Path, projector: Path, home: Path) -> None:
    """Both servers in alternation, then what only ours takes."""
    with serving(home) as server, raw_server(model, home, 4, projector) as (_, raw):
        server.create("bench", model, projector)
        async with http() as session:
            await our_chat(session, server.url, "bench", "hello", TOKENS)
            await raw_chat(session, raw, "hello", TOKENS)
            mine, theirs = [], []
            for turn in range(ROUNDS):
                image = text(photo(turn, "JPEG"))
                for ours in (turn % 2, not turn % 2):
                    if ours:
                        told = await our_chat(session, server.url, "bench", "look", TOKENS, image)
                        mine.append(1000 * told.first)
                    else:
                        told = await raw_chat(session, raw, "look", TOKENS, image)
                        theirs.append(1000 * told.first)
            print(f"{model.name}, {ROUNDS} rounds, JPEG of {len(image) / 1e6:.1f} MB, {SIZE}")
            show("first token, llama-server", theirs, "ms")
            show("first token, Ayllu", mine, "ms")
            show("later by", [a - b for a, b in zip(mine, theirs, strict=True)], "ms")
            for name, data in (
                ("the same as WebP", photo(ROUNDS, "WEBP")),
                (f"PNG of {LARGE / 1e6:.0f} MB", noise(LARGE)),
                ("PNG of 100 MB", noise(99_900_000)),
            ):
                await alone(session, server, f"{name}, {len(data) / 1e6:.1f} MB", text(data))


def reset_peak(pid: int) -> None:
    """Linux forgets how much memory a process had at most."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def peak(pid: int) -> int:
    """How much memory a process had at most, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


async def alone(session: aiohttp.ClientSession, server: Serving, name: str, image: str) -> None:
    """One image through ours: time, the server's peak, and the longest wait of somebody else."""
    process = psutil.Process(server.process.pid)
    reset_peak(process.pid)
    before = process.memory_info().rss
    async with others(server.url) as waits:
        told = await our_chat(session, server.url, "bench", "look", TOKENS, image)
    print(f"{name:<44}{told.first:10.2f} s to the first token")
    print(f"    server {before / MIB:.0f} MiB, at most {peak(process.pid) / MIB:.0f} MiB,", end=" ")
    print(f"{process.memory_info().rss / MIB:.0f} MiB after; others wait {max(waits):.2f} s")


@asynccontextmanager
async def others(url: str) -> AsyncIterator[list[float]]:
    """Somebody who asks for the version all the time, and how long each answer takes."""
    waits: list[float] = []

    async def ask() -> None:
        async with http() as session:
            while True:
                begun = time.perf_counter()
                async with session.get(f"{url}/api/version") as reply:
                    await reply.read()
                waits.append(time.perf_counter() - begun)
                await asyncio.sleep(0.02)

    task = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        task.cancel()


async def main() -> None:
    """Compare with the files that are named, or with ones made here."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if len(sys.argv) > 2:
            model, projector = map(Path, sys.argv[1:3])
        else:
            model = make_successor_model(home / "model.gguf", chat_template=CHATML, context=4096)
            projector = make_projector(home / "mmproj.gguf")
        await compare(model, projector, home)


if __name__ == "__main__":
    run(main)
