"""The typed client of one llama-server: bytes -> lines -> Chunks, each a thin wrapper.

Always streams: llama-server cancels a request on disconnect only then. Keeps its own time-outs,
because /health stays well in a child that hangs.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TypeVar

import aiohttp
import msgspec

from ayllu.errors import EngineError
from ayllu.runner.bodies import payload, refusal
from ayllu.runner.chunks import Chunk, CompletionReader, read_chat
from ayllu.runner.pace import Pace, longest_silence
from ayllu.runner.process import EngineDiedError, RunnerProcess
from ayllu.runner.replies import (
    Biased,
    Content,
    Count,
    Embedded,
    Formed,
    Piece,
    Pieces,
    Prompt,
    Ranked,
    Tokens,
)
from ayllu.types import Json
from ayllu.watch import Watch

_READY_POLL_SECONDS = 0.02
_QUICK_SECONDS = 60.0
_MOST_GRAMMARS = 64
_BETWEEN = -1
"""A number that is no token: the engine passes on what stands between texts as it is."""


T = TypeVar("T")


class RunnerClient:
    """Speaks to one RunnerProcess. Whoever made it calls `close`.

    The time-outs are in seconds: to the first sign of life, and from one to the next. That of a
    model with parts `far` away is learned from its streams, and shorter.
    """

    def __init__(
        self,
        process: RunnerProcess,
        *,
        first_timeout: float,
        next_timeout: float,
        far: bool = False,
    ) -> None:
        self._process = process
        self._first_timeout = first_timeout
        self._next_timeout = next_timeout
        self._far = far
        self._paces: dict[Watch, Pace] = {}
        self._grammars: dict[bytes, str] = {}
        self.lora: list[Json] = []
        """How much of each adapter requests want, in the engine's form."""
        connector: aiohttp.BaseConnector
        if process.socket_path is None:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
        else:
            # llama-server closes connections after a stream without saying so beforehand.
            connector = aiohttp.UnixConnector(str(process.socket_path), limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={
                "Authorization": f"Bearer {process.api_key}",
                "Content-Type": "application/json",
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )

    @property
    def media_marker(self) -> str:
        """What stands for an image or a sound within a prompt."""
        return self._process.media_marker

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def adapted(self, scales: Sequence[float]) -> RunnerClient:
        """This client for requests with some adapters, by how much of each they want.

        To be closed with the client that it comes from.
        """
        client = copy.copy(self)
        client.lora = _lora(scales)
        return client

    async def set_adapters(self, scales: Sequence[float]) -> None:
        """Say how much of each adapter counts in requests that cannot say so."""
        await self._quick("/lora-adapters", _lora(scales), Json)

    async def wait_ready(self, stall_seconds: float) -> None:
        """Wait until the model is loaded, for as long as the engine's log keeps moving.

        Raises EngineError with the reason when the child ends or falls silent, EngineDiedError when
        it was killed.
        """
        while not await self._healthy():
            if not self._process.alive:
                await self._process.exited.wait()
                kind = EngineDiedError if self._process.was_killed else EngineError
                raise kind(self._process.reason())
            if self._process.seconds_silent > stall_seconds:
                self._process.kill(f"the engine said nothing for {stall_seconds:.0f} s of loading")
            await asyncio.sleep(_READY_POLL_SECONDS)

    async def _healthy(self) -> bool:
        if not self._process.url:
            return False
        try:
            async with self._session.get(f"{self._process.url}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def complete(self, body: Mapping[str, Json]) -> AsyncGenerator[Chunk]:
        """Stream /completion. Closing the generator cancels the request in the engine."""
        reader = CompletionReader()
        async with aclosing(self._stream("/completion", body)) as lines:
            async for data in lines:
                yield reader.read(data)
                if reader.finished:
                    return
        raise await self._broken(None)

    async def chat(self, body: Mapping[str, Json]) -> AsyncGenerator[Chunk]:
        """Stream /v1/chat/completions, where the engine applies the model's Jinja template."""
        async with aclosing(self._stream("/v1/chat/completions", body)) as lines:
            async for data in lines:
                if data == b"[DONE]":
                    return
                for chunk in read_chat(data):
                    yield chunk
                    if chunk.finish:
                        return
        raise await self._broken(None)

    async def tokenize(self, text: str, *, special: bool, parse_special: bool = True) -> list[int]:
        """Token ids; `special` adds the begin token where the model wants one.

        Without `parse_special`, the names of special tokens in the text are text.
        """
        body = {"content": text, "add_special": special, "parse_special": parse_special}
        return (await self._quick("/tokenize", body, Tokens)).tokens

    async def tokenize_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each of several texts, without a begin token."""
        mixed = [part for text in texts for part in (text, _BETWEEN)]
        body = {"content": mixed, "add_special": False, "parse_special": True}
        found: list[list[int]] = [[]]
        for token in (await self._quick("/tokenize", body, Tokens)).tokens:
            if token == _BETWEEN:
                found.append([])
            else:
                found[-1].append(token)
        return found[:-1]

    async def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer. Takes a slot, but no model step."""
        body = {"prompt": "", "n_predict": 0, "ignore_eos": True}
        settings = (await self._quick("/completion", body, Biased)).generation_settings
        return frozenset(bias.token for bias in settings.logit_bias)

    async def pieces(self, text: str, *, special: bool, parse_special: bool) -> list[Piece]:
        """The same tokens with the text of each."""
        body = {"content": text, "add_special": special, "parse_special": parse_special}
        return (await self._quick("/tokenize", body | {"with_pieces": True}, Pieces)).tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens by their names. Bytes that are no text are lost."""
        return (await self._quick("/detokenize", {"tokens": list(tokens)}, Content)).content

    async def grammar(self, schema: Mapping[str, Json]) -> str:
        """The grammar that the engine makes of a JSON schema. Takes a slot, but no model step."""
        key = msgspec.json.encode(schema)
        if key not in self._grammars:
            body = {"prompt": "", "n_predict": 0, "json_schema": schema, **self._adapters()}
            formed = await self._quick("/completion", body, Formed)
            if len(self._grammars) >= _MOST_GRAMMARS:
                self._grammars.clear()
            self._grammars[key] = formed.generation_settings.grammar
        return self._grammars[key]

    async def apply_template(self, body: Mapping[str, Json]) -> str:
        """The prompt that `chat` would send for this body."""
        return (await self._quick("/apply-template", body, Prompt)).prompt

    async def count_chat(self, body: Mapping[str, Json]) -> int:
        """How many tokens the prompt of `chat` for this body has, images and sounds counted too."""
        with Watch(self._first_timeout, self._end_silent):
            count = await self._call("/v1/chat/completions/input_tokens", body, Count)
        return count.input_tokens

    async def embed(self, inputs: Sequence[str | Sequence[int]]) -> Embedded:
        """Embed texts or token ids, as the engine pools and normalizes them."""
        with Watch(self._first_timeout, self._end_silent):
            answer = await self._call("/v1/embeddings", {"input": list(inputs)}, Embedded)
        rows = sorted(answer.data, key=lambda row: row.index)
        return Embedded(tuple(rows), answer.usage)

    async def rank(self, query: str, documents: Sequence[str]) -> Ranked:
        """Score documents for a query, as the model's head gives it."""
        body = {"query": query, "documents": list(documents)}
        with Watch(self._first_timeout, self._end_silent):
            answer = await self._call("/v1/rerank", body, Ranked)
        return Ranked(tuple(sorted(answer.results, key=lambda row: row.index)), answer.usage)

    def _adapters(self) -> dict[str, Json]:
        """What every request that takes a slot has to say where the engine has adapters.

        A slot that is told nothing takes what it has read with one adapter for another's.
        """
        return {"lora": self.lora} if self.lora else {}

    async def _call(self, path: str, body: Json, kind: type[T]) -> T:
        """A request with one answer."""
        self._check_open()
        try:
            async with self._session.post(
                f"{self._process.url}{path}", data=payload(body)
            ) as response:
                data = await response.read()
        except aiohttp.ClientError as error:
            raise await self._broken(error) from error
        if response.status != 200:
            raise refusal(data)
        return msgspec.json.decode(data, type=kind)

    async def _quick(self, path: str, body: Json, kind: type[T]) -> T:
        """A request that needs no model step, so it is answered even beside busy ones.

        An engine that does not is ended: it would go on with what it hangs at.
        """
        try:
            async with asyncio.timeout(min(_QUICK_SECONDS, self._first_timeout)):
                return await self._call(path, body, kind)
        except TimeoutError:
            self._end_silent()
            raise await self._broken(None, hung=True) from None

    async def _stream(self, path: str, body: Mapping[str, Json]) -> AsyncGenerator[bytes]:
        """The payloads of the event stream; an engine that falls silent is ended."""
        full = {**body, "stream": True, "return_progress": True, "sse_ping_interval": -1}
        full |= self._adapters()
        self._check_open()
        hung = False

        def end_silent() -> None:
            nonlocal hung
            hung = True
            self._end_silent()

        try:
            with Watch(self._first_timeout, end_silent) as watch, self._paced(watch):
                response = await self._session.post(
                    f"{self._process.url}{path}", data=payload(full)
                )
                async with response:
                    if response.status != 200:
                        raise refusal(await response.read())
                    rest = b""
                    while data := await self._heard(watch, response.content.readany()):
                        *lines, rest = (rest + data).split(b"\n")
                        for line in lines:
                            if line.startswith(b'data: {"error"'):
                                raise refusal(line[6:])
                            if line.startswith(b"data: "):
                                watch.paused = True  # it is the reader's turn
                                yield line[6:]
                                watch.paused = False
                        watch.touch()
        except aiohttp.ClientError as error:
            raise await self._broken(error, hung=hung) from error

    async def _heard(self, watch: Watch, reading: Awaitable[bytes]) -> bytes:
        """What is read next, which is a sign of life."""
        if not self._far:
            data = await reading
            watch.touch(self._next_timeout)
            return data
        waiting = time.monotonic()
        data = await reading
        self._paces[watch].heard(time.monotonic() - waiting)
        watch.touch()
        self._set_pace()
        return data

    @contextmanager
    def _paced(self, watch: Watch) -> Iterator[None]:
        """Have the rhythm of a stream count, where the model has parts on other machines."""
        if not self._far:
            yield
            return
        self._paces[watch] = Pace()
        self._set_pace()
        try:
            yield
        finally:
            del self._paces[watch]

    def _set_pace(self) -> None:
        seconds = longest_silence(self._paces.values(), self._next_timeout)
        for watch, pace in self._paces.items():
            if pace.begun:
                watch.allow(seconds)

    def _end_silent(self) -> None:
        where = ", or a machine that has a part of the model," if self._far else ""
        self._process.hung = True
        self._process.kill(f"the engine{where} stopped answering and was ended")

    def _check_open(self) -> None:
        """Refuse to speak to a child whose end was noticed already."""
        if self._session.closed:
            raise EngineDiedError(self._process.reason())

    async def _broken(self, error: Exception | None, *, hung: bool = False) -> EngineError:
        """The error for a connection that broke: usually because the child ended."""
        try:
            await asyncio.wait_for(self._process.exited.wait(), 2.0)
        except TimeoutError:
            return EngineError(f"the connection to the engine broke: {error}")
        return EngineDiedError(self._process.reason(), hung=hung)


def _lora(scales: Sequence[float]) -> list[Json]:
    """The engine's form of scales, all of which it has to be told."""
    return [{"id": number, "scale": scale} for number, scale in enumerate(scales)]
