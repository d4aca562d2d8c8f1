"""One conversation with a model: what was said and what is set.

Both the prompt and its slash commands work on it; it asks the server, and prints nothing itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from ayllu.cli.client import Client
from ayllu.cli.wire import Chunk, ShowReply
from ayllu.types import Json


@dataclass
class Session:
    """`think`, `format` and `keep_alive` are as the API takes them; None leaves them out."""

    client: Client
    model: str
    info: ShowReply
    think: bool | str | None = None
    format: Json = None
    keep_alive: Json = None
    hides_thinking: bool = False
    wraps: bool = True
    verbose: bool = False
    system: str = ""
    options: dict[str, Json] = field(default_factory=dict)
    messages: list[dict[str, Json]] = field(default_factory=list)

    @property
    def takes_files(self) -> bool:
        """Whether paths in a prompt are read as pictures and sounds."""
        return self.info.can("vision") or self.info.can("audio")

    def chat(self) -> AsyncGenerator[Chunk, None]:
        """Ask for the answer to the conversation so far."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return self._stream("/api/chat", {"messages": [*system, *self.messages]})

    def generate(self, prompt: str, images: tuple[str, ...] = ()) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer to one prompt alone."""
        body: dict[str, Json] = {"prompt": prompt}
        return self._stream("/api/generate", body | ({"images": images} if images else {}))

    async def load(self) -> None:
        """Bring the model into memory."""
        body: dict[str, Json] = {"model": self.model, "stream": False, "options": self.options}
        if self.keep_alive is not None:
            body["keep_alive"] = self.keep_alive
        await self.client.post("/api/generate", body, Chunk)

    async def switch(self, model: str) -> None:
        """Go on with another model and an empty conversation; raises when it cannot be loaded."""
        info = await show_model(self.client, model)
        other = Session(self.client, model, info, options=self.options, keep_alive=self.keep_alive)
        await other.load()
        self.model, self.info = model, info
        self.think = default_think(info)
        self.system = ""
        self.messages.clear()

    def definition(self, name: str) -> dict[str, Json]:
        """The body of /api/create that stores this conversation under a name."""
        stored = [{"role": one.role, "content": one.content} for one in self.info.messages or ()]
        parts = {
            "model": name,
            "from": self.model,
            "system": self.system,
            "parameters": self.options,
            "messages": stored + self.messages,
        }
        return {key: value for key, value in parts.items() if value}

    def _stream(self, path: str, body: dict[str, Json]) -> AsyncGenerator[Chunk, None]:
        return self.client.stream(path, self._body(body), Chunk)

    def _body(self, extra: dict[str, Json]) -> dict[str, Json]:
        body: dict[str, Json] = {"model": self.model, **extra}
        settings = {"think": self.think, "format": self.format, "keep_alive": self.keep_alive}
        body |= {key: value for key, value in settings.items() if value is not None}
        return body | ({"options": self.options} if self.options else {})


def default_think(info: ShowReply) -> bool | None:
    """A model that can think does, unless the user said otherwise."""
    return True if info.can("thinking") else None


async def show_model(client: Client, model: str) -> ShowReply:
    """What the server knows about a model. Raises NotFoundError when it does not have it."""
    return await client.post("/api/show", {"model": model}, ShowReply)
