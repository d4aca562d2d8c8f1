"""`ayllu run`: one prompt and its answer, an embedding, or a conversation."""

from __future__ import annotations

import sys

import click
import msgspec

from ayllu.cli.answer import Screen, note_timings, show_answer
from ayllu.cli.client import Client, call
from ayllu.cli.local import model_of_file
from ayllu.cli.media import Attached, attach
from ayllu.cli.parameters import parse_format, parse_keepalive, parse_think
from ayllu.cli.print import note
from ayllu.cli.progress import spinning
from ayllu.cli.pull import pull
from ayllu.cli.session import Session, default_think, show_model
from ayllu.cli.wire import AylluModelsReply, EmbedReply, ShowReply
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.types import Json

BARE_FLAGS = {"--think": "--think=true", "--truncate": "--truncate=true"}


class GoFlags(click.Command):
    """A command where `--think` alone means `--think=true` and never takes the word after it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give the bare flags their value, up to `--`."""
        end = args.index("--") if "--" in args else len(args)
        flags = [BARE_FLAGS.get(argument, argument) for argument in args[:end]]
        return super().parse_args(ctx, flags + args[end:])


class RunFlags(msgspec.Struct, frozen=True):
    """The command's options as they were typed."""

    keepalive: str | None
    verbose: bool
    insecure: bool
    nowordwrap: bool
    format: str | None
    think: str | None
    hidethinking: bool
    truncate: bool | None
    dimensions: int | None


@click.command(cls=GoFlags)
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--keepalive", metavar="DURATION", help="How long the model stays loaded: 5m, -1.")
@click.option("--verbose", is_flag=True, help="Show timings after the answer.")
@click.option("--insecure", is_flag=True, help="Download over an insecure registry connection.")
@click.option("--nowordwrap", is_flag=True, help="Do not wrap words at the terminal's edge.")
@click.option("--format", metavar="FORMAT", help="Answer format: json, or a JSON schema.")
@click.option("--think", metavar="[=LEVEL]", help="true, false, low, medium, high or max.")
@click.option("--hidethinking", is_flag=True, help="Do not show the model's thinking.")
@click.option("--truncate", type=bool, metavar="[=BOOL]", help="Embeddings: cut long input.")
@click.option("--dimensions", type=int, help="Embeddings: length of the vector.")
def run(model: str, prompt: tuple[str, ...], **flags: Json) -> None:
    """Run MODEL, a model's name or a GGUF file: answer PROMPT, or talk when there is none.

    What comes in by a pipe is put before the prompt.
    """
    chosen = RunFlags(**flags)
    words = list(prompt)
    if not sys.stdin.isatty() and (piped := sys.stdin.buffer.read()):
        words.insert(0, piped.decode("utf-8", "replace"))
    text = _valid(" ".join(words))
    talks = not words and sys.stdin.isatty() and sys.stdout.isatty()
    call(lambda client: _run(client, model, text, chosen, talks=talks))


def _valid(text: str) -> str:
    """The text with bytes that were no UTF-8 on the command line replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _run(client: Client, model: str, text: str, flags: RunFlags, *, talks: bool) -> None:
    session = _session(client, model, ShowReply(), flags)  # refuses bad flags before a download
    session.model = model = await model_of_file(client, model)
    session.info = await _find(client, model, insecure=flags.insecure)
    if session.think is None:
        session.think = default_think(session.info)
    if session.info.can("image"):
        raise BadRequestError("image generation models are not currently supported")
    if session.info.can("embedding") and not session.info.can("completion"):
        await _embed(session, text, flags)
    elif talks:
        await _talk(session)
    else:
        await _answer(session, text)


def _session(client: Client, model: str, info: ShowReply, flags: RunFlags) -> Session:
    return Session(
        client,
        model,
        info,
        think=None if flags.think is None else parse_think(flags.think),
        format=None if flags.format is None else parse_format(flags.format),
        keep_alive=None if flags.keepalive is None else parse_keepalive(flags.keepalive),
        hides_thinking=flags.hidethinking,
        wraps=not flags.nowordwrap,
        verbose=flags.verbose,
    )


async def _find(client: Client, model: str, *, insecure: bool) -> ShowReply:
    """What is known about the model, downloaded first where it is not here."""
    try:
        info = await show_model(client, model)
    except NotFoundError:
        await pull(client, model, insecure=insecure)
        return await show_model(client, model)
    if client.answered_by:
        note(f"{model} is on another machine of the ayllu and runs there: {await _node(client)}")
    return info


async def _node(client: Client) -> str:
    """The name of the machine that gave the last answer."""
    node = client.answered_by
    reply = await client.get("/api/cluster/models", AylluModelsReply)
    holders = (holder for model in reply.models for holder in model.nodes)
    return next((holder.name for holder in holders if holder.id == node), node)


async def _embed(session: Session, text: str, flags: RunFlags) -> None:
    """Print the text's vector as one line of JSON."""
    if not text:
        raise BadRequestError(
            "embedding models require input text. "
            f'Usage: ayllu run {session.model} "your text here"'
        )
    options = {
        "truncate": flags.truncate,
        "dimensions": flags.dimensions,
        "keep_alive": session.keep_alive,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    body = {"model": session.model, "input": text, **chosen}
    reply = await session.client.post("/api/embed", body, EmbedReply)
    if not reply.embeddings:
        raise NotFoundError("the server returned no embedding")
    print(msgspec.json.encode(reply.embeddings[0]).decode())


async def _talk(session: Session) -> None:
    from ayllu.cli.keyboard import quiet_keyboard

    with quiet_keyboard():
        async with spinning("loading the model"):
            await session.load()
        from ayllu.cli.repl import converse

        await converse(session)


async def _answer(session: Session, text: str) -> None:
    """Answer one prompt; without one, only load the model."""
    if not text:
        await session.load()
        return
    attached = attach(text) if session.takes_files else Attached(text)
    for line in attached.notes:
        note(line)
    chunks = session.generate(attached.prompt, attached.images)
    screen = Screen(wraps=session.wraps, hides_thinking=session.hides_thinking)
    last = await show_answer(chunks, screen)
    if session.verbose:
        note_timings(last)
