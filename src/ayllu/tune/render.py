"""Conversations as texts: the prompts that serving makes, and after each the answer to learn.

An answer reaches from where its prompt ends to the token that ends the answer. How a model's
template writes that is found out by rendering a conversation of one turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from ayllu.chat.choice import settle
from ayllu.chat.prompt import with_model_messages
from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Record, Said
from ayllu.chat.turn import Turn, make_turn
from ayllu.errors import BadRequestError
from ayllu.gguf.cache import cached_header
from ayllu.models.describe import capabilities
from ayllu.models.model import Model
from ayllu.runner.place import Lease
from ayllu.tune.rows import Chat, RowError
from ayllu.tune.skeletons import Skeletons
from ayllu.types import Json, Message, Options

Tools = Sequence[Mapping[str, Json]]

_MARK = "Quipucamayoc"
"""An answer that no template writes by itself."""

_ASKED = Message(role="user", content="Hello")
_ANSWERED = Message(role="assistant", content=_MARK)


class Mode(Struct, frozen=True):
    """A way to ask: to think or not, None where the model knows of no thinking.

    A prompt ends with `opening`, where that begins a thought; `closing` ends an empty one.
    """

    think: bool | None = None
    opening: str = ""
    closing: str = ""


class Manner(Struct, frozen=True, kw_only=True):
    """How a model is spoken to, and how it ends.

    `ending` is what a Go template writes behind an answer. `stops` says whether templates write one
    of the tokens `ends` there; where not, `last` has to be added, if the model has such a token.
    `head` are the tokens before every text.
    """

    modes: tuple[Mode, ...]
    ending: str
    stops: bool
    ends: frozenset[int]
    last: int | None
    head: tuple[int, ...]


class Spoken(Struct, frozen=True):
    """A prompt, and the same with its answer."""

    prompt: str
    text: str


Rendered = tuple[Spoken, ...]
"""The turns to learn of one example; each text begins the next prompt."""


class Renderer(Struct, frozen=True):
    """Renders for a model that is to have some system prompt."""

    model: Model
    system: str
    skeletons: Skeletons
    limit: asyncio.Semaphore

    async def manner(self, lease: Lease) -> Manner:
        """How the model is spoken to. Raises BadRequestError where its template cannot be used."""
        client, ends = lease.client, await lease.client.end_tokens()
        ending = await self._ending(lease, ends)
        thinks = "thinking" in capabilities(self.model)
        ways = (True, False) if thinks else (None,)
        modes = [await self._mode(lease, think, ending) for think in ways]
        text = await self._ended(lease, (_ASKED, _ANSWERED), Mode(), (), ending)
        if _MARK not in text:
            raise BadRequestError("the model's template leaves the assistant's answers out")
        after = await client.tokenize(text.rpartition(_MARK)[2], special=False)
        plain, special = [await client.tokenize("a", special=special) for special in (False, True)]
        last = cached_header(self.model.path).kvs.get("tokenizer.ggml.eos_token_id")
        return Manner(
            modes=tuple(modes),
            ending=ending,
            stops=not ends.isdisjoint(after),
            ends=ends,
            last=last if isinstance(last, int) else min(ends, default=None),
            head=tuple(special[: _place(special, plain)]),
        )

    async def render(self, lease: Lease, manner: Manner, chat: Chat) -> list[Rendered]:
        """The examples that a conversation gives: one, where its template allows that.

        It is one for each turn where a later prompt leaves out what the model said before, as
        thoughts. A model that thinks if asked to is asked in both ways, where a conversation has no
        thoughts. Raises RowError, or the BadRequestError of a template that refuses it.
        """
        messages = with_model_messages(chat.messages, self.system, self.model.messages)
        added = len(messages) - len(chat.messages)
        places = [place + added for place in chat.learned]
        thoughtful = any(messages[place].thinking for place in places)
        found: list[Rendered] = []
        for mode in manner.modes[:1] if thoughtful else manner.modes:
            work = (
                self._spoken(lease, manner, mode, messages[: place + 1], chat.tools)
                for place in places
            )
            found += _joined(await asyncio.gather(*work), stops=manner.stops)
        texts = {rendered[-1].text: rendered for rendered in reversed(found)}
        return [rendered for rendered in found if texts[rendered[-1].text] is rendered]

    async def _spoken(
        self, lease: Lease, manner: Manner, mode: Mode, messages: Sequence[Message], tools: Tools
    ) -> Spoken:
        """The last message as the answer to those before it."""
        prompt = await self._prompt(lease, messages[:-1], mode, tools)
        text = await self._ended(lease, messages, mode, tools, manner.ending)
        answer = _answer(prompt, text, mode, messages[-1].thinking)
        if answer is None:
            raise RowError(
                f"the model's template writes message {len(messages)} otherwise than as an answer "
                "to the prompt that it makes"
            )
        return Spoken(prompt, prompt + (answer if manner.stops else answer.rstrip()))

    async def _prompt(
        self, lease: Lease, messages: Sequence[Message], mode: Mode, tools: Tools
    ) -> str:
        """The prompt of serving. A last message of the assistant's is gone on with."""

        async def ask(shown: Sequence[Message]) -> str:
            async with self.limit:
                return await turn.shown(shown)

        turn = self._turn(lease, mode, tools)
        if turn.template is not None:
            return await ask(messages)
        return await self.skeletons.render(_way("prompt", mode, tools), messages, ask)

    async def _ended(
        self,
        lease: Lease,
        messages: Sequence[Message],
        mode: Mode,
        tools: Tools,
        ending: str,
    ) -> str:
        """The conversation with its last answer ended."""

        async def ask(shown: Sequence[Message]) -> str:
            async with self.limit:
                return await turn.ended(shown)

        turn = self._turn(lease, mode, tools)
        if turn.template is not None:
            return await self._prompt(lease, messages, mode, tools) + ending
        return await self.skeletons.render(_way("ended", mode, tools), messages, ask)

    def _turn(self, lease: Lease, mode: Mode, tools: Tools) -> Turn:
        request = settle(ChatRequest(tools=tuple(tools), think=mode.think))
        return make_turn(lease, self.model, request, Options(), Record(Said(seed=0)))

    async def _ending(self, lease: Lease, ends: frozenset[int]) -> str:
        """What a Go template writes behind an answer that another turn follows, up to its end."""
        turn = self._turn(lease, Mode(), ())
        if turn.template is None:
            return ""
        shown = await turn.shown((_ASKED, _ANSWERED, _ASKED))
        after = shown.rpartition(_MARK)[2]
        written = ""
        for piece in await lease.client.pieces(after, special=False, parse_special=True):
            written += piece.piece if isinstance(piece.piece, str) else ""
            if piece.id in ends:
                return after[: after.find(written.strip()) + len(written.strip())]
        return ""

    async def _mode(self, lease: Lease, think: bool | None, ending: str) -> Mode:
        mode = Mode(think)
        prompt = await self._prompt(lease, (_ASKED,), mode, ())
        text = await self._ended(lease, (_ASKED, _ANSWERED), mode, (), ending)
        if text.startswith(prompt):
            return mode
        shared = next(
            (n for n, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), len(text)
        )
        going_on = await self._prompt(lease, (_ASKED, _ANSWERED), mode, ())
        closing = going_on[len(prompt) : max(going_on.rfind(_MARK), len(prompt))]
        return Mode(think, prompt[shared:], closing if going_on.startswith(prompt) else "")


def _way(kind: str, mode: Mode, tools: Tools) -> tuple[str, ...]:
    return kind, str(mode.think), msgspec.json.encode(tools).decode() if tools else ""


def _answer(prompt: str, text: str, mode: Mode, thinking: str) -> str | None:
    """What goes on after a prompt, where a text has its answer.

    A prompt that begins a thought is gone on with by the thought, or by the end of an empty one.
    """
    if text.startswith(prompt):
        return text[len(prompt) :]
    before = prompt.removesuffix(mode.opening)
    if not mode.opening or before == prompt or not text.startswith(before):
        return None
    return thinking.strip() + mode.closing + text[len(before) :]


def _joined(turns: Sequence[Spoken], *, stops: bool) -> list[Rendered]:
    """The turns as one example where each goes on with the one before, else an example each."""
    if stops and all(later.prompt.startswith(one.text) for one, later in pairwise(turns)):
        return [tuple(turns)]
    return [(turn,) for turn in turns]


def _place(special: Sequence[int], plain: Sequence[int]) -> int:
    """Where the plain tokens begin within those with a head."""
    return next(
        (n for n in range(len(special)) if list(special[n : n + len(plain)]) == list(plain)), 0
    )
