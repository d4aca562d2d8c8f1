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
from ayllu.tune.thoughts import Thoughts
from ayllu.types import Json, Message, Options

Tools = Sequence[Mapping[str, Json]]

MARK = "Quipucamayoc"
"""An answer that no template writes by itself."""

_ASKED = Message(role="user", content="Hello")
_ANSWERED = Message(role="assistant", content=MARK)


class Mode(Struct, frozen=True):
    """A way to ask: to think or not, None where the model knows of no thinking.

    A prompt may end with what begins a thought, though no answer is written so: `opening`, where
    answers have their `lead`. `closing` ends an empty thought.
    """

    think: bool | None = None
    opening: str = ""
    lead: str = ""
    closing: str = ""


class Manner(Struct, frozen=True, kw_only=True):
    """How a model is spoken to, and how it ends.

    `ending` is what its template writes behind an answer, up to one of the tokens `ends`; where it
    has none of them it is empty, and `after` is all that is written there. Then `last` has to be
    added, if the model has such a token. `head` are the tokens before every text.
    """

    modes: tuple[Mode, ...]
    ending: str
    after: str
    ends: frozenset[int]
    last: int | None
    head: tuple[int, ...]


class Spoken(Struct, frozen=True):
    """A prompt, and the same with its answer; `lost` says that a thought is not in there."""

    prompt: str
    text: str
    lost: bool = False


Rendered = tuple[Spoken, ...]
"""The turns to learn of one example; each text begins the next prompt."""


