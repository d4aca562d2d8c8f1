"""A registry that misbehaves on demand, as a program of its own: bad_registry.py FOLDER.

It serves FOLDER/blobs/<digest> and FOLDER/manifests/<namespace>/<model>/<tag>. FOLDER/faults.json
says what goes wrong with which requests; FOLDER/requests.jsonl gets a line per answer. The port
goes to stdout. Python's sockets write what no HTTP library would.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import msgspec

PIECE = 64 << 10
BOMB = gzip.compress(bytes(16 << 20), 1)


class Fault(msgspec.Struct, omit_defaults=True):
    """What goes wrong with the first `times` requests (-1: all) that match.

    `path` is a regular expression of the path, `start` the least beginning of the range. `what`:
    `answer` sends `status`, `headers` (`{host}` is ours) and `body` in place of everything; `cut`
    closes after `after` bytes of the body, `hang` goes silent and `trickle` slow there; `flip`
    turns a bit there; `more` sends bytes after the end; `whole` ignores ranges; `shift` sends
    another range; `size` claims `after` bytes as the whole length; `short` sends half of what it
    was asked for; `bomb` compresses zeros, `endless` never ends.
    """

    what: str
    path: str = ""
    method: str = "GET"
    start: int = 0
    times: int = 1
    after: int = 0
    status: int = 200
    headers: dict[str, str] = {}
    body: str = ""


class Server:
    """The registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = msgspec.json.decode((folder / "faults.json").read_bytes(), type=list[Fault])
        self.record = (folder / "requests.jsonl").open("a", encoding="utf-8")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while start := await reader.read(1):
                if not start.isalpha():  # TLS: answer as HTTP servers do
                    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                    break
                head = start + await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                method, path, _ = first.split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (ln.partition(":") for ln in lines)}
                await reader.readexactly(int(headers.get("content-length", "0")))
                if path == "/ping":  # whoever asks has all that was written down before
                    await send(writer, 200, {}, b"")
                    continue
                sent = await self.answer(method, path, headers, writer)
                self.note(method, path, headers, sent)
                if sent < 0:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    def note(self, method: str, path: str, headers: Mapping[str, str], sent: int) -> None:
        """Write down what was asked and how many bytes of a body it got; -1 where cut."""
        line = {"method": method, "path": path, "sent": sent, "headers": dict(headers)}
        self.record.write(json.dumps(line) + "\n")
        self.record.flush()

    def fault(self, method: str, path: str, start: int) -> Fault:
        """What is to go wrong with a request."""
        for fault in self.faults:
            fits = re.search(fault.path, path) and method == fault.method and start >= fault.start
            if fits and fault.times:
                fault.times -= 1
                return fault
        return Fault("nothing")

    def data(self, path: str) -> bytes | None:
        """The blob or manifest of a path."""
        match = re.fullmatch(r"/(?:v2|moved)/([\w/.-]+)/(blobs|manifests)/([\w:.-]+)", path)
        if not match:
            return None
        model, kind, name = match.groups()
        place = self.folder / "blobs" / name if kind == "blobs" else Path()
        if kind == "manifests":
            place = self.folder / "manifests" / model / name
        return place.read_bytes() if place.is_file() else None

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], writer: asyncio.StreamWriter
    ) -> int:
        """Answer one request; returns the bytes of body sent, -1 where the connection is to end."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        fault = self.fault(method, path, int(asked[1]) if asked else 0)
        if fault.what == "answer":
            told = {key: v.replace("{host}", headers["host"]) for key, v in fault.headers.items()}
            return await send(writer, fault.status, told, fault.body.encode())
        if fault.what in {"bomb", "endless"}:
            return await flood(writer, fault.what)
        data = self.data(path)
        if data is None:
            return await send(writer, 404, {}, b'{"errors":[{"code":"UNKNOWN"}]}')
        if not asked or fault.what == "whole":
            extra = {"Content-Length": str(fault.after)} if fault.what == "size" else {}
            return await send(writer, 200, fault.headers | extra, data, fault, method)
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        shift = 1000 if fault.what == "shift" else 0
        if fault.what == "short":
            end = start + (end - start) // 2
        total = fault.after if fault.what == "size" else len(data)
        span = {"Content-Range": f"bytes {start + shift}-{end - 1 + shift}/{total}"}
        return await send(writer, 206, fault.headers | span, data[start:end], fault, method)


async def send(
    writer: asyncio.StreamWriter,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    fault: Fault | None = None,
    method: str = "GET",
) -> int:
    """Write an answer, wrongly where a fault says so."""
    fault = fault or Fault("nothing")
    if fault.what == "more":
        headers, body = {"Content-Length": str(len(body) + 5000), **headers}, body + bytes(5000)
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode())
    if method == "HEAD":
        return 0
    if fault.what == "flip":
        body = body[: fault.after] + bytes([body[fault.after] ^ 4]) + body[fault.after + 1 :]
    for place in range(0, len(body), PIECE):
        piece = body[place : place + PIECE]
        if fault.what in {"cut", "hang", "trickle"} and place + len(piece) > fault.after:
            return await fail(writer, fault, piece)
        writer.write(piece)
        await writer.drain()
    return len(body)


async def fail(writer: asyncio.StreamWriter, fault: Fault, rest: bytes) -> int:
    """End an answer as the fault wants it."""
    if fault.what == "trickle":
        for byte in rest:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)
    if fault.what == "hang":
        await writer.drain()
        await asyncio.sleep(60)
    if fault.what == "cut":
        writer.write(rest[: fault.after % PIECE])
        await writer.drain()
    return -1


async def flood(writer: asyncio.StreamWriter, what: str) -> int:
    """A body that is far larger than it has any right to be."""
    if what == "bomb":
        return await send(writer, 200, {"Content-Encoding": "gzip"}, BOMB)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()
    return -1


async def main(folder: Path) -> None:
    """Serve until killed."""
    bad = Server(folder)
    server = await asyncio.start_server(bad.serve, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
