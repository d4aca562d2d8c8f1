"""The items of an answer of /v1/responses while they are written: what is said of each, and when.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import UNSET

from ayllu.errors import EngineError
from ayllu.server import wire_response_events as events
from ayllu.server import wire_responses as wire
from ayllu.server.response_items import new_id
from ayllu.server.response_tools import Tool
from ayllu.server.wire_openai import Logprob
from ayllu.types import Json


class OpenItem(ABC):
    """An item that grows: its id, its place in the answer, its text so far."""

    prefix: ClassVar[str]

    def __init__(self, index: int) -> None:
        self._id = new_id(self.prefix)
        self._index = index
        self._texts: list[str] = []

    def begin(self) -> Iterator[events.StreamEvent]:
        """What is told before its first piece."""
        yield events.ItemAdded(output_index=self._index, item=self._item("in_progress", None))
        yield from self._opening()

    def add(self, text: str) -> Iterator[events.StreamEvent]:
        """What is told of a piece."""
        self._texts.append(text)
        yield from self._grown(text)

    def end(self, *, cut: bool) -> Iterator[events.StreamEvent]:
        """What is told after its last piece, the whole item last. `cut` says that a limit ended it.

        Raises EngineError where it makes no sense.
        """
        text = "".join(self._texts)
        status = self._status(text, cut=cut)
        yield from self._closing(text)
        yield events.ItemDone(output_index=self._index, item=self._item(status, text))

    @property
    def _where(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index}

    def _status(self, _text: str, *, cut: bool) -> wire.Status:
        return "incomplete" if cut else "completed"

    def _opening(self) -> Iterator[events.StreamEvent]:
        yield from ()

    def _grown(self, _text: str) -> Iterator[events.StreamEvent]:
        yield from ()

    @abstractmethod
    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        """The events before the last one."""

    @abstractmethod
    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        """The item with its text; None is before any."""


class OpenMessage(OpenItem):
    """A message with one part, its text. `logprobs` belong to the piece that is added next."""

    prefix = "msg"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.logprobs: tuple[Logprob, ...] = ()
        self._all: list[Logprob] = []

    def _opening(self) -> Iterator[events.StreamEvent]:
        yield events.PartAdded(part=wire.OutputText(""), **self._where)

    def _grown(self, text: str) -> Iterator[events.StreamEvent]:
        logprobs, self.logprobs = self.logprobs, ()
        self._all += logprobs
        yield events.TextDelta(delta=text, logprobs=logprobs, **self._where)

    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.TextDone(text=text, logprobs=tuple(self._all), **self._where)
        yield events.PartDone(part=self._part(text), **self._where)

    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        content = () if text is None else (self._part(text),)
        return wire.MessageItem(id=self._id, status=status, content=content)

    def _part(self, text: str) -> wire.OutputText:
        return wire.OutputText(text, logprobs=tuple(self._all))


class OpenReasoning(OpenItem):
    """Thinking as it is.

    With `sends_back` it stands in `encrypted_content`, too, for clients that send it back because
    nothing is stored; it is plain text, as in Ollama.
    """

    prefix = "rs"

    def __init__(self, index: int, *, sends_back: bool) -> None:
        super().__init__(index)
        self._sends_back = sends_back

    def _opening(self) -> Iterator[events.StreamEvent]:
        yield events.PartAdded(part=wire.ReasoningText(""), **self._where)

    def _grown(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.ReasoningDelta(delta=text, **self._where)

    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.ReasoningDone(text=text, **self._where)
        yield events.PartDone(part=wire.ReasoningText(text), **self._where)

    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        content = () if text is None else (wire.ReasoningText(text),)
        return wire.ReasoningItem(
            id=self._id, status=status, content=content, encrypted_content=self._encrypted(text)
        )

    def _encrypted(self, text: str | None) -> str | None:
        return text if self._sends_back else None


class OpenSummary(OpenReasoning):
    """Thinking, told as the summary that was asked for."""

    def _opening(self) -> Iterator[events.StreamEvent]:
        yield events.SummaryPartAdded(part=wire.SummaryText(""), **self._where)

    def _grown(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.SummaryDelta(delta=text, **self._where)

    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.SummaryDone(text=text, **self._where)
        yield events.SummaryPartDone(part=wire.SummaryText(text), **self._where)

    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        summary = () if text is None else (wire.SummaryText(text),)
        return wire.ReasoningItem(
            id=self._id, status=status, summary=summary, encrypted_content=self._encrypted(text)
        )


class OpenCall(OpenItem):
    """The call of a function, whose arguments come in pieces of JSON."""

    prefix = "fc"

    def __init__(self, index: int, tool: Tool, call_id: str) -> None:
        super().__init__(index)
        self._tool = tool
        self._names: dict[str, Any] = {
            "call_id": call_id,
            "name": tool.name,
            "namespace": tool.namespace or UNSET,
        }

    def end(self, *, cut: bool) -> Iterator[events.StreamEvent]:
        """As above; a call without arguments has none in JSON."""
        if not self._texts and not cut:
            yield from self.add("{}")
        yield from super().end(cut=cut)

    def _status(self, text: str, *, cut: bool) -> wire.Status:
        """A limit may end an answer after a whole call."""
        if isinstance(_parse(text), dict):
            return "completed"
        if cut:
            return "incomplete"
        raise EngineError(f"the model called {self._tool.name!r} with arguments that are no JSON")

    def _grown(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.ArgumentsDelta(delta=text, **self._where)

    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.ArgumentsDone(name=self._tool.name, arguments=text, **self._where)

    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        return wire.CallItem(id=self._id, status=status, arguments=text or "", **self._names)


class OpenCustomCall(OpenCall):
    """The call of a custom tool: the model writes JSON, and the client gets the text within."""

    prefix = "ctc"

    def _grown(self, _text: str) -> Iterator[events.StreamEvent]:
        yield from ()

    def _closing(self, text: str) -> Iterator[events.StreamEvent]:
        yield events.InputDelta(delta=_input(text), **self._where)
        yield events.InputDone(input=_input(text), **self._where)

    def _item(self, status: wire.Status, text: str | None) -> wire.Item:
        return wire.CustomCallItem(
            id=self._id, status=status, input=_input(text or ""), **self._names
        )


def _input(text: str) -> str:
    """The text within a custom call's JSON; all of it where it is not in its place."""
    arguments = _parse(text)
    value = arguments.get("input") if isinstance(arguments, dict) else None
    return value if isinstance(value, str) else text


def _parse(text: str) -> Json:
    """What JSON says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