class Renderer(Struct, frozen=True):
    """Renders for a model that is to have some system prompt.

    `template` is the Go template that it is served with; None where the engine renders.
    """

    model: Model
    system: str
    template: str | None
    skeletons: Skeletons
    thoughts: Thoughts
    limit: asyncio.Semaphore

    async def manner(self, lease: Lease) -> Manner:
        """How the model is spoken to. Raises BadRequestError where its template cannot be used."""
        client, ends = lease.client, await lease.client.end_tokens()
        thinks = "thinking" in capabilities(self.model)
        text = await self._ended(lease, (_ASKED, _ANSWERED), Mode(), (), "")
        if self.template is not None:
            text = await self.prompt(lease, (_ASKED, _ANSWERED, _ASKED), Mode(), ())
        if MARK not in text:
            raise BadRequestError("the model's template leaves the assistant's answers out")
        after = text.rpartition(MARK)[2]
        ending = await _up_to_end(lease, after, ends)
        plain, special = [await client.tokenize("a", special=special) for special in (False, True)]
        last = cached_header(self.model.path).kvs.get("tokenizer.ggml.eos_token_id")
        return Manner(
            modes=await self._modes(lease, ending) if thinks else (Mode(),),
            ending=ending,
            after=after if self.template is None else "",
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
        messages = self.shown(chat.messages)
        added = len(messages) - len(chat.messages)
        places = [place + added for place in chat.learned]
        thoughtful = any(messages[place].thinking for place in places)
        found: list[Rendered] = []
        for mode in manner.modes[:1] if thoughtful else manner.modes:
            work = (
                self._spoken(lease, manner, mode, messages[: place + 1], chat.tools)
                for place in places
            )
            found += _joined(await asyncio.gather(*work), stops=bool(manner.ending))
        texts = {rendered[-1].text: rendered for rendered in reversed(found)}
        return [rendered for rendered in found if texts[rendered[-1].text] is rendered]

    def shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages with those that the model puts before them."""
        return with_model_messages(messages, self.system, self.model.messages)

    async def _spoken(
        self, lease: Lease, manner: Manner, mode: Mode, messages: Sequence[Message], tools: Tools
    ) -> Spoken:
        """The last message as the answer to those before it."""
        prompt = await self.prompt(lease, messages[:-1], mode, tools)
        text = await self._ended(lease, messages, mode, tools, manner.ending)
        answer = _answer(prompt, text, mode, messages[-1])
        if answer is None:
            if messages[-1].tool_calls:
                raise RowError(
                    f"the model's template writes the call of message {len(messages)} otherwise "
                    "than as an answer to the prompt that it makes"
                )
            closing = mode.closing if prompt.endswith(mode.opening) else ""
            answer = closing + messages[-1].content.strip() + manner.ending
        if any(call.function.name not in answer for call in messages[-1].tool_calls):
            raise RowError(f"the model's template leaves out the call of message {len(messages)}")
        thought = messages[-1].thinking.strip()
        text = prompt + _trimmed(answer, manner)
        if mode.closing and not thought and answer.startswith(mode.closing):
            own = await self._thought(lease, prompt, mode)
            return Spoken(prompt + own, prompt + own + text.removeprefix(prompt + mode.closing))
        return Spoken(prompt, text, thought not in answer)

    async def _thought(self, lease: Lease, prompt: str, mode: Mode) -> str:
        """A thought of the model's own and its end, which are read before the answer."""
        async with self.limit:
            return await self.thoughts.before(lease.client, prompt, mode.closing) + mode.closing

    async def prompt(
        self, lease: Lease, messages: Sequence[Message], mode: Mode, tools: Tools
    ) -> str:
        """The prompt of serving. A last message of the assistant's is gone on with."""

        async def ask(shown: Sequence[Message]) -> str:
            async with self.limit:
                return await self._turn(lease, mode, tools).shown(shown)

        if self.template is not None:
            await asyncio.sleep(0)  # it is rendered here, and others wait
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
                return await self._turn(lease, mode, tools).ended(shown)

        if self.template is not None:
            return await self.prompt(lease, messages, mode, tools) + ending
        return await self.skeletons.render(_way("ended", mode, tools), messages, ask)

    def _turn(self, lease: Lease, mode: Mode, tools: Tools) -> Turn:
        request = settle(ChatRequest(tools=tuple(tools), think=mode.think))
        return make_turn(lease, self.model, request, Options(), Record(Said(seed=0)))

    async def _modes(self, lease: Lease, ending: str) -> tuple[Mode, ...]:
        """How a model that can think is asked to, and asked not to, where that makes a difference.

        Source of the closing: what the engine puts before an answer that it goes on with, or what
        it adds to the prompt of one that is not to think.
        """
        prompts = {
            think: await self.prompt(lease, (_ASKED,), Mode(think), ()) for think in (True, False)
        }
        modes = []
        for think, prompt in prompts.items():
            text = await self._ended(lease, (_ASKED, _ANSWERED), Mode(think), (), ending)
            if text.startswith(prompt):
                modes.append(Mode(think))
                continue
            same = (n for n, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b)
            shared = next(same, len(text))
            closing = ""
            if think and prompts[False] != prompt and prompts[False].startswith(prompt):
                closing = prompts[False].removeprefix(prompt)
            elif think:
                going_on = await self.prompt(lease, (_ASKED, _ANSWERED), Mode(think), ())
                closing = going_on.removeprefix(prompt).partition(MARK)[0]
            lead = text[shared:].partition(MARK)[0]
            modes.append(Mode(think, prompt[shared:], lead, closing))
        return tuple(modes if prompts[True] != prompts[False] else modes[:1])


async def _up_to_end(lease: Lease, after: str, ends: frozenset[int]) -> str:
    """A text up to its first token that ends answers; "" where it has none."""
    written = ""
    for piece in await lease.client.pieces(after, special=False, parse_special=True):
        written += piece.piece if isinstance(piece.piece, str) else ""
        if piece.id in ends:
            ending = written.strip()
            return after[: after.find(ending) + len(ending)]
    return ""


def _way(kind: str, mode: Mode, tools: Tools) -> tuple[str, ...]:
    return kind, str(mode.think), msgspec.json.encode(tools).decode() if tools else ""


def _answer(prompt: str, text: str, mode: Mode, message: Message) -> str | None:
    """What goes on after a prompt, where a text has its answer.

    A prompt that begins a thought is gone on with by the thought, or by the end of an empty one.
    """
    if text.startswith(prompt):
        return text[len(prompt) :]
    before = prompt.removesuffix(mode.opening) + mode.lead
    if not mode.opening or not prompt.endswith(mode.opening) or not text.startswith(before):
        return None
    return message.thinking.strip() + mode.closing + text[len(before) :]


def _trimmed(answer: str, manner: Manner) -> str:
    """An answer up to where the model ends it."""
    if not manner.ending:
        return answer.removesuffix(manner.after).rstrip()
    before, ending, _ = answer.rpartition(manner.ending)
    return before + ending if ending else answer


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
